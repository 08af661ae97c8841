// Times and sizes of made-up pipelines, for tests of the search.
#pragma once

#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <random>
#include <vector>

namespace troupe::test {

/// Half of the time whole numbers, which make many events fall on the same instant; stages differ by up to six.
inline std::vector<stage_cost> random_stage_costs(std::mt19937& random, std::uint32_t stages) {
  const bool whole = random() % 2 == 0;
  const auto time = [&] {
    const double part = static_cast<double>(random()) / 4294967296.0;
    return whole ? 1.0 + static_cast<double>(random() % 3) : 0.5 + 2.5 * part;
  };
  std::vector<stage_cost> costs;
  for (std::uint32_t stage = 0; stage < stages; ++stage)
    costs.push_back({time(), time(), time()});
  return costs;
}

} // namespace troupe::test
