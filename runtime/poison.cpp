#include "runtime/poison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <tuple>

namespace troupe {

namespace {

/// The earlier microbatch, and of one the earlier layer.
bool is_before(const poison_sighting& one, const poison_sighting& other) {
  return std::tie(one.microbatch, one.layer) < std::tie(other.microbatch, other.layer);
}

/// The sign of a NaN says nothing.
std::string number_text(double value) {
  return std::isnan(value) ? "nan" : fmt::format("{}", value);
}

/// "layer 5, block 4"; a family with other layers than an embedding, the blocks and a head has no names for them.
std::string layer_text(std::int64_t layer, const model_spec& model, std::int64_t layers) {
  std::string number = fmt::format("layer {}", layer);
  if (layers != model.layers + 2)
    return number;
  if (layer == 0)
    return number + ", the embedding";
  return layer + 1 == layers ? number + ", the head" : fmt::format("{}, block {}", number, layer - 1);
}

} // namespace

/// A stage whose stash is clean has passed on clean numbers, but for its last operation; what that has spoilt is found
/// in the next layer's stash. After the last layer there is only the loss.
void poison_watch::look(stage_model& stage, const layer_range& of, const pass_context& at) {
  const std::optional<std::size_t> found = stage.first_not_finite(at);
  if (!found && of.last < layers_)
    return;
  const poison_sighting seen{poison_source::loss, at.microbatch,
                             found ? of.first + static_cast<std::int64_t>(*found) : of.last - 1};
  if (!loss_ || is_before(seen, *loss_))
    loss_ = seen;
}

void poison_watch::look(const std::optional<std::int64_t>& poisoned_gradients) {
  if (poisoned_gradients && (!gradients_ || *poisoned_gradients > gradients_->layer))
    gradients_ = {poison_source::gradients, 0, *poisoned_gradients};
}

std::vector<poison_sighting> poison_watch::take() {
  std::vector<poison_sighting> seen;
  for (std::optional<poison_sighting>* one : {&loss_, &gradients_})
    if (*one) {
      seen.push_back(**one);
      one->reset();
    }
  return seen;
}

std::optional<poisoned_step> find_poison(const std::vector<double>& losses, double norm,
                                         const std::vector<poison_sighting>& seen) {
  const auto first = std::ranges::find_if(losses, [](double one) { return !std::isfinite(one); });
  if (first == losses.end() && std::isfinite(norm))
    return std::nullopt;
  poisoned_step poison;
  if (first != losses.end()) {
    poison.microbatch = static_cast<std::uint32_t>(first - losses.begin());
    poison.found = *first;
  } else {
    poison.source = poison_source::gradients;
    poison.found = norm;
  }
  for (const poison_sighting& one : seen) {
    if (one.source != poison.source || one.microbatch != poison.microbatch)
      continue;
    const bool nearer = poison.source == poison_source::loss ? one.layer < poison.layer : one.layer > poison.layer;
    if (poison.layer < 0 || nearer)
      poison.layer = one.layer;
  }
  return poison;
}

std::string cause_of(const poisoned_step& poison) {
  return fmt::format("a {} of {}", poison.source == poison_source::loss ? "loss" : "gradient norm",
                     number_text(poison.found));
}

std::string describe(const poisoned_step& poison, std::uint64_t step, const model_spec& model, std::int64_t layers) {
  const std::string microbatch =
      poison.source == poison_source::loss ? fmt::format(", microbatch {}", poison.microbatch) : "";
  const std::string place =
      poison.layer < 0 ? "" : fmt::format(" (first seen in {})", layer_text(poison.layer, model, layers));
  return fmt::format("step {}{}: found {}{}", step + 1, microbatch, cause_of(poison), place);
}

std::string refusal_of(const poisoned_step& poison, std::uint64_t step, const model_spec& model, std::int64_t layers) {
  return describe(poison, step, model, layers) + ", expected a finite number (a lower learning rate may help)";
}

} // namespace troupe
