#include "tests/support/unruly_network.hpp"

#include <utility>

namespace troupe::test {

namespace {

/// An actor of the same interface as `target` that puts what it gets into the bag.
template <class Handle, class... Messages>
typename Handle::behavior_type bagging(const Handle& target, const std::shared_ptr<message_bag>& bag) {
  const auto keep = [target, bag](const auto& message) {
    bag->waiting.push_back([target, message] { caf::anon_send(target, message); });
  };
  return {[keep](const Messages& message) { keep(message); }...};
}

stage_actor::behavior_type stage_relay(const stage_actor& target, const std::shared_ptr<message_bag>& bag) {
  return bagging<stage_actor, introduction, token_message, target_message, activation_message, gradient_message,
                 group_gradient_message, tied_gradient_message, tied_value_message, step_opening, step_decision,
                 digest_request, run_next_message, reconsider_message>(target, bag);
}

scheduler_actor::behavior_type scheduler_relay(const scheduler_actor& target, const std::shared_ptr<message_bag>& bag) {
  return bagging<scheduler_actor, introduction, rank_ready, credit_message, loss_message, step_report,
                 checkpoint_committed, checkpoint_failed, digest_report, interrupt_message>(target, bag);
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
  everyone_ = spawn_company(system_, setup_, caf::actor_cast<observer>(observer_), side_actors::scheduled);
  company relayed = everyone_;
  for (stage_actor& rank : relayed.ranks)
    rank = system_.spawn(stage_relay, rank, bag_);
  relayed.scheduler = system_.spawn(scheduler_relay, everyone_.scheduler, bag_);
  relays_ = relayed;
  const auto shared = std::make_shared<const company>(relayed);
  introduce(everyone_, shared, shared);
}

unruly_run::~unruly_run() {
  for (const company& members : {everyone_, relays_}) {
    for (const stage_actor& rank : members.ranks)
      caf::anon_send_exit(rank, caf::exit_reason::kill);
    caf::anon_send_exit(members.scheduler, caf::exit_reason::kill);
    caf::anon_send_exit(members.recorder, caf::exit_reason::kill);
    caf::anon_send_exit(members.store, caf::exit_reason::kill);
  }
  scheduler_.run();
}

outcome unruly_run::play() {
  outcome seen;
  while (!seen.report && !seen.failure && happen())
    while (observer_->has_next_message())
      observer_->receive([&](const run_finished& in) { seen.report = *in.report; },
                         [&](const failure_message& in) { seen.failure = in; });
  return seen;
}

bool unruly_run::happen() {
  const std::size_t choices = scheduler_.jobs.size() + bag_->waiting.size();
  if (choices == 0)
    return false;
  ++events_;
  std::size_t pick = std::uniform_int_distribution<std::size_t>(0, choices - 1)(chance_);
  if (pick < scheduler_.jobs.size()) {
    std::swap(scheduler_.jobs.front(), scheduler_.jobs[pick]);
    scheduler_.run_once();
    return true;
  }
  pick -= scheduler_.jobs.size();
  const std::function<void()> deliver = bag_->waiting[pick];
  const bool again = std::uniform_int_distribution<int>(0, 9)(chance_) == 0;
  if (!again)
    bag_->waiting.erase(bag_->waiting.begin() + static_cast<std::ptrdiff_t>(pick));
  deliver();
  return true;
}

} // namespace troupe::test
