#include "tests/support/unruly_network.hpp"

#include "runtime/stage_output.hpp"
#include "runtime/step_coordinator.hpp"

#include <algorithm>
#include <chrono>
#include <type_traits>
#include <utility>
#include <variant>

namespace troupe::test {

namespace {

template <class Variant>
struct alternatives;
template <class... Messages>
struct alternatives<std::variant<Messages...>> {
  static bool contain(const message_content& what) { return (what.match_elements<Messages>() || ...); }
};

/// What travels between ranks, and between ranks and scheduler. The rest stays within a process: who keeps a rank tells
/// the others of it.
bool may_be_lost(const message_content& what) {
  return alternatives<rank_output>::contain(what) || alternatives<decltype(rank_order::what)>::contain(what);
}

template <class State, class Handle>
const State* state_of(const Handle& handle) {
  using actor_class = std::remove_pointer_t<typename Handle::template stateful_pointer<State>>;
  const auto* const actor = caf::actor_cast<const caf::abstract_actor*>(handle);
  if (actor == nullptr || actor->getf(caf::abstract_actor::is_terminated_flag) ||
      actor->getf(caf::abstract_actor::is_cleaned_up_flag))
    return nullptr;
  const auto* const whole = dynamic_cast<const actor_class*>(actor);
  return whole == nullptr ? nullptr : &whole->state;
}

} // namespace

/// Stands before an actor and puts what it gets into the bag, in the same moment.
class unruly_run::relay : public caf::monitorable_actor {
public:
  relay(caf::actor_config& config, unruly_run* run, caf::strong_actor_ptr target, actor_name name)
      : monitorable_actor(config), run_(run), target_(std::move(target)), name_(name) {}

  using abstract_actor::enqueue;
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* /*host*/) override {
    run_->put(target_, name_, what->move_content_to_message());
  }

private:
  unruly_run* run_;
  caf::strong_actor_ptr target_;
  actor_name name_;
};

deterministic_config::deterministic_config() {
  add_message_types<caf::id_block::troupe>();
  set("scheduler.policy", caf::atom("testing"));
  set("scheduler.max-throughput", std::size_t{1});
  set("logger.verbosity", caf::atom("quiet"));
}

unruly_run::unruly_run(const run_spec& spec, const data_source& data, run_options options, std::uint64_t seed,
                       const unruliness& how, onlooker* watching)
    : chance_(seed), options_(std::move(options)), how_(how), watching_(watching), system_(config_),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())),
      setup_(make_setup(spec, &data, options_, 1)), observer_(system_) {
  setup_->clock = [this] { return now(); };
  const auto view = [this](const company& all) { return relayed(all); };
  everyone_ = spawn_company(system_, setup_, caf::actor_cast<observer>(observer_), side_actors::scheduled, view);
  const auto shared = relayed(everyone_);
  introduce(everyone_, shared, shared);
}

template <class Handle>
Handle unruly_run::relay_of(const Handle& target, actor_role role, std::uint32_t rank) {
  const auto actor = caf::actor_cast<caf::strong_actor_ptr>(target);
  relayed_actor& known = known_[actor->get()];
  if (!known.relay) {
    incarnation& life = role == actor_role::rank ? lives_[rank] : scheduler_life_;
    known = {{role, rank, ++life}, actor, {}};
    caf::actor_config config{system_.dummy_execution_unit()};
    known.relay = caf::make_actor<relay, caf::strong_actor_ptr>(system_.next_actor_id(), system_.node(), &system_,
                                                                config, this, actor, known.name);
  }
  return caf::actor_cast<Handle>(known.relay);
}

std::shared_ptr<const company> unruly_run::relayed(const company& all) {
  everyone_ = all;
  company seen = all;
  lives_.resize(all.ranks.size());
  for (std::uint32_t rank = 0; rank < seen.ranks.size(); ++rank)
    seen.ranks[rank] = relay_of(all.ranks[rank], actor_role::rank, rank);
  seen.scheduler = relay_of(all.scheduler, actor_role::scheduler, 0);
  const auto direct = [this](const auto& handle, actor_role role) {
    const auto actor = caf::actor_cast<caf::strong_actor_ptr>(handle);
    known_[actor->get()] = {{role, 0, 1}, actor, {}};
  };
  direct(all.keeper, actor_role::keeper);
  direct(all.recorder, actor_role::recorder);
  direct(all.store, actor_role::store);
  return std::make_shared<const company>(seen);
}

unruly_run::~unruly_run() {
  watching_ = nullptr;
  caf::anon_send_exit(everyone_.keeper, caf::exit_reason::kill); // first, or it starts others again
  scheduler_.run();
  for (const auto& [address, one] : known_)
    caf::anon_send_exit(one.actor, caf::exit_reason::kill);
  scheduler_.run();
}

double unruly_run::now() const {
  constexpr double start = 1.0; // 0 means never, to some
  constexpr double a_look = 1e-9;
  const auto passed = scheduler_.clock().now().time_since_epoch();
  return start + std::chrono::duration<double>(passed).count() + a_look * static_cast<double>(++looks_);
}

const stage_actor_state* unruly_run::state_of_rank(std::uint32_t rank) const {
  return state_of<stage_actor_state>(everyone_.ranks[rank]);
}

const scheduler_actor_state* unruly_run::state_of_scheduler() const {
  return state_of<scheduler_actor_state>(everyone_.scheduler);
}

const keeper_actor_state* unruly_run::state_of_keeper() const {
  return state_of<keeper_actor_state>(everyone_.keeper);
}

void unruly_run::kill_rank(std::uint32_t rank) {
  caf::anon_send_exit(everyone_.ranks[rank], caf::exit_reason::kill);
}

void unruly_run::kill_scheduler() {
  caf::anon_send_exit(everyone_.scheduler, caf::exit_reason::kill);
}

outcome unruly_run::play(const std::function<void(std::uint64_t)>& before_event) {
  while (!stopped_ && !seen_.report && !seen_.failure && (before_event(events_), !stopped_ && happen()))
    hear();
  return seen_;
}

void unruly_run::hear() {
  while (observer_->has_next_message())
    observer_->receive([&](const run_finished& in) { seen_.report = *in.report; },
                       [&](const failure_message& in) { seen_.failure = in; });
}

bool unruly_run::happen() {
  if (scheduler_.jobs.empty() && bag_.empty())
    return let_time_pass();
  ++events_;
  if (how_.seconds_per_event > 0.0)
    scheduler_.advance_time(
        std::chrono::duration_cast<caf::timespan>(std::chrono::duration<double>(how_.seconds_per_event)));
  const std::size_t choice = pick();
  if (choice < scheduler_.jobs.size())
    run_job(choice);
  else
    deliver(choice - scheduler_.jobs.size());
  return true;
}

std::size_t unruly_run::any_of(std::size_t choices) {
  return static_cast<std::size_t>(chance_() % choices);
}

bool unruly_run::happens(double share) {
  constexpr unsigned spare_bits = 11; // of 64 that a double has no room for
  return share > 0.0 && static_cast<double>(chance_() >> spare_bits) * 0x1p-53 < share;
}

/// Of the jobs, which come first, and the messages in the bag.
std::size_t unruly_run::pick() {
  constexpr int tries = 8;
  const std::size_t choices = scheduler_.jobs.size() + bag_.size();
  if (happens(how_.in_order))
    return 0;
  std::size_t choice = any_of(choices);
  for (int i = 0; i < tries && is_starved(choice); ++i)
    choice = any_of(choices);
  return choice;
}

bool unruly_run::is_starved(std::size_t choice) const {
  if (!how_.starved)
    return false;
  const std::size_t jobs = scheduler_.jobs.size();
  actor_name name = choice < jobs ? name_of(scheduler_.jobs[choice]) : bag_[choice - jobs].to;
  name.life = how_.starved->life;
  return name == *how_.starved;
}

/// CAF's own actors count as the keeper's zeroth life.
actor_name unruly_run::name_of(const caf::resumable* job) const {
  const auto found = known_.find(dynamic_cast<const caf::abstract_actor*>(job));
  return found == known_.end() ? actor_name{actor_role::keeper, 0, 0} : found->second.name;
}

void unruly_run::run_job(std::size_t place) {
  const auto chosen = scheduler_.jobs.begin() + static_cast<std::ptrdiff_t>(place);
  caf::resumable* const job = *chosen;
  std::rotate(scheduler_.jobs.begin(), chosen, chosen + 1);
  if (watching_ == nullptr) {
    scheduler_.run_once();
    return settle(job);
  }
  const actor_name who = name_of(job);
  auto* const actor = dynamic_cast<caf::scheduled_actor*>(job);
  const caf::mailbox_element* const next = actor == nullptr ? nullptr : actor->peek_at_next_mailbox_element();
  watching_->before(who, next == nullptr ? nullptr : &next->content());
  scheduler_.run_once();
  watching_->after(who);
  settle(job);
}

/// An actor that has handled all that it got asks for another turn, to see that; it is no event.
void unruly_run::settle(const caf::resumable* ran) {
  if (scheduler_.jobs.empty() || scheduler_.jobs.back() != ran)
    return;
  auto* const actor = dynamic_cast<caf::scheduled_actor*>(scheduler_.jobs.back());
  if (actor == nullptr || actor->peek_at_next_mailbox_element() != nullptr)
    return;
  std::rotate(scheduler_.jobs.begin(), scheduler_.jobs.end() - 1, scheduler_.jobs.end());
  scheduler_.run_once();
}

void unruly_run::put(const caf::strong_actor_ptr& target, const actor_name& to, caf::message what) {
  if (watching_ != nullptr)
    watching_->sent(to, *what.cvals());
  const bool loses = may_be_lost(*what.cvals());
  bag_.push_back({target, to, std::move(what), loses});
}

void unruly_run::deliver(std::size_t place) {
  const message one = bag_[place];
  const bag_fate fate = fate_of(one);
  if (watching_ != nullptr) {
    const auto waited_longer = bag_.begin() + static_cast<std::ptrdiff_t>(place);
    const bool overtook =
        std::any_of(bag_.begin(), waited_longer, [&](const message& other) { return other.to == one.to; });
    watching_->picked(one.to, *one.what.cvals(), fate, overtook);
  }
  if (fate != bag_fate::stays)
    bag_.erase(bag_.begin() + static_cast<std::ptrdiff_t>(place));
  if (fate == bag_fate::lost)
    ++lost_;
  else
    receiver_of(one)->enqueue(nullptr, caf::make_message_id(), one.what, system_.dummy_execution_unit());
}

/// Nobody is heard of before it has begun.
caf::strong_actor_ptr unruly_run::receiver_of(const message& one) const {
  if (how_.to_successors && one.to.role == actor_role::rank) {
    const stage_actor_state* const rank = state_of_rank(one.to.rank);
    if (rank != nullptr && rank->runner)
      return caf::actor_cast<caf::strong_actor_ptr>(everyone_.ranks[one.to.rank]);
  }
  if (how_.to_successors && one.to.role == actor_role::scheduler) {
    const scheduler_actor_state* const next = state_of_scheduler();
    if (next != nullptr && next->everyone != nullptr)
      return caf::actor_cast<caf::strong_actor_ptr>(everyone_.scheduler);
  }
  return one.target;
}

bag_fate unruly_run::fate_of(const message& one) {
  if (one.may_be_lost && happens(how_.lost))
    return bag_fate::lost;
  return happens(how_.duplicated) ? bag_fate::stays : bag_fate::arrives;
}

/// A run that goes on for ever without getting anywhere is a hang, too.
bool unruly_run::let_time_pass() {
  constexpr std::uint64_t most = 20000;
  if (how_.lost <= 0.0 || ++time_outs_ > most || !scheduler_.trigger_timeout())
    return false;
  if (watching_ != nullptr)
    watching_->waited();
  return true;
}

} // namespace troupe::test
