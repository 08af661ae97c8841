#include "runtime/generate.hpp"

#include "model/error.hpp"
#include "model/gemm.hpp"
#include "model/random.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe {

namespace {

/// The tokens to choose from, likeliest first.
std::vector<std::int32_t> ranked(std::span<const float> logits, std::size_t count) {
  std::vector<std::int32_t> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto likelier = [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::partial_sort(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count), tokens.end(), likelier);
  tokens.resize(count);
  return tokens;
}

} // namespace

std::int32_t pick_token(std::span<const float> logits, const sampling& how, std::uint64_t position) {
  for (const float logit : logits) // also keeps NaN out of the sort, which could not order it
    if (!std::isfinite(logit))
      throw run_error("the model's prediction is not a finite number, expected weights that did not diverge");
  const bool greedy = how.temperature == 0.0;
  const std::size_t most = how.top_k == 0 ? logits.size() : std::min<std::size_t>(how.top_k, logits.size());
  const std::vector<std::int32_t> tokens = ranked(logits, greedy ? 1 : most);
  if (greedy)
    return tokens.front();
  std::vector<double> cumulative;
  double sum = 0.0;
  for (const std::int32_t token : tokens) { // relative to the largest, so that no exponential overflows
    sum += std::exp((static_cast<double>(logits[token]) - logits[tokens.front()]) / how.temperature);
    cumulative.push_back(sum);
  }
  const random_stream stream{.seed = how.seed, .purpose = random_purpose::sampling, .x = position};
  const auto chosen = std::upper_bound(cumulative.begin(), cumulative.end(), stream.uniform(0) * sum);
  return tokens[static_cast<std::size_t>(std::min(chosen, cumulative.end() - 1) - cumulative.begin())];
}

generator::generator(const checkpoint& source, const model_family& family) : spec_(source.spec()) {
  if (family.targets_per_sequence(spec_.model) < spec_.model.sequence_length)
    shortest_ = static_cast<std::uint64_t>(spec_.model.sequence_length);
  const std::int64_t last = family.layer_count(spec_.model) - 1;
  for (std::int64_t index = 0; index < last; ++index)
    layers_.push_back(family.make_layer(spec_.model, index));
  layers_.push_back(family.make_output_layer(spec_.model));
  for (const layer_ptr& one : layers_)
    for (parameter* p : parameters_of(*one)) {
      p->value = pool_.make(p->extents);
      source.read(p->replica_of.empty() ? p->name : p->replica_of, p->value, {});
    }
}

std::vector<std::int32_t> generator::visible(std::span<const std::int32_t> history) const {
  const auto longest = static_cast<std::size_t>(spec_.model.sequence_length);
  const auto seen = history.last(std::min(history.size(), longest));
  const std::int32_t padding = spec_.data.tokens == token_format::bytes ? ' ' : 0;
  std::vector<std::int32_t> tokens(shortest_ > seen.size() ? shortest_ - seen.size() : 0, padding);
  tokens.insert(tokens.end(), seen.begin(), seen.end());
  return tokens;
}

std::vector<float> generator::next_logits(std::span<const std::int32_t> history) {
  TROUPE_CHECK(!history.empty(), "generation starts from at least one token");
  const std::vector<std::int32_t> tokens = visible(history);
  set_gemm_threads(static_cast<int>(spec_.pipeline.threads_per_stage));
  const pass_context at{.seed = spec_.training.seed,
                        .sequences = 1,
                        .sequence_length = static_cast<std::int64_t>(tokens.size()),
                        .mode = pass_mode::evaluate,
                        .tokens = tokens,
                        .targets = {},
                        .pool = &pool_};
  tensor current;
  for (const layer_ptr& one : layers_) {
    stash kept;
    current = one->forward(current, kept, at);
  }
  const float* row = current.row(current.rows() - 1);
  return {row, row + current.columns()};
}

} // namespace troupe
