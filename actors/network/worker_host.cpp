#include "actors/network/worker_host.hpp"

#include "actors/network/peers.hpp"
#include "actors/run.hpp"
#include "actors/shell.hpp"
#include "runtime/network/fingerprint.hpp"
#include "runtime/network/run_limits.hpp"
#include "runtime/part_writer.hpp"
#include "runtime/recovery/snapshot_shelf.hpp"
#include "runtime/run_spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unistd.h>

namespace troupe {

worker_host::worker_host(self_pointer self, worker_setup setup, observer watcher)
    : self_(self), setup_(std::move(setup)), watcher_(std::move(watcher)) {}

// What links and connectors tell

void worker_host::ready(const link_ready& in) {
  if (!run_)
    return;
  for (const auto& [number, link] : run_->introducing) // a link that we made: we speak first
    if (link == in.link)
      say(in.link, introduction_of(peer_role::neighbour, number));
}

void worker_host::said(const peer_said& in) {
  if (ending_)
    return;
  std::visit([&](const auto& message) { said_by(in.link, message); }, in.what);
}

void worker_host::lost(const peer_lost& in) {
  if (next_ && next_->link == in.link)
    next_.reset();
  if (!run_)
    return;
  if (in.link == run_->coordinator) {
    if (!run_->leaving)
      note(fmt::format("lost the coordinator: it {}", in.reason));
    run_->coordinator = nullptr;
    run_->handing_over = !run_->leaving && may_hold();
    leave();
    return;
  }
  for (auto* links : {&run_->neighbours, &run_->introducing})
    for (auto at = links->begin(); at != links->end(); ++at)
      if (at->second == in.link) {
        const std::uint32_t number = at->first;
        links->erase(at);
        if (!run_->leaving && is_partner(number)) {
          note(fmt::format("lost worker {}: it {}", place_of(number), in.reason));
          say(run_->coordinator, link_lost{number, in.reason});
        }
        forget_if_over();
        return;
      }
}

void worker_host::connected(const peer_connected& in) {
  if (!run_ || run_->leaving || !run_->task || !is_partner(in.number)) { // it, or the run, was lost meanwhile
    ::close(in.socket);
    return;
  }
  const network_address address = parse_address(place_of(in.number), "worker");
  run_->introducing[in.number] = spawn_link(self_->system(), in.socket,
                                            link_setup{.owner = caf::actor(self_),
                                                       .tls = setup_.tls,
                                                       .side = tls_side::client,
                                                       .expected_host = address.host,
                                                       .peer_timeout = run_->task->peer_timeout_seconds,
                                                       .clock = setup_.outside.clock});
}

void worker_host::failed(const connecting_failed& in) {
  if (!run_ || run_->leaving || !is_partner(in.number))
    return;
  note(fmt::format("worker {} {}", place_of(in.number), in.reason));
  say(run_->coordinator, link_lost{in.number, in.reason});
}

// What peers say

template <class Message>
void worker_host::said_by(const caf::actor& link, const Message&) {
  refuse(link, error_kind::protocol,
         fmt::format("a worker was sent {}, which is not for it", name_of(wire_message(Message{}))));
}

void worker_host::said_by(const caf::actor& link, const hello& in) {
  if (in.protocol != wire_protocol)
    return refuse(link, error_kind::protocol,
                  fmt::format("protocol {} (troupe {}) was found, this worker speaks protocol {} (troupe {})",
                              in.protocol, in.version, wire_protocol, TROUPE_VERSION));
  if (in.role == peer_role::coordinator)
    claim(link, in);
  else if (in.role == peer_role::neighbour)
    greet_neighbour(link, in);
  else
    refuse(link, error_kind::protocol, "a worker called a worker, expected a coordinator or a neighbour");
}

void worker_host::claim(const caf::actor& link, const hello& in) {
  if (run_ && run_->leaving && !next_) { // it is as good as free
    next_ = {link, in};
    return;
  }
  if (run_ && run_->id == in.run)
    return refuse(link, error_kind::run, "it is in this run already, expected each worker under one address");
  if (run_)
    return refuse(link, error_kind::run, fmt::format("this worker is busy with run {}", short_name(run_->id)));
  run_.emplace();
  run_->id = in.run;
  run_->coordinator = link;
  run_->given_up = std::make_shared<std::atomic<bool>>(false);
  run_->alarm = std::make_unique<alarm_clock>();
  tell(link, identify_peer{limits_before_assignment});
  hello answer = introduction_of(peer_role::worker, 0);
  say(link, std::move(answer));
  note(fmt::format("run {}: claimed", short_name(run_->id)));
}

void worker_host::greet_neighbour(const caf::actor& link, const hello& in) {
  if (!run_ || run_->leaving || !run_->task || run_->id != in.run)
    return refuse(link, error_kind::run,
                  fmt::format("run {} was found, expected {}", short_name(in.run),
                              run_ && run_->task ? "run " + short_name(run_->id) : "none"));
  if (in.target_worker != run_->task->worker || !is_partner(in.source_worker) ||
      run_->neighbours.contains(in.source_worker))
    return refuse(
        link, error_kind::protocol,
        fmt::format("worker {} calling worker {} was found, expected a neighbour that has not called yet, and "
                    "worker {}",
                    in.source_worker, in.target_worker, run_->task->worker));
  const auto called = run_->introducing.find(in.source_worker);
  if (called == run_->introducing.end() || called->second != link) // it called us, and expects an answer
    say(link, introduction_of(peer_role::neighbour, in.source_worker));
  admit_neighbour(in.source_worker, link);
}

void worker_host::said_by(const caf::actor& link, const assignment& in) {
  if (!from_coordinator(link) || run_->task)
    return refuse(link, error_kind::protocol, "an assignment was found, expected it once, from the coordinator");
  if (in.run != run_->id)
    return refuse(link, error_kind::protocol, "an assignment of another run was found");
  try {
    validate(in.spec);
    if (in.checkpoints == checkpoint_route::shared && !in.spec.checkpoint.directory.empty())
      expect_shared_directory(in.spec.checkpoint.directory);
    prepare_shelf(in.spec);
    run_->task = in;
    run_->options = {};
    open_start(in);
    run_->options.pipeline = &run_->task->pipeline;
    const auto offset = run_->clock_offset = std::make_shared<std::atomic<double>>(0.0);
    const auto setup = make_setup(in.spec, nullptr, run_->options, usable_processors());
    if (run_->read_there)
      setup->start = &*run_->read_there;
    settle_chaos(*setup, in.steps_done, hosts_of(in.where));
    setup->clock = [offset, here = setup_.outside.clock] { return here() + *offset; };
    run_->setup = setup;
    run_->limits = limits_of(setup->spec, *setup->family, setup->pipeline);
  } catch (const error& e) {
    refuse(link, e.kind(), e.what());
    return leave();
  }
  spawn_members();
  const std::vector<std::uint32_t>& ranks = in.where.workers[in.worker].ranks;
  note(fmt::format("run {}: worker {} of {}, {}", short_name(run_->id), in.worker, in.where.workers.size(),
                   ranks.empty() ? "a spare" : fmt::format("ranks {}", fmt::join(ranks, ","))));
  say(link, assignment_taken{});
}

void worker_host::open_start(const assignment& in) {
  if (in.resume_directory.empty())
    return;
  if (in.resume_through_coordinator) {
    run_->read_there.emplace(run_->coordinator, in.steps_done);
    return;
  }
  expect_shared_directory(in.resume_directory, "the checkpoint that the run goes on from, in one place for all");
  std::vector<std::string> warnings;
  run_->start = checkpoint::open_latest(in.resume_directory, warnings);
  if (run_->start->steps_done() != in.steps_done)
    throw checkpoint_error(fmt::format("{}: found a checkpoint after {} steps, expected the coordinator's after {}",
                                       in.resume_directory, run_->start->steps_done(), in.steps_done));
  run_->options.resume = &*run_->start;
}

void worker_host::said_by(const caf::actor& link, const connect_neighbours&) {
  if (!from_coordinator(link) || !run_->task || run_->connecting)
    return refuse(link, error_kind::protocol, "connect_neighbours was found, expected it once, after an assignment");
  run_->connecting = true;
  call_others();
  tell_when_connected();
}

/// Everybody in the run but ourselves: a rank may come to live anywhere.
bool worker_host::is_partner(std::uint32_t worker) const {
  const placement& where = run_->task->where;
  return worker != run_->task->worker && worker < where.workers.size() &&
         where.workers[worker].standing != worker_standing::gone;
}

/// Of two workers the one with the smaller number calls.
void worker_host::call_others() {
  for (std::uint32_t number = run_->task->worker + 1; number < run_->task->where.workers.size(); ++number)
    if (is_partner(number) && run_->called.insert(number).second)
      call(number);
}

void worker_host::call(std::uint32_t worker) {
  setup_.outside.connect(self_->system(), connector_setup{.owner = caf::actor(self_),
                                                          .number = worker,
                                                          .address = parse_address(place_of(worker), "worker"),
                                                          .seconds = setup_.connect_timeout,
                                                          .given_up = run_->given_up});
}

void worker_host::admit_neighbour(std::uint32_t worker, const caf::actor& link) {
  run_->neighbours[worker] = link;
  run_->introducing.erase(worker);
  tell(link, identify_peer{});
  open_routes_to(link);
  tell_when_connected();
}

bool worker_host::connected_to_all() const {
  for (std::uint32_t number = 0; number < run_->task->where.workers.size(); ++number)
    if (is_partner(number) && !run_->neighbours.contains(number))
      return false;
  return true;
}

void worker_host::tell_when_connected() {
  const std::uint64_t version = run_->task->where.version;
  if (!run_->connecting || run_->connected_version == version || !connected_to_all())
    return;
  run_->connected_version = version;
  say(run_->coordinator, neighbours_connected{version});
}

caf::actor worker_host::link_to(std::uint32_t worker) const {
  for (const auto* links : {&run_->neighbours, &run_->introducing})
    if (const auto found = links->find(worker); found != links->end())
      return found->second;
  return nullptr;
}

void worker_host::said_by(const caf::actor& link, const clock_probe& in) {
  if (!from_coordinator(link))
    return refuse(link, error_kind::protocol, "clock_probe was found, expected it from the coordinator");
  say(link, clock_answer{in.sent, setup_.outside.clock()});
}

void worker_host::said_by(const caf::actor& link, const start_ranks& in) {
  if (!from_coordinator(link) || run_->connected_version == 0 || run_->started)
    return refuse(link, error_kind::protocol, "start_ranks was found, expected it once, after neighbours_connected");
  run_->started = true;
  *run_->clock_offset = in.clock_offset;
  if (run_->task->from_held)
    tell(run_->shelf, recovery_line_message{run_->task->steps_done});
  begin_ranks();
}

void worker_host::said_by(const caf::actor& link, const release&) {
  if (!from_coordinator(link))
    return refuse(link, error_kind::protocol, "release was found, expected it from the coordinator");
  leave();
}

void worker_host::said_by(const caf::actor& link, const parameter_answer& in) {
  if (!from_coordinator(link) || !run_->read_there)
    return refuse(link, error_kind::protocol, "parameter_answer was found, expected it after a request");
  run_->read_there->take(in);
}

void worker_host::said_by(const caf::actor& link, const refusal& in) {
  if (!run_ || run_->leaving) // there may be no coordinator any more to tell
    return;
  for (const auto& [number, other] : run_->introducing)
    if (other == link) {
      note(fmt::format("worker {} refuses: {}", place_of(number), in.text));
      say(run_->coordinator, link_lost{number, "refuses: " + in.text});
    }
}

// The run

void worker_host::leave() {
  if (!run_ || run_->leaving)
    return forget_if_over();
  run_->leaving = true;
  if (run_->read_there)
    run_->read_there->give_up();
  *run_->given_up = true;
  for (const caf::actor& one : run_->alive)
    if (run_->handing_over && one == run_->shelf)
      tell(one, hand_over{});
    else
      caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  for (auto* links : {&run_->neighbours, &run_->introducing})
    for (const auto& [number, link] : *links)
      tell(link, close_link{});
  if (run_->coordinator)
    tell(run_->coordinator, close_link{});
  forget_if_over();
}

void worker_host::forget_if_over() {
  if (!run_ || !run_->leaving || !run_->alive.empty() || run_->coordinator || !run_->neighbours.empty() ||
      !run_->introducing.empty())
    return;
  if (held_ && held_->time_is_over)
    drop_held("nobody has come for them");
  note(fmt::format("run {}: over, waiting for the next", short_name(run_->id)));
  run_.reset();
  if (ending_)
    tell(watcher_, left_run{});
  else if (next_)
    admit_next();
}

void worker_host::admit_next() {
  const next_claim waiting = *std::exchange(next_, std::nullopt);
  claim(waiting.link, waiting.said);
}

void worker_host::end() {
  ending_ = true;
  if (!run_) {
    tell(watcher_, left_run{});
    return;
  }
  if (run_->coordinator && !run_->leaving)
    say(run_->coordinator, failure_message{error_kind::run, "a worker was told to end"});
  leave();
}

// Small things

bool worker_host::from_coordinator(const caf::actor& link) const {
  return run_ && !run_->leaving && run_->coordinator == link;
}

void worker_host::refuse(const caf::actor& link, error_kind kind, const std::string& text) {
  note("refused a peer: " + text);
  say(link, refusal{kind, text});
  tell(link, close_link{});
}

hello worker_host::introduction_of(peer_role role, std::uint32_t target) const {
  hello made{.protocol = wire_protocol,
             .version = TROUPE_VERSION,
             .role = role,
             .run = run_->id,
             .source_worker = run_->task ? run_->task->worker : 0,
             .target_worker = target};
  made.arithmetic = fingerprint_here();
  return made;
}

std::string worker_host::place_of(std::uint32_t worker) const {
  return run_->task->where.workers[worker].address;
}

/// Whoever started this worker need not read what it says; the user of the run is the coordinator's.
void worker_host::warned(const run_warning& in) const {
  if (setup_.on_warning)
    setup_.on_warning(in.text);
  if (run_ && run_->coordinator && !run_->leaving)
    say(run_->coordinator, worker_warning{in.text});
}

void worker_host::note(const std::string& text) const {
  if (setup_.on_event)
    setup_.on_event(text);
}

} // namespace troupe
