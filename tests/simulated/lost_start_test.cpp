// A worker that is lost at any event while a run begins with what workers hold, in simulated processes: what the others
// hold is where the run begins, without anybody's help.
#include "tests/simulation/network_training.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::uint32_t workers = 3;

/// Two ranks, a spare, and a coordinator that dies in the middle.
network_scenario interrupted_run(const std::string& directory, std::uint64_t event) {
  network_scenario made;
  made.seed = 1;
  made.spec = tiny_spec();
  made.spec.data.tokens = token_format::uint16; // which may be few
  made.spec.pipeline.stages = 2;
  made.spec.pipeline.schedule = "1f1b";
  made.spec.checkpoint.directory = directory;
  made.workers = workers;
  made.pace = {.seconds_per_event = 1e-5, .in_order = 1.0, .cut = 0.0};
  made.strikes = {{.what = network_strike_kind::coordinator_dies, .event = event, .seconds = 0.5}};
  return made;
}

struct told_run {
  seed_result result;
  std::string text;
};

told_run run_told(const network_scenario& what) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* const out = ::open_memstream(&text, &size);
  told_run made{network_training(what, out).run(), {}};
  std::fclose(out);
  made.text.assign(text, size);
  std::free(text); // NOLINT(*-no-malloc): how open_memstream wants it
  return made;
}

/// Of the last line before `place` that begins with one.
std::uint64_t event_before(const std::string& text, std::size_t place) {
  std::size_t line = text.rfind('\n', place) + 1;
  while (text[line] == ' ')
    line = text.rfind('\n', line - 2) + 1;
  return std::stoull(text.substr(line));
}

/// The events while the second coordinator's ranks are given what they begin with.
std::pair<std::uint64_t, std::uint64_t> events_of_start(const std::string& text) {
  const std::size_t chosen = text.find("the workers hold the run's state after step ");
  REQUIRE(chosen != std::string::npos);
  const std::size_t told = text.find("handles tell_peer start_ranks", chosen);
  REQUIRE(told != std::string::npos);
  const std::size_t begun = text.rfind(": coordinator handles ", told); // begin_run
  return {event_before(text, chosen) + 1, event_before(text, begun)};
}

} // namespace

TEST_CASE("a worker that is lost at any event of a start from held state costs neither the run nor what others hold") {
  const scratch_directory scratch(place_in_memory());
  constexpr std::uint64_t all_held_twice = 700; // when the first coordinator dies
  constexpr std::uint64_t one_held_once = 800;  // of the newest state; once the run has begun there is no older one
  for (const std::uint64_t death : {all_held_twice, one_held_once}) {
    const network_scenario calm = interrupted_run(scratch.path("run"), death);
    const auto [first, last] = events_of_start(run_told(calm).text);
    REQUIRE(last > first + 50);
    for (const network_strike_kind kind : {network_strike_kind::worker_dies, network_strike_kind::connection_breaks})
      for (std::uint32_t whom = 0; whom < workers; ++whom)
        for (std::uint64_t event = first; event < last; event += sanitized ? 29 : 1) {
          network_scenario struck = calm;
          struck.strikes.push_back({.what = kind, .event = event, .whom = whom, .seconds = 20.0});
          const seed_result found = network_training(struck, nullptr).run();
          INFO(to_text(kind) << ", " << whom << ", at event " << event << ": " << found.problem);
          CHECK(found.problem.empty());
          CHECK(found.counts[counted::failed_starts] == 0);
          CHECK(found.counts[counted::held_starts] + found.counts[counted::returns] >= 1);
          if (death == all_held_twice)
            CHECK(found.counts[counted::returns] == 0);
        }
  }
}
