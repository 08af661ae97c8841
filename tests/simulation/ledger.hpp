// What was said in a run, so that whoever says it once more says the same.
#pragma once

#include "runtime/traffic.hpp"

#include <cstdint>
#include <map>
#include <tuple>

namespace troupe::test {

class ledger {
public:
  enum class entry : std::uint8_t {
    loss,
    scale,
    rate,
    verdict,
    mean_loss,
    norm,
    activation,
    gradient,
    group_gradient,
    tied_gradient,
    tied_value,
    squares,
    digests
  };

  /// False when another number was written there before. `part` and `microbatch` say which of the step's.
  bool write(entry what, const step_id& at, std::uint64_t part, std::uint64_t microbatch, std::uint64_t number) {
    return written_.try_emplace({what, at, part, microbatch}, number).first->second == number;
  }

private:
  std::map<std::tuple<entry, step_id, std::uint64_t, std::uint64_t>, std::uint64_t> written_;
};

} // namespace troupe::test
