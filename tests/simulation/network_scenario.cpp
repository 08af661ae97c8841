#include "tests/simulation/network_scenario.hpp"

#include "tests/simulation/scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace troupe::test {

namespace {

/// A run such as those in one process. What strikes it comes from here.
run_spec draw_run(std::uint64_t seed) {
  run_spec spec = draw_scenario(seed).spec;
  spec.training.steps = std::max<std::uint64_t>(spec.training.steps, 4); // it is to live on after it was struck
  spec.faults.snapshot_every = std::max<std::uint64_t>(spec.faults.snapshot_every, 1);
  spec.faults.max_restarts = 60000;
  spec.faults.chaos.clear();
  spec.faults.snapshot_directory.clear();
  return spec;
}

/// About how many events a calm run has.
std::uint64_t calm_events(const run_spec& spec) {
  const std::uint64_t chunks = std::max(spec.pipeline.chunks, 1U);
  return 350 + 20 * spec.training.steps * (spec.training.microbatches + 2) * spec.pipeline.stages * chunks;
}

network_strike draw_strike(dice& chance, const network_scenario& drawn, std::uint64_t before) {
  using kind = network_strike_kind;
  constexpr std::array kinds = {kind::worker_dies,       kind::worker_dies,      kind::machine_dies,
                                kind::worker_freezes,    kind::rank_dies,        kind::coordinator_dies,
                                kind::coordinator_dies,  kind::scheduler_dies,   kind::coordinator_freezes,
                                kind::connection_breaks, kind::connection_stalls};
  constexpr std::array shares = {0.01, 0.3, 0.9, 1.5, 4.0}; // of the time after which a silent peer is lost
  network_strike one{.what = chance.one_of(kinds),
                     .whom = static_cast<std::uint32_t>(chance.below(1000)),
                     .seconds = drawn.peer_timeout * chance.one_of(shares),
                     .part = chance.part()};
  const bool follows = before != 0 && chance.coin();
  one.event = follows ? before + chance.below(400) : chance.below(5 * calm_events(drawn.spec) / 4);
  return one;
}

std::string to_text(const network_strike& one) {
  return fmt::format("{} at event {}, for {:g} s ({}, {:.2f})", to_text(one.what), one.event, one.seconds, one.whom,
                     one.part);
}

} // namespace

/// The coordinator dies in the middle of a run whose workers may hold a newer state than its newest checkpoint. What
/// follows strikes whoever goes on.
void draw_heir(dice& chance, network_scenario& drawn) {
  constexpr std::array shares = {0.01, 0.3, 1.5}; // of the time after which a silent peer is lost
  run_spec& spec = drawn.spec;
  spec.faults.snapshot_every = 1;
  spec.checkpoint.directory = disk_name;
  spec.checkpoint.every = chance.below(3) * 2;
  const std::uint64_t calm = calm_events(spec);
  drawn.strikes.push_back({.what = network_strike_kind::coordinator_dies,
                           .event = calm / 4 + chance.below(calm / 2),
                           .seconds = drawn.peer_timeout * chance.one_of(shares),
                           .part = chance.part()});
}

network_scenario draw_network_scenario(std::uint64_t seed) {
  constexpr std::array paces = {1e-6, 1e-5, 5e-5};
  constexpr std::array orders = {0.0, 0.0, 0.5, 0.9};
  constexpr std::array cuts = {0.0, 0.1, 0.5};
  constexpr std::array timeouts = {0.5, 1.0, 2.0};
  dice chance(seed);
  network_scenario drawn;
  drawn.seed = seed;
  drawn.spec = draw_run(seed);
  drawn.checkpoints = chance.coin() ? checkpoint_route::shared : checkpoint_route::coordinator;
  drawn.workers = static_cast<std::uint32_t>(2 + chance.below(drawn.spec.pipeline.stages > 1 ? 4 : 2));
  drawn.pace = {chance.one_of(paces), chance.one_of(orders), chance.one_of(cuts)};
  drawn.peer_timeout = chance.one_of(timeouts);
  std::size_t count = chance.below(5) == 0 ? 0 : 1 + chance.below(5);
  std::uint64_t before = 0;
  if (chance.below(5) < 2) {
    draw_heir(chance, drawn);
    before = drawn.strikes.back().event;
    count /= 2;
  }
  for (std::size_t i = 0; i < count; ++i) {
    drawn.strikes.push_back(draw_strike(chance, drawn, before));
    before = drawn.strikes.back().event;
  }
  std::ranges::stable_sort(drawn.strikes, {}, &network_strike::event);
  return drawn;
}

std::string to_text(network_strike_kind kind) {
  constexpr std::array names = {"a worker dies",      "a machine dies",       "a worker freezes",
                                "a rank dies",        "the coordinator dies", "the coordinator freezes",
                                "the scheduler dies", "a connection breaks",  "a connection stalls"};
  return names.at(static_cast<std::size_t>(kind));
}

std::string to_text(const network_scenario& drawn) {
  std::string text = fmt::format("seed {}\n{}", drawn.seed, spec_text(drawn.spec));
  text += fmt::format("  {} workers, checkpoints {}, peers lost after {:g} s\n", drawn.workers,
                      drawn.checkpoints == checkpoint_route::shared ? "shared" : "through the coordinator",
                      drawn.peer_timeout);
  text += fmt::format("  {:g} s an event, {:g} in order, {:g} of the moves cut\n", drawn.pace.seconds_per_event,
                      drawn.pace.in_order, drawn.pace.cut);
  for (const network_strike& one : drawn.strikes)
    text += fmt::format("  strike: {}\n", to_text(one));
  return text;
}

} // namespace troupe::test
