#include "tests/support/unruly_network.hpp"

#include "runtime/stage_output.hpp"
#include "runtime/step_coordinator.hpp"

#include <type_traits>
#include <utility>

namespace troupe::test {

namespace {

/// What travels between ranks, and between ranks and scheduler. The rest stays within a process: who keeps a rank tells
/// the others of it.
template <class Message>
inline constexpr bool may_be_lost =
    std::is_constructible_v<rank_output, Message> || std::is_constructible_v<decltype(rank_order::what), Message>;

/// An actor of the same interface as `target` that puts what it gets into the bag.
template <class Handle, class... Messages>
typename Handle::behavior_type bagging(const Handle& target, const std::shared_ptr<message_bag>& bag) {
  const auto keep = [target, bag](const auto& message) {
    bag->waiting.push_back(
        {[target, message] { caf::anon_send(target, message); }, may_be_lost<std::decay_t<decltype(message)>>});
  };
  return {[keep](const Messages& message) { keep(message); }...};
}

stage_actor::behavior_type stage_relay(const stage_actor& target, const std::shared_ptr<message_bag>& bag) {
  return bagging<stage_actor, introduction, token_message, target_message, activation_message, gradient_message,
                 group_gradient_message, tied_gradient_message, tied_value_message, step_opening, step_decision,
                 send_again, digest_request, scheduler_successor, successor_message, run_next_message,
                 reconsider_message>(target, bag);
}

scheduler_actor::behavior_type scheduler_relay(const scheduler_actor& target, const std::shared_ptr<message_bag>& bag) {
  return bagging<scheduler_actor, introduction, rank_ready, credit_message, loss_message, step_report,
                 checkpoint_committed, checkpoint_failed, digest_report, rank_lost, snapshot_kept, snapshot_lost,
                 look_message, interrupt_message>(target, bag);
}

} // namespace

deterministic_config::deterministic_config() {
  add_message_types<caf::id_block::troupe>();
  set("scheduler.policy", caf::atom("testing"));
  set("scheduler.max-throughput", std::size_t{1});
  set("logger.verbosity", caf::atom("quiet"));
}

unruly_run::unruly_run(const run_spec& spec, const data_source& data, run_options options, std::uint64_t seed)
    : chance_(seed), options_(std::move(options)), setup_(make_setup(spec, &data, options_, 1)), system_(config_),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())), observer_(system_) {
  const auto view = [this](const company& all) { return relayed(all); };
  everyone_ = spawn_company(system_, setup_, caf::actor_cast<observer>(observer_), side_actors::scheduled, view);
  const auto shared = relayed(everyone_);
  introduce(everyone_, shared, shared);
}

std::shared_ptr<const company> unruly_run::relayed(const company& all) {
  everyone_ = all;
  company seen = all;
  for (stage_actor& rank : seen.ranks) {
    stage_actor& relay = rank_relays_[rank];
    if (!relay)
      relay = system_.spawn(stage_relay, rank, bag_);
    rank = relay;
  }
  scheduler_actor& relay = scheduler_relays_[everyone_.scheduler];
  if (!relay)
    relay = system_.spawn(scheduler_relay, everyone_.scheduler, bag_);
  seen.scheduler = relay;
  return std::make_shared<const company>(seen);
}

unruly_run::~unruly_run() {
  caf::anon_send_exit(everyone_.keeper, caf::exit_reason::kill);
  scheduler_.run();
  for (const auto& [rank, relay] : rank_relays_) {
    caf::anon_send_exit(rank, caf::exit_reason::kill);
    caf::anon_send_exit(relay, caf::exit_reason::kill);
  }
  for (const auto& [one, relay] : scheduler_relays_) {
    caf::anon_send_exit(one, caf::exit_reason::kill);
    caf::anon_send_exit(relay, caf::exit_reason::kill);
  }
  caf::anon_send_exit(everyone_.recorder, caf::exit_reason::kill);
  caf::anon_send_exit(everyone_.store, caf::exit_reason::kill);
  scheduler_.run();
}

void unruly_run::kill_rank(std::uint32_t rank) {
  caf::anon_send_exit(everyone_.ranks[rank], caf::exit_reason::kill);
}

void unruly_run::kill_scheduler() {
  caf::anon_send_exit(everyone_.scheduler, caf::exit_reason::kill);
}

outcome unruly_run::play(const std::function<void(std::uint64_t)>& before_event) {
  outcome seen;
  while (!seen.report && !seen.failure && (before_event(events_), happen()))
    while (observer_->has_next_message())
      observer_->receive([&](const run_finished& in) { seen.report = *in.report; },
                         [&](const failure_message& in) { seen.failure = in; });
  return seen;
}

bool unruly_run::happen() {
  const std::size_t choices = scheduler_.jobs.size() + bag_->waiting.size();
  if (choices == 0)
    return let_time_pass();
  ++events_;
  std::size_t pick = std::uniform_int_distribution<std::size_t>(0, choices - 1)(chance_);
  if (pick < scheduler_.jobs.size()) {
    std::swap(scheduler_.jobs.front(), scheduler_.jobs[pick]);
    scheduler_.run_once();
    return true;
  }
  pick -= scheduler_.jobs.size();
  const message_bag::message one = bag_->waiting[pick];
  const bool again = std::uniform_int_distribution<int>(0, 9)(chance_) == 0;
  if (!again)
    bag_->waiting.erase(bag_->waiting.begin() + static_cast<std::ptrdiff_t>(pick));
  if (!is_lost(one))
    one.deliver();
  return true;
}

/// A run that goes on for ever without getting anywhere is a hang, too.
bool unruly_run::let_time_pass() {
  constexpr std::uint64_t most = 20000;
  return lost_share_ > 0.0 && ++time_outs_ < most && scheduler_.trigger_timeout();
}

bool unruly_run::is_lost(const message_bag::message& one) {
  const bool lost =
      lost_share_ > 0.0 && one.may_be_lost && std::uniform_real_distribution<double>(0.0, 1.0)(chance_) < lost_share_;
  lost_ += lost ? 1 : 0;
  return lost;
}

} // namespace troupe::test
