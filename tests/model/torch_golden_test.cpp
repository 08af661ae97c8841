#include "model/model_spec.hpp"
#include "model/optimizer.hpp"
#include "model/stage_model.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace troupe;

// tests/golden/gpt_torch.json holds what plain PyTorch computed; tests/golden/make_gpt_golden.py says how. Weights and
// tokens follow the formulas stated there, written here a second time.

namespace {

nlohmann::json read_golden() {
  std::ifstream file(TROUPE_SOURCE_DIR "/tests/golden/gpt_torch.json");
  REQUIRE(file);
  return nlohmann::json::parse(file);
}

double fraction(std::uint64_t element, std::uint64_t parameter) {
  const std::uint64_t mixed = 2654435761U * (element + 1) + 40503U * element * element + 971234567U * (parameter + 1);
  return static_cast<double>(mixed % (std::uint64_t{1} << 32U)) / 0x1.0p31 - 1.0;
}

bool is_norm_weight(const std::string& name) {
  return name.find("ln_") != std::string::npos && name.ends_with(".weight");
}

struct token_batch {
  std::vector<std::int32_t> tokens, targets;
};

token_batch batch_of(int step, int microbatch, int sequences, int length) {
  const auto token = [&](int row, int t) {
    return (7 * t * t + 31 * t + 17 * microbatch + 101 * (step % 2) + 11 * row) % 256;
  };
  token_batch made;
  for (int row = 0; row < sequences; ++row)
    for (int t = 0; t < length; ++t) {
      made.tokens.push_back(token(row, t));
      made.targets.push_back(token(row, t + 1));
    }
  return made;
}

model_spec model_of(const nlohmann::json& settings, bool tied) {
  return {.family = "gpt",
          .layers = settings.at("layers"),
          .width = settings.at("width"),
          .heads = settings.at("heads"),
          .vocabulary = settings.at("vocabulary"),
          .sequence_length = settings.at("sequence_length"),
          .tied_head = tied};
}

optimizer_spec optimizer_of(const nlohmann::json& settings) {
  return {.kind = "adamw",
          .learning_rate = settings.at("learning_rate"),
          .beta1 = settings.at("beta1"),
          .beta2 = settings.at("beta2"),
          .epsilon = settings.at("epsilon"),
          .weight_decay = settings.at("weight_decay"),
          .clip = settings.at("clip")};
}

/// The whole model as one stage, trained by the plainest possible loop.
class trainer {
public:
  trainer(const nlohmann::json& settings, bool tied)
      : settings_(settings), rules_(optimizer_of(settings)), rule_(make_optimizer(rules_)),
        stage_(all_layers(model_of(settings, tied)), recompute::none) {
    for (parameter* p : stage_.parameters()) {
      if (p->replica_of.empty())
        owners_[p->name] = p;
      for (std::size_t i = 0; i < rule_->state_names().size(); ++i)
        state_[p->name].push_back(pool_.make_filled(p->extents, 0.0F));
    }
  }

  const std::map<std::string, parameter*>& owners() const { return owners_; }

  void start_from_formula(const nlohmann::json& expected) {
    std::uint64_t index = 0;
    for (const auto& one : expected) {
      parameter& p = *owners_.at(one.at("name"));
      const double base = is_norm_weight(p.name) ? 1.0 : 0.0;
      const double range = settings_.at("weight_range");
      for (std::int64_t i = 0; i < p.value.size(); ++i)
        p.value.data()[i] = static_cast<float>(base + range * fraction(static_cast<std::uint64_t>(i), index));
      ++index;
    }
    repeat_owners();
  }

  struct step_result {
    double loss = 0.0, gradient_norm = 0.0;
  };
  step_result step(int number) {
    const int microbatches = settings_.at("microbatches");
    step_result result;
    for (parameter* p : stage_.parameters())
      p->gradient.fill(0.0F);
    for (int microbatch = 0; microbatch < microbatches; ++microbatch)
      result.loss += run_microbatch(number, microbatch, microbatches) / microbatches;
    result.gradient_norm = apply(static_cast<std::uint64_t>(number));
    return result;
  }

private:
  std::vector<layer_ptr> all_layers(const model_spec& spec) {
    const model_family& family = find_family(spec.family);
    std::vector<layer_ptr> layers;
    for (std::int64_t index = 0; index < family.layer_count(spec); ++index)
      layers.push_back(build_layer(family, spec, index, 1, pool_));
    return layers;
  }

  double run_microbatch(int step, int microbatch, int microbatches) {
    const int sequences = settings_.at("microbatch_size");
    const int length = settings_.at("sequence_length");
    const token_batch batch = batch_of(step, microbatch, sequences, length);
    const pass_context at{.step = static_cast<std::uint64_t>(step),
                          .microbatch = static_cast<std::uint32_t>(microbatch),
                          .microbatches = static_cast<std::uint32_t>(microbatches),
                          .sequences = sequences,
                          .sequence_length = length,
                          .tokens = batch.tokens,
                          .targets = batch.targets,
                          .pool = &pool_};
    stage_.forward({}, at);
    const double loss = stage_.last_loss();
    stage_.backward({}, at);
    return loss;
  }

  double apply(std::uint64_t step) {
    for (parameter* p : stage_.parameters())
      if (!p->replica_of.empty())
        for (std::int64_t i = 0; i < p->gradient.size(); ++i)
          owners_.at(p->replica_of)->gradient.data()[i] += p->gradient.data()[i];
    std::vector<double> squares;
    for (parameter* p : stage_.parameters())
      if (p->replica_of.empty())
        squares.push_back(sum_of_squares(p->gradient));
    const clip_decision clipped = clip_gradients(squares, rules_.clip);
    for (const auto& [name, p] : owners_)
      rule_->update(*p, state_.at(name),
                    {.step = step, .learning_rate = learning_rate_at(rules_, step), .gradient_scale = clipped.scale},
                    pool_);
    repeat_owners();
    return clipped.norm;
  }

  void repeat_owners() {
    for (parameter* p : stage_.parameters())
      if (!p->replica_of.empty())
        std::copy_n(owners_.at(p->replica_of)->value.data(), p->value.size(), p->value.data());
  }

  nlohmann::json settings_;
  optimizer_spec rules_;
  std::unique_ptr<optimizer> rule_;
  tensor_pool pool_;
  stage_model stage_;
  std::map<std::string, parameter*> owners_; ///< by name; no replicas
  std::map<std::string, std::vector<tensor>> state_;
};

/// The norm of the elements that two implementations must agree on: all but the biases of keys, the middle third of
/// c_attn.bias, which have no gradient but rounding noise that AdamW divides by its own size.
double comparable_norm(const parameter& p) {
  const bool has_keys = p.name.ends_with("c_attn.bias");
  double squares = 0.0;
  for (std::int64_t i = 0; i < p.value.size(); ++i)
    if (!has_keys || i * 3 / p.value.size() != 1)
      squares += std::pow(static_cast<double>(p.value.data()[i]), 2.0);
  return std::sqrt(squares);
}

} // namespace

TEST_CASE("twenty steps of a small GPT-2 go as they go in PyTorch") {
  const bool tied = GENERATE(false, true);
  const nlohmann::json golden = read_golden();
  const nlohmann::json& expected = golden.at(tied ? "tied" : "untied");
  trainer ours(golden.at("settings"), tied);
  REQUIRE(ours.owners().size() == expected.at("parameters").size());
  ours.start_from_formula(expected.at("parameters"));

  // PyTorch's own losses differ by 1e-7 between float and double.
  for (std::size_t step = 0; step < expected.at("losses").size(); ++step) {
    CAPTURE(tied, step);
    const auto result = ours.step(static_cast<int>(step));
    CHECK(result.loss == Approx(expected.at("losses")[step].get<double>()).epsilon(1e-6));
    CHECK(result.gradient_norm == Approx(expected.at("gradient_norms")[step].get<double>()).epsilon(1e-5));
  }
  for (const auto& one : expected.at("parameters")) {
    const parameter& p = *ours.owners().at(one.at("name"));
    CAPTURE(tied, p.name, to_string(p.extents), one.at("shape").dump());
    CHECK(comparable_norm(p) == Approx(one.at("norm").get<double>()).epsilon(1e-5));
    for (const auto& probe : one.at("probes")) {
      const auto found = static_cast<double>(p.value.data()[probe[0].get<std::int64_t>()]);
      CHECK(found == Approx(probe[1].get<double>()).epsilon(1e-5).margin(1e-6));
    }
  }
}
