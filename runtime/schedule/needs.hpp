// Who waits for whom: what an action takes in and what it gives, in the terms that the checker and the simulator share.
// W gives nothing to other stages; all else follows from F, and from I or B, of the neighbouring stages.
#pragma once

#include "runtime/schedule/action.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace troupe {

enum class direction : std::uint8_t { forward, backward };

/// What a pass gives: F the activations that leave the stage forward; I and B the gradient that leaves it backward.
struct pass_result {
  std::uint32_t stage = 0;
  direction way = direction::forward;
  std::uint32_t microbatch = 0;

  friend bool operator==(const pass_result&, const pass_result&) = default;
};

/// What `one` gives; nothing for W.
inline std::optional<pass_result> given_by(const action& one) {
  if (one.op == operation::backward_weight)
    return std::nullopt;
  const direction way = one.op == operation::forward ? direction::forward : direction::backward;
  return pass_result{one.stage, way, one.microbatch};
}

/// What `one` takes from a neighbouring stage of the pipeline of `stages`; nothing for W and at the pipeline's ends.
inline std::optional<pass_result> taken_from_neighbour(const action& one, std::uint32_t stages) {
  if (one.op == operation::backward_weight)
    return std::nullopt;
  if (one.op == operation::forward) {
    if (one.stage == 0)
      return std::nullopt;
    return pass_result{one.stage - 1, direction::forward, one.microbatch};
  }
  if (one.stage + 1 >= stages)
    return std::nullopt;
  return pass_result{one.stage + 1, direction::backward, one.microbatch};
}

/// What `one` takes from an earlier pass of its own stage; nothing for F.
inline std::optional<pass_result> taken_from_own_stage(const action& one) {
  if (one.op == operation::forward)
    return std::nullopt;
  const direction way = one.op == operation::backward_weight ? direction::backward : direction::forward;
  return pass_result{one.stage, way, one.microbatch};
}

/// The neighbouring stage that takes `result`; nothing at the pipeline's ends.
inline std::optional<std::uint32_t> taker_of(const pass_result& result, std::uint32_t stages) {
  if (result.way == direction::forward)
    return result.stage + 1 < stages ? std::optional(result.stage + 1) : std::nullopt;
  return result.stage > 0 ? std::optional(result.stage - 1) : std::nullopt;
}

/// One value for each pass_result of a schedule.
template <class Value>
class result_table {
public:
  result_table(std::uint32_t stages, std::uint32_t microbatches, Value initial)
      : microbatches_(microbatches), values_(std::size_t{2} * stages * microbatches, initial) {}

  Value& operator[](const pass_result& key) { return values_[index(key)]; }
  const Value& operator[](const pass_result& key) const { return values_[index(key)]; }

private:
  std::size_t index(const pass_result& key) const {
    return (std::size_t{2} * key.stage + static_cast<std::size_t>(key.way)) * microbatches_ + key.microbatch;
  }

  std::size_t microbatches_;
  std::vector<Value> values_;
};

} // namespace troupe
