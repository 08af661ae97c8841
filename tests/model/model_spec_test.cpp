#include "model/error.hpp"
#include "model/model_spec.hpp"
#include "tests/support/small_models.hpp"

#include <cmath>
#include <limits>

using namespace troupe;
using namespace troupe::test;

namespace {

model_spec gpt2_124m() {
  model_spec spec;
  spec.layers = 12;
  spec.width = 768;
  spec.heads = 12;
  spec.vocabulary = 50257;
  spec.sequence_length = 1024;
  spec.tied_head = true;
  return spec;
}

std::int64_t parameter_count(const model_spec& spec) {
  const model_family& family = find_family(spec.family);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < family.layer_count(spec); ++i)
    for (const layer_ptr one = family.make_layer(spec, i); const parameter* p : parameters_of(*one))
      count += p->replica_of.empty() ? p->extents.size() : 0;
  return count;
}

/// What validate says, or nothing.
std::string complaint(const model_spec& spec) {
  try {
    find_family(spec.family).validate(spec);
  } catch (const spec_error& problem) {
    return problem.what();
  }
  return "";
}

struct moments {
  double mean = 0.0;
  double deviation = 0.0;
};

moments moments_of(const tensor& x) {
  const auto count = static_cast<double>(x.size());
  moments out;
  for (const float v : x.values())
    out.mean += static_cast<double>(v) / count;
  for (const float v : x.values())
    out.deviation += std::pow(static_cast<double>(v) - out.mean, 2.0) / count;
  out.deviation = std::sqrt(out.deviation);
  return out;
}

} // namespace

TEST_CASE("the 124M configuration has GPT-2's number of parameters") {
  model_spec spec = gpt2_124m();
  REQUIRE(complaint(spec).empty());
  REQUIRE(parameter_count(spec) == 124'439'808);
  spec.tied_head = false;
  REQUIRE(parameter_count(spec) == 124'439'808 + 50257 * 768);
}

TEST_CASE("parameters are named as Hugging Face names GPT-2's, and only biases and LayerNorms do not decay") {
  const model_spec spec = small_spec("gpt");
  const model_family& family = find_family("gpt");
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < family.layer_count(spec); ++i)
    for (const layer_ptr one = family.make_layer(spec, i); const parameter* p : parameters_of(*one)) {
      names.push_back(p->name);
      REQUIRE((p->decay == weight_decay::yes) == (p->extents.rank() == 2));
    }
  std::vector<std::string> expected{"wte.weight", "wpe.weight"};
  for (const std::string h : {"h.0.", "h.1."})
    for (const std::string part : {"ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"})
      for (const std::string kind : {".weight", ".bias"})
        expected.push_back(h + part + kind);
  expected.insert(expected.end(), {"ln_f.weight", "ln_f.bias", "lm_head.weight"});
  REQUIRE(names == expected);
}

TEST_CASE("weights start with GPT-2's moments") {
  model_spec spec = small_spec("gpt");
  spec.width = 96;
  spec.vocabulary = 300;
  spec.sequence_length = 120;
  spec.layers = 8;
  small_model model(spec, recompute::none);
  for (const parameter* p : model.stage().parameters()) {
    CAPTURE(p->name);
    if (p->extents.rank() == 1) {
      const bool is_gamma = p->name.find("ln_") != std::string::npos && p->name.ends_with("weight");
      const auto all = p->value.values();
      REQUIRE(std::all_of(all.begin(), all.end(), [=](float v) { return v == (is_gamma ? 1.0F : 0.0F); }));
      continue;
    }
    const moments found = moments_of(p->value);
    const double expected = p->name == "wpe.weight" ? 0.01 : p->name.ends_with("c_proj.weight") ? 0.02 / 4.0 : 0.02;
    // Five standard deviations of the two estimates.
    const auto count = static_cast<double>(p->value.size());
    REQUIRE(std::abs(found.mean) < 5.0 * expected / std::sqrt(count));
    REQUIRE(std::abs(found.deviation - expected) < 5.0 * expected / std::sqrt(2.0 * count));
  }
}

TEST_CASE("a layer built alone starts as it does among the others") {
  for (const std::string name : {"gpt", "mlp"}) {
    const model_spec spec = small_spec(name);
    const model_family& family = find_family(name);
    small_model whole(spec, recompute::none); // drawn from seed 5
    std::size_t position = 0;
    for (std::int64_t i = 0; i < family.layer_count(spec); ++i) {
      tensor_pool pool;
      const layer_ptr alone = build_layer(family, spec, i, 5, pool);
      const layer_ptr other = build_layer(family, spec, i, 6, pool);
      const auto others = parameters_of(*other);
      std::size_t index = 0;
      for (const parameter* p : parameters_of(*alone)) {
        CAPTURE(p->name);
        REQUIRE(same_bits(p->value, whole.stage().parameters()[position++]->value));
        REQUIRE(same_bits(p->value, others[index++]->value) == (p->extents.rank() == 1)); // the seed matters
      }
    }
  }
}

TEST_CASE("a tied head starts as the embedding and an untied one does not") {
  model_spec spec = small_spec("gpt");
  spec.tied_head = GENERATE(true, false);
  small_model model(spec, recompute::none);
  const parameter& wte = *model.stage().parameters().front();
  const parameter& head = *model.stage().parameters().back();
  REQUIRE(head.replica_of == (spec.tied_head ? wte.name : ""));
  REQUIRE(same_bits(wte.value, head.value) == spec.tied_head);
}

TEST_CASE("a spec that cannot be built is refused, naming field, found and expected") {
  model_spec spec = small_spec("gpt");
  REQUIRE(complaint(spec).empty());
  const auto with = [&](auto member, auto value) {
    model_spec changed = spec;
    changed.*member = value;
    return complaint(changed);
  };
  REQUIRE(with(&model_spec::width, 100) == "model.width: found 100, expected a multiple of model.heads (3)");
  REQUIRE(with(&model_spec::layers, 0) == "model.layers: found 0, expected 1 to 65536");
  REQUIRE(with(&model_spec::heads, 0) == "model.heads: found 0, expected 1 to 24");
  REQUIRE(with(&model_spec::vocabulary, -1) == "model.vocabulary: found -1, expected 1 to 1048576");
  REQUIRE(with(&model_spec::sequence_length, std::numeric_limits<std::int64_t>::max()).find("model.sequence_length") ==
          0);
  REQUIRE(with(&model_spec::dropout, 1.0) == "model.dropout: found 1.000000, expected at least 0 and below 1");
  REQUIRE_FALSE(with(&model_spec::dropout, -0.1).empty());
  REQUIRE_FALSE(with(&model_spec::dropout, std::numeric_limits<double>::quiet_NaN()).empty());

  spec = small_spec("mlp");
  REQUIRE(complaint(spec).empty());
  REQUIRE(with(&model_spec::tied_head, true).find("model.tied_head: found true, expected false") == 0);
  REQUIRE(with(&model_spec::embedding_width, 0) == "model.embedding_width: found 0, expected 1 to 65536");
  spec.sequence_length = 1 << 20;
  spec.embedding_width = 1 << 16;
  REQUIRE(complaint(spec) == "model.sequence_length * model.embedding_width * model.width: found 1048576 * 65536 * 24, "
                             "expected a product of at most 2^40");
}

TEST_CASE("an unknown family is refused and the known ones are named") {
  REQUIRE(family_names() == std::vector<std::string>{"gpt", "mlp"});
  for (const std::string& name : family_names())
    REQUIRE(find_family(name).name() == name);
  REQUIRE_THROWS_MATCHES(find_family("rnn"), spec_error,
                         Catch::Message("model.family: found 'rnn', expected one of gpt, mlp"));
}

TEST_CASE("layers say what they cost and what they pass on") {
  const model_spec spec = small_spec("gpt"); // T 9, C 24, V 31
  const model_family& gpt = find_family("gpt");
  REQUIRE(gpt.layer_count(spec) == 4);
  REQUIRE(gpt.forward_flops(spec, 0) == 0.0);
  REQUIRE(gpt.forward_flops(spec, 1) == 2.0 * 9 * 12 * 24 * 24 + 4.0 * 45 * 24);
  REQUIRE(gpt.forward_flops(spec, 3) == 2.0 * 9 * 24 * 31);
  REQUIRE(gpt.activation_shape(spec, 5) == shape{45, 24});
  REQUIRE(gpt.targets_per_sequence(spec) == 9);
  const model_family& mlp = find_family("mlp");
  REQUIRE(mlp.forward_flops(spec, 0) == 2.0 * 9 * 5 * 24);
  REQUIRE(mlp.forward_flops(spec, 2) == 2.0 * (24 * 48 + 48 * 24));
  REQUIRE(mlp.activation_shape(spec, 5) == shape{5, 24});
  REQUIRE(mlp.targets_per_sequence(spec) == 1);
}

TEST_CASE("the output layer is the last layer without its loss") {
  model_spec spec = small_spec("gpt");
  spec.family = GENERATE("gpt", "mlp");
  const model_family& family = find_family(spec.family);
  tensor_pool pool;
  const layer_ptr last = family.make_layer(spec, family.layer_count(spec) - 1);
  const layer_ptr output = family.make_output_layer(spec);
  const auto expected = parameters_of(*last);
  const auto found = parameters_of(*output);
  REQUIRE(std::equal(expected.begin(), expected.end(), found.begin(), found.end(),
                     [](const parameter* a, const parameter* b) { return a->name == b->name; }));
  randomise(*output, pool);
  stash kept;
  const tensor x = random_tensor(pool, {4, spec.width}, 1);
  REQUIRE(output->forward(x, kept, {.mode = pass_mode::evaluate, .pool = &pool}).extents() == shape{4, 31});
}
