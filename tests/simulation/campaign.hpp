// Simulates a range of seeds, in several processes, so that one that aborts does not take the others along.
#pragma once

#include "tests/simulation/tally.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::test {

/// What a seed draws: a training in one process, or one over several.
enum class simulation_kind : std::uint8_t { process, network };

struct campaign_setup {
  simulation_kind kind = simulation_kind::process;
  std::uint64_t first_seed = 1;
  std::uint64_t last_seed = 300;
  std::uint32_t jobs = 1;
  bool verbose = false;    ///< prints the events; for one seed
  bool keep_going = false; ///< after a seed that failed
};

struct failed_seed {
  std::uint64_t seed = 0;
  std::string problem;
};

struct campaign_result {
  tally counts;
  std::uint64_t hash = 0; ///< over all seeds that ended, whatever their order
  std::vector<failed_seed> failures;
  bool interrupted = false;
  double seconds = 0.0;
};

/// Shows progress on stderr, and failures as they are found.
campaign_result run_campaign(const campaign_setup& setup);

} // namespace troupe::test
