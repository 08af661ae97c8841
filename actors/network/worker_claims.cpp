#include "actors/network/worker_claims.hpp"

#include "actors/network/connector.hpp"
#include "actors/network/peers.hpp"
#include "runtime/network/fingerprint.hpp"
#include "runtime/network/placement.hpp"
#include "runtime/network/run_limits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <span>
#include <unistd.h>

namespace troupe {

namespace {

run_id draw_run_id() {
  std::random_device chance;
  run_id drawn{};
  for (std::uint8_t& byte : drawn)
    byte = static_cast<std::uint8_t>(chance());
  return drawn;
}

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
    : self_(self), setup_(std::move(setup)), how_(std::move(how)), watcher_(std::move(watcher)), run_(draw_run_id()),
      given_up_(std::make_shared<std::atomic<bool>>(false)) {
  const auto places = place_ranks(setup_->pipeline.ranks(), how_.workers.size());
  for (std::size_t number = 0; number < places.size(); ++number)
    if (!places[number].empty()) // more workers than ranks: the last ones are not needed
      members_.emplace_back(how_.workers[number], places[number]);
}

void worker_claims::claim() {
  for (std::uint32_t number = 0; number < members_.size(); ++number) {
    self_->spawn<caf::detached>(connector, connector_setup{caf::actor(self_), number, members_[number].address,
                                                           how_.connect_timeout, given_up_});
    ++connecting_;
  }
}

void worker_claims::connected(const peer_connected& in) {
  --connecting_;
  if (leaving_) {
    ::close(in.socket);
    return tell_when_left();
  }
  member& one = members_[in.number];
  one.link = spawn_link(self_->system(), in.socket,
                        link_setup{.owner = caf::actor(self_),
                                   .tls = how_.tls,
                                   .side = tls_side::client,
                                   .expected_host = one.address.host,
                                   .peer_timeout = how_.peer_timeout});
}

void worker_claims::failed(const connecting_failed& in) {
  --connecting_;
  fail(error_kind::run, fmt::format("{} {}", name_of_member(members_[in.number]), in.reason));
  tell_when_left();
}

void worker_claims::ready(const link_ready& in) {
  if (const member* one = find(in.link); one != nullptr)
    say(in.link, hello{.protocol = wire_protocol,
                       .version = TROUPE_VERSION,
                       .role = peer_role::coordinator,
                       .run = run_,
                       .arithmetic = fingerprint_here(setup_->spec.pipeline.threads_per_stage)});
}

void worker_claims::said(const peer_said& in) {
  if (member* one = find(in.link); one != nullptr && !failed_ && !leaving_)
    std::visit([&](const auto& message) { said_by(*one, message); }, in.what);
}

void worker_claims::lost(const peer_lost& in) {
  member* const one = find(in.link);
  if (one == nullptr)
    return;
  one->link = nullptr;
  fail(in.kind == error_kind::security ? error_kind::security : error_kind::run,
       one->at == stage::connecting ? fmt::format("{}: {}", name_of_member(*one), in.reason)
                                    : fmt::format("{} was lost: it {}", name_of_member(*one), in.reason));
  tell_when_left();
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
  tell(from.link, identify_peer{limits_of(setup_->spec, *setup_->family, setup_->pipeline)});
  from.at = stage::greeted;
  say(from.link, clock_probe{setup_->clock()});
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
    if (all_at(stage::measured))
      assign_all();
  }
}

void worker_claims::assign_all() {
  for (std::uint32_t number = 0; number < members_.size(); ++number)
    say(members_[number].link, assignment_for(number));
}

assignment worker_claims::assignment_for(std::uint32_t number) const {
  assignment made{.run = run_,
                  .worker = number,
                  .spec = setup_->spec,
                  .pipeline = setup_->pipeline,
                  .peer_timeout_seconds = how_.peer_timeout,
                  .checkpoints = how_.checkpoints};
  for (const member& one : members_)
    made.workers.push_back({to_string(one.address), one.ranks});
  if (!made.spec.checkpoint.directory.empty()) // workers may have been started elsewhere
    made.spec.checkpoint.directory = std::filesystem::absolute(made.spec.checkpoint.directory).string();
  if (const checkpoint* start = setup_->options->resume; start != nullptr) {
    made.resume_directory = std::filesystem::absolute(start->path()).string();
    made.steps_done = start->steps_done();
    made.resume_through_coordinator = how_.checkpoints == checkpoint_route::coordinator;
  }
  return made;
}

void worker_claims::said_by(member& from, const assignment_taken&) {
  reach(from, stage::assigned);
  if (all_at(stage::assigned))
    for (const member& one : members_)
      say(one.link, connect_neighbours{});
}

void worker_claims::said_by(member& from, const neighbours_connected&) {
  reach(from, stage::wired);
  if (!all_at(stage::wired))
    return;
  workers_ready told;
  told.link_of_rank.resize(setup_->pipeline.ranks());
  told.node_of_rank.resize(setup_->pipeline.ranks());
  for (const member& one : members_)
    for (const std::uint32_t rank : one.ranks) {
      told.link_of_rank[rank] = one.link;
      told.node_of_rank[rank] = to_string(one.address);
    }
  tell(watcher_, told);
}

void worker_claims::begin(const begin_run& in) {
  link_routes ours;
  ours.here.ranks.resize(setup_->pipeline.ranks());
  ours.here.scheduler = in.everyone->scheduler;
  ours.here.recorder = in.everyone->recorder;
  ours.here.store = in.everyone->store;
  const wire_limits limits = limits_of(setup_->spec, *setup_->family, setup_->pipeline);
  for (const member& one : members_) {
    if (!one.link) // lost since; the watcher was told
      continue;
    auto routes = std::make_shared<link_routes>(ours);
    routes->peer_ranks.insert(one.ranks.begin(), one.ranks.end());
    tell(one.link, open_routes{routes, limits, setup_->spec.pipeline.wire, how_.peer_timeout});
    say(one.link, start_ranks{one.clock_offset});
  }
}

void worker_claims::said_by(member& from, const link_lost& in) {
  fail(error_kind::run, in.worker < members_.size()
                            ? fmt::format("{} was lost by {}: it {}", name_of_member(members_[in.worker]),
                                          name_of_member(from), in.reason)
                            : fmt::format("{} lost a worker: it {}", name_of_member(from), in.reason));
}

void worker_claims::said_by(member& from, const refusal& in) {
  fail(in.kind, fmt::format("{} refuses: {}", name_of_member(from), in.text));
}

void worker_claims::said_by(member& from, const failure_message& in) {
  fail(in.kind, fmt::format("{}: {}", name_of_member(from), in.text));
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
  leaving_ = true;
  *given_up_ = true;
  for (const member& one : members_)
    if (one.link) {
      say(one.link, release{});
      tell(one.link, close_link{});
    }
  tell_when_left();
}

void worker_claims::tell_when_left() {
  if (!leaving_ || connecting_ > 0 || std::ranges::any_of(members_, [](const member& one) { return bool(one.link); }))
    return;
  tell(watcher_, left_run{});
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

worker_claims::member* worker_claims::find(const caf::actor& link) {
  const auto found = std::ranges::find_if(members_, [&](const member& one) { return one.link == link; });
  return found == members_.end() ? nullptr : &*found;
}

std::string worker_claims::name_of_member(const member& one) const {
  return fmt::format("worker {} ({} {})", to_string(one.address), one.ranks.size() == 1 ? "rank" : "ranks",
                     fmt::join(one.ranks, ","));
}

} // namespace troupe
