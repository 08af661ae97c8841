// From the orders of --chaos to events: what is left open is drawn, and the lives are counted.
#include "runtime/faults/chaos.hpp"

#include "model/error.hpp"
#include "model/random.hpp"
#include "runtime/run_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace troupe {

namespace {

bool strikes_once(const chaos_order& order) {
  return strikes_rank(order.verb) || order.verb == chaos_verb::kill_scheduler;
}

bool strikes_messages(const chaos_order& order) {
  return !strikes_once(order) && order.verb != chaos_verb::disk;
}

bool kills(const chaos_event& event) {
  return event.verb == chaos_verb::kill || event.verb == chaos_verb::kill_process;
}

[[noreturn]] void refuse(const chaos_order& order, const std::string& found, const std::string& expected) {
  throw spec_error(fmt::format("faults.chaos: {}: found {}, expected {}", order.text, found, expected));
}

bool snapshot_follows(const chaos_run& run, std::uint64_t step) {
  return run.snapshot_every > 0 && (step + 1) % run.snapshot_every == 0;
}

/// Whether any step of the run is followed by a snapshot.
bool has_snapshots(const chaos_run& run) {
  const std::uint64_t every = run.snapshot_every;
  return every != 0 && run.first_step / every * every + every <= run.end_step;
}

void expect_snapshot(const chaos_order& order, const chaos_run& run) {
  if (order.moment != chaos_moment::during_snapshot)
    return;
  if (!has_snapshots(run))
    refuse(order, "at=during-snapshot", "another moment, since no step of the run is followed by a snapshot");
  if (order.step && !snapshot_follows(run, *order.step))
    refuse(order, fmt::format("at=during-snapshot in step {}", *order.step + 1),
           fmt::format("a step that faults.snapshot_every ({}) divides", run.snapshot_every));
}

/// Messages and writes are struck by their number, whoever makes them: there must be some.
void expect_something_to_strike(const chaos_order& order, const chaos_run& run) {
  if (order.verb == chaos_verb::drop && run.snapshot_every == 0)
    refuse(order, "faults.snapshot_every 0",
           "1 or more, since without snapshots nobody keeps what is to be sent again");
  if (strikes_messages(order) && run.ranks == 1)
    refuse(order, "pipeline.stages 1", "2 or more, since a rank alone sends no messages to others");
  if (order.verb == chaos_verb::disk && !run.checkpoints && !(run.snapshots_on_disk && has_snapshots(run)))
    refuse(order, "a run that writes neither checkpoints nor snapshots",
           "checkpoint.directory or faults.snapshot_directory");
}

/// The numbers that are drawn for one event, each by its own index: a 64-bit word modulo the number of choices.
class draw {
public:
  draw(std::uint64_t seed, std::size_t order, std::uint32_t repetition)
      : stream_{.seed = seed, .purpose = random_purpose::chaos, .x = order, .y = repetition, .z = 0} {}

  enum class what { rank, step, action, moment };
  template <class Number>
  Number below(Number choices, what which) const {
    return static_cast<Number>(stream_.word64(static_cast<std::uint64_t>(which)) % choices);
  }

private:
  random_stream stream_;
};

/// Of the steps that a snapshot follows, where that is the moment.
std::uint64_t drawn_step(const chaos_order& order, const chaos_run& run, const draw& from) {
  if (order.moment != chaos_moment::during_snapshot)
    return run.first_step + from.below(run.end_step - run.first_step, draw::what::step);
  const std::uint64_t before = run.first_step / run.snapshot_every;
  const std::uint64_t snapshots = run.end_step / run.snapshot_every - before;
  return (before + 1 + from.below(snapshots, draw::what::step)) * run.snapshot_every - 1;
}

chaos_event resolve(const chaos_order& order, std::size_t place, std::uint32_t repetition, const chaos_run& run) {
  const draw from(order.seed, place, repetition);
  chaos_event event{.verb = order.verb, .seconds = order.seconds};
  event.step = order.step ? *order.step : drawn_step(order, run, from);
  if (!strikes_rank(order.verb))
    return event;
  event.rank = order.rank ? *order.rank : from.below(run.ranks, draw::what::rank);
  const std::uint64_t moments = snapshot_follows(run, event.step) ? 4 : 3;
  event.moment = order.moment ? *order.moment : static_cast<chaos_moment>(from.below(moments, draw::what::moment));
  if (event.moment != chaos_moment::during_snapshot)
    event.action = order.action ? *order.action : from.below(run.actions[event.rank], draw::what::action);
  return event;
}

/// Ranks reach faults of one step in an order that is not known beforehand, but for a rank's own. The death of a
/// process counts first: a rank that would have been struck before it runs the step again, and is struck then.
auto place_in_time(const chaos_event& event) {
  return std::tuple(event.step, event.verb != chaos_verb::kill_process, event.moment == chaos_moment::during_snapshot,
                    event.action, event.moment);
}

bool share_process(const chaos_run& run, std::uint32_t one, std::uint32_t other) {
  return one == other || (!run.processes.empty() && run.processes[one] == run.processes[other]);
}

void count_lives(std::vector<chaos_event>& events, const chaos_run& run) {
  std::vector<incarnation> lives(run.ranks, 1);
  incarnation scheduler = 1;
  for (chaos_event& event : events) {
    if (event.verb == chaos_verb::kill_scheduler) {
      event.life = scheduler++;
      continue;
    }
    event.life = lives[event.rank];
    for (std::uint32_t rank = 0; kills(event) && rank < run.ranks; ++rank)
      if (rank == event.rank || (event.verb == chaos_verb::kill_process && share_process(run, rank, event.rank)))
        ++lives[rank];
  }
}

} // namespace

bool strikes_rank(chaos_verb verb) {
  return verb == chaos_verb::kill || verb == chaos_verb::kill_process || verb == chaos_verb::freeze;
}

chaos_run chaos_run_of(const run_spec& spec) {
  return {.ranks = spec.pipeline.stages,
          .end_step = final_step(spec),
          .snapshot_every = spec.faults.snapshot_every,
          .checkpoints = !spec.checkpoint.directory.empty(),
          .snapshots_on_disk = !spec.faults.snapshot_directory.empty(),
          .actions = {}};
}

chaos_run chaos_run_of(const run_spec& spec, const plan& pipeline, std::uint64_t first_step) {
  chaos_run run = chaos_run_of(spec);
  run.ranks = pipeline.ranks();
  run.first_step = first_step;
  run.snapshot_every = steps_between_snapshots(spec, pipeline.order.asynchronous.has_value());
  for (std::uint32_t rank = 0; rank < run.ranks; ++rank) {
    // A continued step that flushes is the shortest there is.
    const auto& asynchronous = pipeline.order.asynchronous;
    const std::size_t ahead = asynchronous ? asynchronous->ahead[rank] : 0;
    run.actions.push_back(static_cast<std::uint32_t>(pipeline.order.actions[rank].size() - ahead));
  }
  return run;
}

void expect_possible(const std::vector<chaos_order>& orders, const chaos_run& run) {
  for (const chaos_order& order : orders) {
    if (!strikes_once(order)) {
      expect_something_to_strike(order, run);
      continue;
    }
    if (order.rank && *order.rank >= run.ranks)
      refuse(order, fmt::format("rank {}", *order.rank), fmt::format("0 to {}", run.ranks - 1));
    if (order.step && (*order.step < run.first_step || *order.step >= run.end_step))
      refuse(order, fmt::format("step {}", *order.step + 1), fmt::format("{} to {}", run.first_step + 1, run.end_step));
    if (order.action && !run.actions.empty()) {
      // With any rank, the action must be one that every rank has.
      const std::uint32_t actions = order.rank ? run.actions[*order.rank] : std::ranges::min(run.actions);
      if (*order.action >= actions)
        refuse(order, fmt::format("action {}", *order.action), fmt::format("0 to {}", actions - 1));
    }
    expect_snapshot(order, run);
  }
}

std::vector<chaos_event> resolve_chaos(const std::vector<chaos_order>& orders, const chaos_run& run) {
  TROUPE_CHECK(run.actions.size() == run.ranks, "events are drawn from the actions of every rank");
  std::vector<chaos_event> events;
  if (run.first_step >= run.end_step)
    return events; // no step is left to strike in
  expect_possible(orders, run);
  for (std::size_t place = 0; place < orders.size(); ++place)
    for (std::uint32_t repetition = 0; strikes_once(orders[place]) && repetition < orders[place].count; ++repetition)
      events.push_back(resolve(orders[place], place, repetition, run));
  std::ranges::stable_sort(events, {}, place_in_time);
  count_lives(events, run);
  for (const chaos_order& order : orders)
    if (!strikes_once(order))
      events.push_back({.verb = order.verb,
                        .seconds = order.seconds,
                        .share = order.share,
                        .seed = order.seed,
                        .write = order.write,
                        .error = order.error});
  return events;
}

std::vector<chaos_event> chaos_of(const run_spec& spec, const plan& pipeline, std::uint64_t first_step,
                                  std::vector<std::uint32_t> processes) {
  chaos_run run = chaos_run_of(spec, pipeline, first_step);
  run.processes = std::move(processes);
  return resolve_chaos(parse_chaos(spec.faults.chaos), run);
}

} // namespace troupe
