// A connection that breaks between any two processes of a run, which both live on, in simulated processes: the run
// loses one of the two at most, and so never goes back.
#include "tests/simulation/network_training.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <cstdint>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::uint32_t connections = 3; // each process to each other
constexpr std::uint32_t ends_of_one = 2;

/// A rank at each worker, whose snapshots the other one keeps.
network_scenario calm_run() {
  network_scenario made;
  made.seed = 1;
  made.spec = tiny_spec();
  made.spec.data.tokens = token_format::uint16; // which may be few
  made.spec.pipeline.stages = 2;
  made.spec.pipeline.schedule = "1f1b";
  made.workers = 2;
  made.pace = {.seconds_per_event = 1e-5, .in_order = 1.0, .cut = 0.0};
  return made;
}

} // namespace

TEST_CASE("two processes that lose the connection between them at any moment cost the run one of them at most") {
  const seed_result undisturbed = network_training(calm_run(), nullptr).run();
  REQUIRE(undisturbed.problem.empty());
  std::uint64_t recoveries = 0;
  for (std::uint64_t event = 100; event < undisturbed.counts[counted::events]; event += sanitized ? 101 : 11)
    for (std::uint32_t connection = 0; connection < connections; ++connection) {
      network_scenario struck = calm_run();
      struck.strikes = {
          {.what = network_strike_kind::connection_breaks, .event = event, .whom = connection * ends_of_one}};
      const seed_result found = network_training(struck, nullptr).run();
      INFO("connection " << connection << " at event " << event << ": " << found.problem);
      CHECK(found.problem.empty());
      CHECK(found.counts[counted::returns] == 0);
      CHECK(found.counts[counted::rank_recoveries] <= 1);
      recoveries += found.counts[counted::rank_recoveries];
    }
  CHECK(recoveries > 0);
}
