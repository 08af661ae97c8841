#include "model/error.hpp"
#include "model/stage_model.hpp"
#include "runtime/generate.hpp"
#include "runtime/training_state.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// The loss of the training model on one sequence, every position predicted by the generator alone.
double loss_by_generator(generator& model, const std::vector<std::int32_t>& tokens,
                         const std::vector<std::int32_t>& targets) {
  double loss = 0.0;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    const std::size_t seen = targets.size() == 1 ? tokens.size() : t + 1;
    const std::vector<float> logits = model.next_logits(std::span(tokens).first(seen));
    double sum = 0.0;
    for (const float logit : logits)
      sum += std::exp(static_cast<double>(logit));
    loss += std::log(sum) - logits[static_cast<std::size_t>(targets[t])];
  }
  return loss / static_cast<double>(targets.size());
}

/// Weights from the seed, as a checkpoint.
checkpoint write_checkpoint(const run_spec& spec, const std::filesystem::path& directory) {
  const model_family& family = find_family(spec.model.family);
  tensor_pool pool;
  const layer_range all{0, family.layer_count(spec.model)};
  const stage_state state(spec, family, all, nullptr, pool);
  checkpoint_writer writer(directory, spec, 1, make_optimizer(spec.optimizer)->state_names());
  writer.add(state.snapshot());
  writer.commit(all.last);
  std::vector<std::string> warnings;
  return checkpoint::open_latest(directory, warnings);
}

double loss_in_training(const run_spec& spec, const std::vector<std::int32_t>& tokens,
                        const std::vector<std::int32_t>& targets) {
  const model_family& family = find_family(spec.model.family);
  tensor_pool pool;
  stage_state state(spec, family, {0, family.layer_count(spec.model)}, nullptr, pool);
  const pass_context at{.seed = spec.training.seed,
                        .sequences = 1,
                        .sequence_length = spec.model.sequence_length,
                        .mode = pass_mode::evaluate,
                        .tokens = tokens,
                        .targets = targets,
                        .pool = &pool};
  state.model().forward({}, at);
  return state.model().last_loss();
}

} // namespace

TEST_CASE("the generator predicts what the training model is scored by") {
  run_spec spec = tiny_spec();
  spec.model.family = GENERATE("gpt", "mlp");
  spec.model.tied_head = spec.model.family == "gpt" && GENERATE(false, true);
  spec.model.dropout = 0.5; // which must not act here
  INFO(spec.model.family << (spec.model.tied_head ? ", tied" : ""));
  const std::vector<std::int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  const std::vector<std::int32_t> targets =
      spec.model.family == "mlp" ? std::vector<std::int32_t>{5} : std::vector<std::int32_t>{1, 4, 1, 5, 9, 2, 6, 5};
  const scratch_directory scratch;
  const checkpoint source = write_checkpoint(spec, scratch / "checkpoints");
  generator model(source, find_family(spec.model.family));
  CHECK(loss_by_generator(model, tokens, targets) == Approx(loss_in_training(spec, tokens, targets)).epsilon(1e-6));
}

TEST_CASE("only the last T tokens are seen") {
  run_spec spec = tiny_spec();
  spec.model.family = GENERATE("gpt", "mlp");
  const scratch_directory scratch;
  generator model(write_checkpoint(spec, scratch / "checkpoints"), find_family(spec.model.family));
  const std::vector<std::int32_t> last = {3, 1, 4, 1, 5, 9, 2, 6};
  std::vector<std::int32_t> longer = {7, 7, 7};
  longer.insert(longer.end(), last.begin(), last.end());
  CHECK(model.next_logits(longer) == model.next_logits(last));
  CHECK(model.next_logits(last) != model.next_logits(std::span(longer).first(8)));
}

TEST_CASE("a short prompt of a model with a fixed context is padded on the left") {
  run_spec spec = tiny_spec();
  spec.model.family = "mlp";
  spec.model.vocabulary = 256;
  const auto [format, padding] =
      GENERATE(table<token_format, std::int32_t>({{token_format::bytes, ' '}, {token_format::uint16, 0}}));
  spec.data.tokens = format;
  const scratch_directory scratch;
  generator model(write_checkpoint(spec, scratch / "checkpoints"), find_family("mlp"));
  std::vector<std::int32_t> padded(8, padding);
  padded[6] = 65;
  padded[7] = 66;
  CHECK(model.next_logits(std::vector<std::int32_t>{65, 66}) == model.next_logits(padded));
}

TEST_CASE("temperature 0 takes the likeliest token, the lower of equals") {
  const std::vector<float> logits = {1.0F, 3.0F, -2.0F, 3.0F};
  for (std::uint64_t position = 0; position < 20; ++position)
    CHECK(pick_token(logits, {.temperature = 0.0}, position) == 1);
}

TEST_CASE("tokens are drawn as often as their softmax says") {
  // exp(x / 2) for x = 2 ln 1, 2 ln 2, 2 ln 5 is 1, 2, 5.
  const std::vector<float> logits = {0.0F, 2.0F * std::log(2.0F), 2.0F * std::log(5.0F)};
  std::map<std::int32_t, int> counts;
  constexpr int draws = 8000;
  for (std::uint64_t position = 0; position < draws; ++position)
    ++counts[pick_token(logits, {.temperature = 2.0, .seed = 3}, position)];
  // Six standard deviations of a binomial count.
  CHECK(counts[0] == Approx(1000).margin(6 * std::sqrt(draws * 0.125 * 0.875)));
  CHECK(counts[1] == Approx(2000).margin(6 * std::sqrt(draws * 0.25 * 0.75)));
  CHECK(counts[2] == Approx(5000).margin(6 * std::sqrt(draws * 0.625 * 0.375)));
}

TEST_CASE("top-k leaves out all but the k likeliest") {
  const std::vector<float> logits = {0.0F, 0.3F, 0.1F, 0.2F};
  std::map<std::int32_t, int> counts;
  for (std::uint64_t position = 0; position < 400; ++position)
    ++counts[pick_token(logits, {.top_k = 2}, position)];
  CHECK(counts.size() == 2);
  CHECK(counts.contains(1));
  CHECK(counts.contains(3));
}

TEST_CASE("the same seed and position draw the same token, other positions other ones") {
  const std::vector<float> logits(1000, 0.0F);
  const auto text = [&](std::uint64_t seed) {
    std::vector<std::int32_t> drawn;
    for (std::uint64_t position = 0; position < 8; ++position)
      drawn.push_back(pick_token(logits, {.seed = seed}, position));
    return drawn;
  };
  CHECK(text(5) == text(5));
  CHECK(text(5) != text(6));
  CHECK(text(5)[0] != text(5)[1]);
}

TEST_CASE("a prediction that is not finite is refused, not drawn from") {
  const float bad = GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
  const double temperature = GENERATE(0.0, 1.0);
  CHECK_THROWS_AS(pick_token(std::vector<float>{0.0F, bad}, {.temperature = temperature}, 0), run_error);
}

TEST_CASE("an extreme temperature neither overflows nor leaves the vocabulary") {
  const std::vector<float> logits = {-1e30F, 1e30F, 0.0F};
  CHECK(pick_token(logits, {.temperature = 1e-300}, 0) == 1);
  const std::int32_t warm = pick_token(logits, {.temperature = 1e300}, 0);
  CHECK((warm >= 0 && warm < 3));
}
