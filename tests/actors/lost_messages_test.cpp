// Messages that never arrive: what was sent since the recovery line is sent again, and the result has the bits of the
// run in which nothing was lost.
#include "runtime/one_thread_trainer.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/mortal_run.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace troupe;
using namespace troupe::test;

TEST_CASE("whatever share of the messages is lost, the bits are the same and nothing is computed twice",
          "[actors][lost]") {
  for (const std::string schedule : {"1f1b", "zb-h1", "interleaved-1f1b", "dualpipe", "pipedream"})
    for (const double share : {0.05, 0.2, 0.8}) {
      const run_spec spec = mortal_spec(schedule);
      const made_up_data data(spec);
      const run_report expected = expected_of(spec, data);
      for (std::uint64_t seed = 0; seed < orders(20); ++seed) {
        INFO(schedule << ", " << share << " of the messages, seed " << seed);
        unruly_run run(spec, data, {}, seed);
        run.lose(share);
        const outcome seen = run.play();
        check_finished(seen, expected);
        check_survivors(spec, *seen.report, {});
        CHECK(run.lost() > 0);
        CHECK((share < 0.8 || seen.report->stalls > 0));
      }
    }
}

TEST_CASE("messages may be lost while ranks die", "[actors][lost][restart]") {
  for (const std::string schedule : {"1f1b", "zb-v", "pipedream-2bw"}) {
    const run_spec spec = mortal_spec(schedule);
    const made_up_data data(spec);
    const run_report expected = expected_of(spec, data);
    for (std::uint64_t seed = 0; seed < orders(40); ++seed) {
      INFO(schedule << ", seed " << seed);
      std::mt19937_64 chance(seed);
      std::uint32_t deaths = 0;
      unruly_run run(spec, data, {}, seed);
      run.lose(0.1);
      const outcome seen = run.play([&](std::uint64_t event) {
        if (event < 20 || deaths >= 10 || chance() % 200 != 0)
          return;
        run.kill_rank(static_cast<std::uint32_t>(chance() % spec.pipeline.stages));
        ++deaths;
      });
      check_finished(seen, expected);
      REQUIRE(deaths > 0);
      CHECK(run.lost() > 0);
    }
  }
}
