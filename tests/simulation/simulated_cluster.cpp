#include "tests/simulation/simulated_cluster.hpp"

#include "actors/network/messages.hpp"
#include "actors/shell.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace troupe::test {

namespace {

constexpr double idle_step = 2e-3; ///< seconds that pass at a time when nothing else can happen
constexpr double first_pause = 0.05;
constexpr double longest_pause = 1.0;

caf::abstract_actor* actor_of(caf::resumable* job) {
  return dynamic_cast<caf::abstract_actor*>(job);
}

bool has_ended(const caf::abstract_actor& actor) {
  return actor.getf(caf::abstract_actor::is_terminated_flag) || actor.getf(caf::abstract_actor::is_cleaned_up_flag);
}

} // namespace

cluster::config::config() {
  add_message_types<caf::id_block::troupe>();
  add_message_types<caf::id_block::troupe_network>();
  load<caf::io::middleman, simulated_multiplexer>();
  set("scheduler.policy", caf::atom("testing"));
  set("scheduler.max-throughput", std::size_t{1});
  set("logger.verbosity", caf::atom("quiet"));
  set("middleman.manual-multiplexing", true);
  set("middleman.attach-utility-actors", true);
  set("middleman.enable-automatic-connections", false);
}

cluster::cluster(std::uint64_t seed, const cluster_pace& pace, event_log& log)
    : chance_(seed), pace_(pace), log_(log), system_(config_),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())),
      caf_(dynamic_cast<simulated_multiplexer&>(system_.middleman().backend())) {
  caf_.wire = &wire_;
  processes_.push_back({.name = "CAF", .main = {}, .actors = {}});
  scheduler_.run();
}

cluster::~cluster() {
  end();
}

void cluster::end() {
  seen_ = nullptr;
  std::ranges::copy(std::exchange(dead_jobs_, {}), std::back_inserter(scheduler_.jobs));
  const auto kill_all = [this] {
    bool any = false;
    for (process_number who = 0; who < processes_.size(); ++who)
      for (const caf::abstract_actor* const actor : actors_of(who)) {
        caf::anon_send_exit(actor->address(), caf::exit_reason::kill);
        any = true;
      }
    return any;
  };
  while (kill_all()) // who dies may have spawned another one before
    while (!scheduler_.jobs.empty()) {
      scheduler_.run_once();
      adopt();
    }
  attempts_.clear();
  wire_.forget();
  for (process& one : processes_) {
    one.actors.clear();
    one.main.reset();
  }
}

process_number cluster::start(const std::string& name, double clock_offset) {
  const auto number = static_cast<process_number>(processes_.size());
  processes_.push_back(
      {.name = name, .clock_offset = clock_offset, .main = std::make_unique<caf::scoped_actor>(system_), .actors = {}});
  return number;
}

double cluster::now() const {
  return std::chrono::duration<double>(scheduler_.clock().now().time_since_epoch()).count();
}

double cluster::clock_of(process_number who) const {
  constexpr double a_look = 1e-9;
  return now() + processes_[who].clock_offset + a_look * static_cast<double>(++looks_);
}

surroundings cluster::around(process_number who) {
  surroundings made;
  made.clock = [this, who] { return clock_of(who); };
  made.sides = side_actors::scheduled;
  made.draw_run = [this] {
    run_id drawn{};
    for (std::size_t byte = 0; byte < sizeof(std::uint64_t); ++byte)
      drawn[byte] = static_cast<std::uint8_t>(chance_.below(256));
    drawn.back() = ++runs_drawn_; // so that no two are the same
    return drawn;
  };
  made.connect = [this, who](caf::actor_system&, const connector_setup& setup) {
    attempts_.push_back({who, setup, now() + setup.seconds, now(), first_pause});
  };
  return made;
}

bool cluster::runs(process_number who) const {
  return processes_[who].alive && processes_[who].frozen_until <= now();
}

void cluster::within(process_number who, const std::function<void()>& act) {
  const process_number before = std::exchange(wire_.running, who);
  act();
  adopt();
  wire_.running = before;
}

/// Actors that the process which runs has spawned want their first turn.
void cluster::adopt() {
  for (caf::resumable* const job : scheduler_.jobs)
    if (const auto [known, is_new] = owner_.try_emplace(job, wire_.running); is_new)
      if (caf::abstract_actor* const actor = actor_of(job); actor != nullptr)
        processes_[wire_.running].actors.emplace_back(actor->ctrl());
}

void cluster::kill(process_number who, process_death how) {
  processes_[who].alive = false;
  std::erase_if(attempts_, [&](const attempt& one) { return one.who == who; });
  wire_.end_process(who, how == process_death::told);
}

void cluster::end_silence(process_number former) {
  for (const auto& [number, one] : wire_.ends())
    if (one.owner == former)
      wire_.end(one.peer).ends = true;
}

void cluster::freeze(process_number who, double seconds) {
  processes_[who].frozen_until = now() + seconds;
}

void cluster::pass_time(double seconds) {
  scheduler_.advance_time(std::chrono::duration_cast<caf::timespan>(std::chrono::duration<double>(seconds)));
  adopt();
}

void cluster::happen() {
  std::vector<std::size_t> jobs;
  for (std::size_t place = 0; place < scheduler_.jobs.size();) {
    caf::resumable* const job = scheduler_.jobs[place];
    const process_number owner = owner_.at(job);
    if (!processes_[owner].alive) {
      dead_jobs_.push_back(job);
      scheduler_.jobs.erase(scheduler_.jobs.begin() + static_cast<std::ptrdiff_t>(place));
      continue;
    }
    if (runs(owner))
      jobs.push_back(place);
    ++place;
  }
  std::vector<simulated_wire::possible> acts = wire_.possible_acts(now());
  std::erase_if(acts, [this](const simulated_wire::possible& one) { return !runs(one.actor); });
  std::vector<std::size_t> attempts;
  for (std::size_t place = 0; place < attempts_.size(); ++place)
    if (attempts_[place].next <= now() && runs(attempts_[place].who))
      attempts.push_back(place);
  const std::size_t choices = jobs.size() + acts.size() + attempts.size();
  if (choices == 0)
    return pass_time(idle_step);
  ++events_;
  pass_time(pace_.seconds_per_event);
  std::size_t choice = chance_.part() < pace_.in_order ? 0 : chance_.below(choices);
  log_.note(choice);
  if (choice < jobs.size())
    return run_job(jobs[choice]);
  choice -= jobs.size();
  if (choice < acts.size()) {
    const simulated_wire::possible& what = acts[choice];
    const double part = chance_.part() < pace_.cut ? chance_.part() : 1.0;
    constexpr const char* names[] = {"accepts", "sends", "hears", "hears the end"};
    log_.say("{} {:.6f} {}: {} at {} {:.3f}", events_, now(), name_of(what.actor),
             names[static_cast<std::size_t>(what.what)], what.end - (1 << 30), part);
    return within(what.actor, [&] { wire_.happen(caf_, what, part); });
  }
  try_attempt(attempts[choice - acts.size()]);
}

void cluster::run_job(std::size_t place) {
  const auto chosen = scheduler_.jobs.begin() + static_cast<std::ptrdiff_t>(place);
  caf::resumable* const job = *chosen;
  std::rotate(scheduler_.jobs.begin(), chosen, chosen + 1);
  const process_number owner = owner_.at(job);
  auto* const actor = dynamic_cast<caf::scheduled_actor*>(job);
  if (actor != nullptr && seen_) {
    const caf::mailbox_element* const next = actor->peek_at_next_mailbox_element();
    seen_(owner, *actor, next == nullptr ? nullptr : &next->content());
  }
  within(owner, [this] { scheduler_.run_once(); });
  // Who has handled all that he got asks for another turn, to see that; it is no event.
  if (!scheduler_.jobs.empty() && scheduler_.jobs.back() == job && actor != nullptr &&
      actor->peek_at_next_mailbox_element() == nullptr) {
    std::rotate(scheduler_.jobs.begin(), scheduler_.jobs.end() - 1, scheduler_.jobs.end());
    within(owner, [this] { scheduler_.run_once(); });
  }
}

void cluster::try_attempt(std::size_t place) {
  attempt& one = attempts_[place];
  const auto over = [&](auto what) {
    const attempt done = one;
    attempts_.erase(attempts_.begin() + static_cast<std::ptrdiff_t>(place));
    log_.say("{} {:.6f} {}: connector {}", events_, now(), name_of(done.who), done.setup.address.port);
    within(done.who, [&] { tell(done.setup.owner, what); });
  };
  if (*one.setup.given_up || one.next > one.deadline)
    return over(connecting_failed{one.setup.number, "could not be reached"});
  const process_number before = std::exchange(wire_.running, one.who);
  const std::optional<int> made = wire_.connect(one.setup.address.port);
  wire_.running = before;
  if (made)
    return over(peer_connected{one.setup.number, *made, one.setup.address});
  one.next = now() + one.pause;
  one.pause = std::min(2 * one.pause, longest_pause);
  if (one.next >= one.deadline)
    one.next = one.deadline + 1e-6;
}

std::vector<caf::abstract_actor*> cluster::actors_of(process_number who) const {
  std::vector<caf::abstract_actor*> found;
  for (const caf::strong_actor_ptr& one : processes_[who].actors)
    if (caf::abstract_actor* const actor = one->get(); !has_ended(*actor))
      found.push_back(actor);
  return found;
}

} // namespace troupe::test
