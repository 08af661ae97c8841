#include "actors/network/worker_claims.hpp"

#include "actors/network/peers.hpp"
#include "actors/shell.hpp"
#include "runtime/network/fingerprint.hpp"
#include "runtime/network/placement.hpp"
#include "runtime/network/run_limits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>

namespace troupe {

namespace {

/// Tensors of optimizer state and older versions that one parameter can have.
constexpr std::uint32_t most_states = 4096;

/// By name; builds nothing.
std::map<std::string, shape> parameter_shapes(const model_spec& spec, const model_family& family) {
  std::map<std::string, shape> shapes;
  for (std::int64_t index = 0; index < family.layer_count(spec); ++index) {
    const layer_ptr one = family.make_layer(spec, index);
    for (const parameter* p : parameters_of(*one))
      shapes.emplace(p->name, p->extents);
  }
  return shapes;
}

} // namespace

worker_claims::worker_claims(self_pointer self, setup_ptr setup, coordinator_setup_of_workers how, observer watcher)
    : self_(self), setup_(std::move(setup)), how_(std::move(how)), watcher_(std::move(watcher)),
      run_(how_.outside.draw_run()), limits_(limits_of(setup_->spec, *setup_->family, setup_->pipeline)),
      key_(key_of(setup_->spec, setup_->pipeline)), first_step_(setup_->first_step()),
      given_up_(std::make_shared<std::atomic<bool>>(false)) {
  for (const network_address& where : how_.workers)
    if (restarts() || members_.size() < setup_->pipeline.ranks()) // those beyond the ranks are spares
      members_.emplace_back(where);
}

/// Not of a run that begins with what workers hold: when one is lost before all have it, the others keep what they
/// held.
bool worker_claims::puts_off() const {
  return ready_ && !running_ && !leaving_ && !from_held_;
}

void worker_claims::said(const peer_said& in) {
  if (puts_off()) {
    put_off_.emplace_back(in);
    return;
  }
  if (member* one = find(in.link); one != nullptr && !failed_ && !leaving_)
    std::visit([&](const auto& message) { said_by(*one, message); }, in.what);
}

void worker_claims::lost(const peer_lost& in) {
  if (puts_off()) {
    put_off_.emplace_back(in);
    return;
  }
  member* const one = find(in.link);
  if (one == nullptr)
    return;
  if (running_ && !leaving_ && !failed_ && restarts())
    return lose(*one, "it " + in.reason, in.silent_for);
  const bool never_met = one->at == stage::connecting;
  one->link = nullptr;
  lose_before_start(*one, in.kind == error_kind::security ? error_kind::security : error_kind::run,
                    never_met ? fmt::format("{}: {}", name_of_member(*one), in.reason)
                              : fmt::format("{} was lost: it {}", name_of_member(*one), in.reason));
  tell_when_left();
}

/// Of a run that begins anew after a loss the others go on, as long as nothing has been assigned; and what workers hold
/// they hold again, for whoever asks next.
void worker_claims::lose_before_start(member& one, error_kind kind, const std::string& text) {
  if (from_held_ && kind == error_kind::run)
    return tell_state_lost(text);
  if (how_.missing == missing_rule::refused)
    return fail(kind, text);
  if (assigned_)
    return tell_state_lost(text);
  note(text);
  one.at = stage::over;
  if (std::ranges::all_of(members_, [](const member& each) { return each.at == stage::over; }))
    return how_.replace_all ? tell_state_lost(text) : fail(kind, text);
  assign_all_when_measured();
}

void worker_claims::said_by(member& from, const hello& in) {
  if (from.at != stage::connecting)
    return fail(error_kind::protocol, fmt::format("{} said hello twice", name_of_member(from)));
  if (in.protocol != wire_protocol || in.version != TROUPE_VERSION)
    return fail(error_kind::run,
                fmt::format("{}: found troupe {} (protocol {}), expected troupe {} (protocol {}) as here",
                            name_of_member(from), in.version, in.protocol, TROUPE_VERSION, wire_protocol));
  arithmetic_fingerprint found = in.arithmetic;
  const auto expected = fingerprint_here(setup_->spec.pipeline.threads_per_stage);
  found.threads = expected.threads; // a worker uses as many as the run says
  if (const std::string other = difference(found, expected);
      !other.empty() && how_.arithmetic == arithmetic_rule::equal)
    return fail(error_kind::run,
                fmt::format("{} may compute other bits: {} as here (--allow-mixed-arithmetic lets it join)",
                            name_of_member(from), other));
  tell(from.link, identify_peer{limits_});
  from.at = stage::greeted;
  if (how_.held && !running_)
    say(from.link, held_request{key_});
  say(from.link, clock_probe{setup_->clock()});
  claim_next();
}

/// The answer lay in the middle of the round trip, give or take half of it; the shortest one tells best.
void worker_claims::said_by(member& from, const clock_answer& in) {
  const double now = setup_->clock();
  if (const double round_trip = now - in.sent; round_trip >= 0.0 && round_trip < from.best_round_trip) {
    from.best_round_trip = round_trip;
    from.clock_offset = (in.sent + now) / 2 - in.here;
  }
  if (from.probes_left > 0) {
    --from.probes_left;
    say(from.link, clock_probe{now});
  } else if (from.at == stage::greeted) {
    from.at = stage::measured;
    if (running_)
      assign_joiner(from);
    else
      assign_all_when_measured();
  }
}

void worker_claims::assign_all_when_measured() {
  if (assigned_ || failed_ || leaving_ || !all_at(stage::measured))
    return;
  assigned_ = true;
  for (member& one : members_)
    if (one.at != stage::over) {
      one.worker = static_cast<std::uint32_t>(where_.workers.size());
      where_.workers.push_back({.address = to_string(one.address), .ranks = {}});
    }
  const auto places = place_ranks(setup_->pipeline.ranks(), where_.workers.size());
  for (std::size_t number = 0; number < places.size(); ++number)
    where_.workers[number].ranks = places[number];
  for (std::uint32_t rank = 0; rank < setup_->pipeline.ranks(); ++rank)
    where_.ranks.push_back({.replica = worker_of(where_, rank)});
  choose_replicas(where_);
  choose_start();
  for (const member& one : members_)
    if (one.worker)
      say(one.link, assignment_for(*one.worker));
}

assignment worker_claims::assignment_for(std::uint32_t worker) const {
  assignment made{.run = run_,
                  .worker = worker,
                  .where = shown_to(worker, where_),
                  .spec = setup_->spec,
                  .pipeline = setup_->pipeline,
                  .peer_timeout_seconds = how_.peer_timeout,
                  .checkpoints = how_.checkpoints,
                  .steps_done = first_step_,
                  .key = key_,
                  .from_held = from_held_};
  if (!made.spec.checkpoint.directory.empty()) // workers may have been started elsewhere
    made.spec.checkpoint.directory = std::filesystem::absolute(made.spec.checkpoint.directory).string();
  const checkpoint* const start = setup_->options->resume;
  if (start != nullptr && !line_moved_ && !from_held_) { // else nobody starts from it any more, and it may be gone
    made.resume_directory = std::filesystem::absolute(start->path()).string();
    made.resume_through_coordinator = how_.checkpoints == checkpoint_route::coordinator;
  }
  return made;
}

void worker_claims::said_by(member& from, const assignment_taken&) {
  reach(from, stage::assigned);
  if (running_)
    connect_joiner(from);
  else if (all_at(stage::assigned))
    for (const member& one : members_)
      if (one.link)
        say(one.link, connect_neighbours{});
}

void worker_claims::said_by(member& from, const neighbours_connected& in) {
  from.connected_version = in.version;
  if (from.at == stage::assigned && !running_) {
    from.at = stage::wired;
    if (all_at(stage::wired))
      fetch_held();
    tell_ready_when_hosted();
  } else if (running_) {
    admit_joiners();
  }
}

void worker_claims::tell_ready() {
  workers_ready told;
  for (std::uint32_t rank = 0; rank < setup_->pipeline.ranks(); ++rank) {
    const member& host = holder_of(worker_of(where_, rank));
    told.link_of_rank.push_back(host.link);
    told.node_of_rank.push_back(to_string(host.address));
  }
  if (from_held_)
    told.held_steps = first_step_;
  ready_ = true;
  tell(watcher_, told);
}

void worker_claims::open_routes_to(const member& one) const {
  auto routes = std::make_shared<link_routes>();
  routes->here.ranks.resize(setup_->pipeline.ranks());
  routes->here.scheduler = everyone_.scheduler;
  routes->here.recorder = everyone_.recorder;
  routes->here.store = everyone_.store;
  routes->peer_hosts = true;
  tell(one.link, open_routes{routes, limits_, setup_->spec.pipeline.wire, how_.peer_timeout});
}

void worker_claims::begin(const begin_run& in) {
  everyone_ = *in.everyone;
  watch_scheduler(in);
  if (failed_) // a worker was lost since; the watcher was told
    return;
  running_ = true;
  for (const member& one : members_)
    if (one.link) {
      open_routes_to(one);
      say(one.link, start_ranks{one.clock_offset});
    }
  hear_what_was_put_off();
}

void worker_claims::hear_what_was_put_off() {
  for (const auto& one : std::exchange(put_off_, {}))
    if (const auto* const heard = std::get_if<peer_said>(&one))
      said(*heard);
    else
      lost(std::get<peer_lost>(one));
}

void worker_claims::said_by(member& from, const refusal& in) {
  const std::string text = fmt::format("{} refuses: {}", name_of_member(from), in.text);
  if (running_ && restarts() && in.kind == error_kind::run)
    return lose(from, "it refuses: " + in.text, 0.0);
  lose_before_start(from, in.kind, text);
}

/// What would come again with another worker ends the run.
void worker_claims::said_by(member& from, const failure_message& in) {
  if (running_ && restarts() && in.kind == error_kind::run)
    return lose(from, in.text, 0.0);
  fail(in.kind, fmt::format("{}: {}", name_of_member(from), in.text));
}

void worker_claims::said_by(member& from, const worker_warning& in) {
  const std::string text = fmt::format("{}: {}", name_of_member(from), in.text);
  if (running_)
    tell(everyone_.recorder, run_warning{text});
  else if (setup_->options->on_warning)
    setup_->options->on_warning(text);
}

void worker_claims::said_by(member& from, const parameter_request& in) {
  parameter_answer answer{.number = in.number};
  try {
    const checkpoint* const start = setup_->options->resume;
    if (start == nullptr)
      throw checkpoint_error(in.name + ": found no checkpoint, expected a run that resumes from one");
    if (shapes_.empty())
      shapes_ = parameter_shapes(setup_->spec.model, *setup_->family);
    const auto found = shapes_.find(in.name);
    if (found == shapes_.end() || in.states > most_states)
      throw checkpoint_error(in.name + ": found a request for it, expected a parameter of the model");
    for (std::uint32_t index = 0; index <= in.states; ++index)
      answer.tensors.push_back(pool_.make(found->second));
    start->read(in.name, answer.tensors.front(), std::span(answer.tensors).subspan(1));
  } catch (const error& e) {
    answer.tensors.clear();
    answer.problem = e.what();
  }
  say(from.link, std::move(answer));
}

template <class Message>
void worker_claims::said_by(member& from, const Message&) {
  fail(error_kind::protocol, fmt::format("{} sent {}, which is not for the coordinator", name_of_member(from),
                                         name_of(wire_message(Message{}))));
}

void worker_claims::leave() {
  if (std::exchange(leaving_, true))
    return;
  for (const auto& one : std::exchange(put_off_, {})) // who is lost need not be let go of
    if (const auto* const gone = std::get_if<peer_lost>(&one))
      if (member* const lost = find(gone->link))
        lost->link = nullptr;
  *given_up_ = true;
  const bool hold_on = from_held_ && !running_; // as when a coordinator is lost
  for (const member& one : members_)
    if (one.link) {
      if (!hold_on)
        say(one.link, release{});
      tell(one.link, close_link{});
    }
  tell_when_left();
}

void worker_claims::tell_when_left() {
  if (!leaving_ || connecting_ > 0 || std::ranges::any_of(members_, [](const member& one) { return bool(one.link); }))
    return;
  tell(watcher_, left_run{});
  if (dismissed_)
    self_->quit();
}

void worker_claims::fail(error_kind kind, const std::string& text) {
  if (failed_ || leaving_)
    return;
  failed_ = true;
  tell(watcher_, failure_message{kind, text});
}

void worker_claims::reach(member& one, stage now) {
  if (static_cast<int>(one.at) + 1 != static_cast<int>(now))
    return fail(error_kind::protocol, fmt::format("{} took a step before its time", name_of_member(one)));
  one.at = now;
}

bool worker_claims::all_at(stage least) const {
  return !failed_ && std::ranges::all_of(members_, [&](const member& one) { return one.at >= least; });
}

worker_claims::member& worker_claims::holder_of(std::uint32_t worker) {
  return *std::ranges::find_if(members_, [&](const member& one) { return one.worker == worker; });
}

void worker_claims::note(const std::string& text) const {
  if (how_.on_event)
    how_.on_event(text);
}

worker_claims::member* worker_claims::find(const caf::actor& link) {
  const auto found = std::ranges::find_if(members_, [&](const member& one) { return one.link == link; });
  return found == members_.end() ? nullptr : &*found;
}

std::string worker_claims::name_of_member(const member& one) const {
  const std::string name = "worker " + to_string(one.address);
  if (!one.worker)
    return name;
  const std::vector<std::uint32_t>& ranks = where_.workers[*one.worker].ranks;
  return ranks.empty() ? name + " (a spare)"
                       : fmt::format("{} ({} {})", name, ranks.size() == 1 ? "rank" : "ranks", fmt::join(ranks, ","));
}

} // namespace troupe
