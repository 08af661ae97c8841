#include "tests/simulation/network_training.hpp"

#include "actors/network/listener.hpp"
#include "actors/network/worker.hpp"
#include "actors/network/worker_shelf.hpp"
#include "actors/stage.hpp"
#include "runtime/generation.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "runtime/recovery/run_log.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/simulation/message_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <filesystem>
#include <map>
#include <utility>

namespace troupe::test {

namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t first_port = 1000;
/// Virtual seconds and events after the last fault within which a run ends that gets somewhere.
constexpr double most_seconds = 120.0;
constexpr std::uint64_t most_events = 3000000;
/// Runs that end with an error before they have begun, as a worker was away.
constexpr std::uint32_t most_failures = 20;

run_report train_calmly(run_spec spec, const data_source& data) {
  spec.checkpoint = {};
  return spec.pipeline.schedule.starts_with("pipedream") ? run_one_thread(spec, data, run_options{})
                                                         : run_reference(spec, data, run_options{});
}

/// What `troupe train --resume` finds.
void find_former(simulated_coordinator::setup& how) {
  const fs::path directory = how.spec.checkpoint.directory;
  if (directory.empty() || !fs::is_regular_file(directory / decision_log_name))
    return;
  how.follows = true;
  if (list_generations(directory).steps.empty())
    return;
  std::vector<std::string> warnings;
  how.resume.emplace(checkpoint::open_latest(directory, warnings));
}

bool same_bits(const std::vector<double>& found, const std::vector<double>& expected, std::uint64_t first) {
  if (first + found.size() != expected.size())
    return false;
  for (std::size_t i = 0; i < found.size(); ++i)
    if (std::bit_cast<std::uint64_t>(found[i]) != std::bit_cast<std::uint64_t>(expected[first + i]))
      return false;
  return true;
}

} // namespace

network_training::network_training(network_scenario drawn, std::FILE* out)
    : drawn_(std::move(drawn)), log_(out), data_(drawn_.spec), all_(drawn_.seed, drawn_.pace, log_),
      witness_(all_, log_), machines_(drawn_.workers) {}

network_training::~network_training() {
  all_.end();
}

void network_training::fail(const std::string& what) {
  if (problem_.empty())
    problem_ = what;
}

seed_result network_training::run() {
  if (!drawn_.spec.checkpoint.directory.empty())
    fs::remove_all(drawn_.spec.checkpoint.directory);
  log_.say("{}", to_text(drawn_));
  reference_ = train_calmly(drawn_.spec, data_);
  for (std::size_t place = 0; place < machines_.size(); ++place)
    start_worker(place);
  start_coordinator();
  while (goes_on()) {
    while (struck_ < drawn_.strikes.size() && drawn_.strikes[struck_].event <= all_.events())
      strike_now(drawn_.strikes[struck_++]);
    come_back();
    all_.happen();
    if (!coordinators_.empty() && all_.runs(coordinators_.back()->who()))
      coordinators_.back()->look();
    look_at_returns();
    look_at_workers();
  }
  if (problem_.empty())
    await_quiet();
  counts_[counted::seeds] = 1;
  counts_[counted::events] = all_.events();
  counts_[counted::bytes] = all_.wire().moved();
  for (const auto& one : coordinators_)
    counts_[counted::returns] += one->returns();
  log_.note(all_.wire().moved());
  log_.say("{}", problem_.empty() ? "as promised" : "FAILED: " + problem_);
  return {problem_, log_.hash(), counts_};
}

void network_training::start_worker(std::size_t place) {
  constexpr double hour = 3600.0;
  machine& where = machines_[place];
  if (std::exchange(where.silent, false))
    all_.end_silence(where.worker);
  const process_number who = where.worker =
      all_.start(fmt::format("worker {}", place), 1.0 + hour * all_.chance().part());
  where.back_at = 0.0;
  worker_setup how{.tls = nullptr,
                   .peer_timeout = drawn_.peer_timeout,
                   .connect_timeout = 5.0,
                   .hold = drawn_.hold,
                   .on_event = [this, who](const std::string& text) { log_.say("  {}: {}", all_.name_of(who), text); },
                   .outside = all_.around(who)};
  all_.within(who, [&] {
    const caf::actor host = all_.system().spawn(worker, how, caf::actor_cast<observer>(all_.main_of(who)));
    listen(all_.system(),
           *all_.system().middleman().backend().new_tcp_doorman(static_cast<std::uint16_t>(first_port + place),
                                                                "127.0.0.1", true),
           link_setup{.owner = host,
                      .tls = nullptr,
                      .side = tls_side::server,
                      .expected_host = {},
                      .peer_timeout = drawn_.peer_timeout,
                      .clock = how.outside.clock});
  });
}

void network_training::start_coordinator() {
  next_coordinator_at_.reset();
  began_ = all_.now();
  returns_seen_ = 0;
  blows_ = 0;
  const process_number who = all_.start(fmt::format("coordinator {}", coordinators_.size()), 1.0);
  simulated_coordinator::setup how{.spec = drawn_.spec, .data = &data_};
  for (std::size_t place = 0; place < machines_.size(); ++place)
    how.workers.workers.push_back({"127.0.0.1", static_cast<std::uint16_t>(first_port + place)});
  how.workers.peer_timeout = drawn_.peer_timeout;
  how.workers.connect_timeout = 30.0;
  how.workers.checkpoints = drawn_.checkpoints;
  how.workers.on_event = [this, who](const std::string& text) { log_.say("  {}: {}", all_.name_of(who), text); };
  find_former(how);
  log_.say("coordinator {} {}", coordinators_.size(),
           how.resume    ? fmt::format("goes on after {} steps", how.resume->steps_done())
           : how.follows ? "goes on with a decision log"
                         : "begins anew");
  counts_[counted::resumes] += how.follows ? 1 : 0;
  coordinators_.push_back(std::make_unique<simulated_coordinator>(all_, who, std::move(how)));
  witness_.follow(*coordinators_.back());
}

bool network_training::goes_on() {
  if (problem_.empty())
    problem_ = witness_.problem();
  if (!problem_.empty())
    return false;
  if (next_coordinator_at_ || !coordinators_.back()->over()) {
    expect_progress();
    return problem_.empty();
  }
  if (coordinators_.back()->failure())
    judge_failure();
  else
    judge();
  return problem_.empty() && next_coordinator_at_.has_value();
}

void network_training::expect_progress() {
  if (all_.now() - last_fault_ > most_seconds || all_.events() > most_events)
    fail(fmt::format("a run ends: found it going on {:.0f} s after the last fault, after {} events",
                     all_.now() - last_fault_, all_.events()));
}

std::vector<std::size_t> network_training::living_machines() const {
  std::vector<std::size_t> found;
  for (std::size_t place = 0; place < machines_.size(); ++place)
    if (all_.lives(machines_[place].worker))
      found.push_back(place);
  return found;
}

void network_training::strike_now(const network_strike& one) {
  using kind = network_strike_kind;
  log_.say("{} {:.6f} strike: {}", all_.events(), all_.now(), to_text(one.what));
  log_.note(static_cast<std::uint64_t>(one.what));
  last_fault_ = std::max(last_fault_, all_.now() + one.seconds);
  note_blow(one);
  const simulated_coordinator& head = *coordinators_.back();
  switch (one.what) {
  case kind::worker_dies:
  case kind::machine_dies:
  case kind::worker_freezes:
    return strike_worker(one);
  case kind::rank_dies:
    return strike_rank(one);
  case kind::connection_breaks:
  case kind::connection_stalls:
    return strike_connection(one);
  case kind::coordinator_dies:
    if (next_coordinator_at_ || head.over())
      return;
    counts_[counted::coordinator_deaths]++;
    all_.kill(head.who(), one.part < 0.5 ? process_death::told : process_death::silent);
    next_coordinator_at_ = all_.now() + one.seconds;
    return;
  case kind::coordinator_freezes:
    counts_[counted::freezes]++;
    return all_.freeze(head.who(), one.seconds);
  case kind::scheduler_dies:
    if (next_coordinator_at_ || !head.scheduler_now())
      return;
    counts_[counted::scheduler_deaths]++;
    return all_.within(head.who(), [&] { caf::anon_send_exit(head.scheduler_now(), caf::exit_reason::kill); });
  }
}

/// How much of what a run may lose before it goes back it can lose by this: one of two copies, or all of them.
void network_training::note_blow(const network_strike& one) {
  using kind = network_strike_kind;
  constexpr std::uint32_t all = 2;
  if (one.what == kind::coordinator_freezes)
    blows_ += all;
  else if (one.what != kind::rank_dies && one.what != kind::scheduler_dies && one.what != kind::coordinator_dies)
    blows_ += has_spare_copies() ? 1 : all;
}

/// Whether the run goes on without going back, whichever of its workers is lost.
bool network_training::has_spare_copies() const {
  std::map<std::uint32_t, std::uint32_t> copies; // by rank, of what it would live again from
  std::uint32_t shelves = 0;
  for (const std::size_t place : living_machines())
    for (caf::abstract_actor* const actor : all_.actors_of(machines_[place].worker))
      if (const auto* const shelf = dynamic_cast<const caf::stateful_actor<worker_shelf_state>*>(actor)) {
        ++shelves;
        for (const held_snapshot& one : shelf->state.shelf.content())
          copies[one.rank] += one.steps_done == witness_.needed() ? 1 : 0;
      }
  return shelves >= 2 && (witness_.needed() == 0 ||
                          std::ranges::all_of(copies, [](const auto& of_rank) { return of_rank.second >= 2; }));
}

/// Each rank's state is at two workers, where there are two: a run that is under way goes back only when it may have
/// lost both. One that is being claimed begins anew when any worker is lost.
void network_training::look_at_returns() {
  const simulated_coordinator& head = *coordinators_.back();
  if (head.returns() == returns_seen_)
    return;
  returns_seen_ = head.returns();
  if (head.ended_running() && blows_ < 2)
    fail(fmt::format("a run does not go back by one loss: found that it did by {}", blows_));
  blows_ = 0;
}

void network_training::strike_worker(const network_strike& one) {
  const std::vector<std::size_t> living = living_machines();
  if (living.empty())
    return;
  machine& where = machines_[living[one.whom % living.size()]];
  if (one.what == network_strike_kind::worker_freezes) {
    counts_[counted::freezes]++;
    return all_.freeze(where.worker, one.seconds);
  }
  counts_[counted::worker_deaths]++;
  where.silent = one.what == network_strike_kind::machine_dies;
  all_.kill(where.worker, where.silent ? process_death::silent : process_death::told);
  where.back_at = all_.now() + one.seconds;
}

void network_training::strike_rank(const network_strike& one) {
  std::vector<std::pair<process_number, caf::actor>> ranks;
  for (const std::size_t place : living_machines())
    for (caf::abstract_actor* const actor : all_.actors_of(machines_[place].worker))
      if (const auto* const rank = dynamic_cast<stage_actor::stateful_pointer<stage_actor_state>>(actor);
          rank != nullptr && rank->state.everyone) // before it has begun it does nothing that it could die of
        ranks.emplace_back(machines_[place].worker, caf::actor_cast<caf::actor>(caf::strong_actor_ptr(actor->ctrl())));
  if (ranks.empty())
    return;
  counts_[counted::rank_deaths]++;
  const auto& [where, rank] = ranks[one.whom % ranks.size()];
  all_.within(where, [&] { caf::anon_send_exit(rank, caf::exit_reason::kill); });
}

void network_training::strike_connection(const network_strike& one) {
  std::vector<int> open;
  for (const auto& [number, end] : all_.wire().ends())
    if (!end.closed && end.scribe)
      open.push_back(number);
  if (open.empty())
    return;
  const int chosen = open[one.whom % open.size()];
  if (one.what == network_strike_kind::connection_breaks) {
    counts_[counted::broken_connections]++;
    return all_.wire().break_at(chosen, one.part);
  }
  counts_[counted::stalled_connections]++;
  all_.wire().end(chosen).silent_until = all_.now() + one.seconds;
}

void network_training::come_back() {
  for (std::size_t place = 0; place < machines_.size(); ++place)
    if (machines_[place].back_at > 0.0 && machines_[place].back_at <= all_.now())
      start_worker(place);
  if (next_coordinator_at_ && *next_coordinator_at_ <= all_.now()) {
    if (!coordinators_.empty())
      all_.end_silence(coordinators_.back()->who());
    start_coordinator();
  }
}

void network_training::look_at_workers() {
  for (const machine& one : machines_)
    if (all_.lives(one.worker)) {
      caf::scoped_actor& main = all_.main_of(one.worker);
      while (main->has_next_message())
        main->receive([&](const failure_message& in) { fail(fmt::format("a worker goes on: found '{}'", in.text)); },
                      [&](const left_run&) { fail("a worker goes on: found that it has left"); });
    }
}

void network_training::judge() {
  const run_report& found = *coordinators_.back()->report();
  if (found.weights_sha256 != reference_.weights_sha256 || found.optimizer_sha256 != reference_.optimizer_sha256)
    fail(fmt::format("the weights are the reference's: found {}, expected {}", found.weights_sha256,
                     reference_.weights_sha256));
  if (!same_bits(found.losses, reference_.losses, found.first_step) ||
      !same_bits(found.gradient_norms, reference_.gradient_norms, found.first_step))
    fail(fmt::format("losses and norms are the reference's: found others, from step {} on", found.first_step));
  counts_[counted::held_starts] += found.resumed_from == "workers" ? 1 : 0;
  counts_[counted::rank_recoveries] += found.recoveries.size();
}

/// Before a run has begun all workers must be there; who finds one away tries again. Whoever begins when nothing has
/// happened for so long that all must have noticed what did finds none away.
void network_training::judge_failure() {
  const failure_message& failure = *coordinators_.back()->failure();
  log_.say("the run fails: {}", failure.text);
  const bool disturbed = began_ <= last_fault_ + drawn_.peer_timeout;
  const bool excused = failure.kind == error_kind::run && !coordinators_.back()->ended_running() && disturbed;
  if (!excused || ++failures_ > most_failures)
    return fail(fmt::format("a run goes on: found '{}'", failure.text));
  counts_[counted::failed_starts]++;
  next_coordinator_at_ = all_.now() + drawn_.peer_timeout;
}

/// Whether a worker that lives may have lost its coordinator before that had let go of it.
bool network_training::may_hold() const {
  using kind = network_strike_kind;
  return std::ranges::any_of(drawn_.strikes, [](const network_strike& one) {
    return one.what != kind::worker_dies && one.what != kind::rank_dies && one.what != kind::scheduler_dies;
  });
}

/// Every worker waits for the next run, and nothing is left of this one.
void network_training::await_quiet() {
  constexpr std::size_t worker_and_listener = 2;
  const double patience = all_.now() + drawn_.hold + 10.0 * drawn_.peer_timeout;
  const auto is_quiet = [&] {
    return std::ranges::all_of(machines_, [&](const machine& one) {
      return !all_.lives(one.worker) || all_.actors_of(one.worker).size() == worker_and_listener;
    });
  };
  while (!is_quiet()) {
    if (all_.now() > patience) {
      std::string who;
      for (const machine& one : machines_)
        if (all_.lives(one.worker))
          for (caf::abstract_actor* const actor : all_.actors_of(one.worker))
            if (const auto* const local = dynamic_cast<const caf::local_actor*>(actor))
              who += fmt::format(" {}/{}", all_.name_of(one.worker), local->name());
      return fail(fmt::format("every worker returns to waiting: found{}", who));
    }
    all_.happen();
    look_at_workers();
  }
  if (!may_hold() && witness_.held() > 0)
    fail("who was released holds nothing: found that a worker does");
}

seed_result simulate_network(std::uint64_t seed, std::FILE* out) {
  std::unique_ptr<network_training> one;
  try {
    one = std::make_unique<network_training>(draw_network_scenario(seed), out);
    return one->run();
  } catch (const std::exception& thrown) {
    // It may have broken into an actor's turn. That actor never ends, and CAF would wait for it: what is left of the
    // seed stays until its process ends.
    static_cast<void>(one.release());
    return {fmt::format("nothing is thrown: found '{}'", thrown.what()), 0, {}};
  }
}

} // namespace troupe::test
