#include "actors/scheduler.hpp"

#include "actors/shell.hpp"

#include <utility>

namespace troupe {

namespace {

using scheduler_pointer = scheduler_actor::stateful_pointer<scheduler_actor_state>;

void dispatch(scheduler_pointer self, coordinator_output&& output) {
  const company& everyone = *self->state.everyone;
  const auto to_rank = [&](rank_order& order) {
    std::visit([&](auto& message) { post(self, everyone.ranks[order.rank], std::move(message)); }, order.what);
  };
  std::visit(
      [&](auto&& one) {
        using type = std::decay_t<decltype(one)>;
        if constexpr (std::is_same_v<type, rank_order>)
          to_rank(one);
        else if constexpr (std::is_same_v<type, restart_order> || std::is_same_v<type, run_given_up> ||
                           std::is_same_v<type, recovery_line_message>)
          post(self, everyone.keeper, std::forward<decltype(one)>(one));
        else if constexpr (std::is_same_v<type, part_lost>)
          post(self, everyone.store, one);
        else if constexpr (std::is_same_v<type, failure_message>)
          tell(self->state.watcher, std::forward<decltype(one)>(one));
        else
          post(self, everyone.recorder, std::forward<decltype(one)>(one));
      },
      std::move(output));
}

/// A fault that the run makes itself: it strikes before the opening, and all that goes with it, is sent.
void strike(scheduler_pointer self, const coordinator_outputs& outputs) {
  for (const coordinator_output& one : outputs)
    if (const auto* const order = std::get_if<rank_order>(&one))
      if (const auto* const opening = std::get_if<step_opening>(&order->what);
          opening != nullptr && self->state.chaos.due(opening->at.step))
        throw run_error("the scheduler was killed by chaos");
}

void warn(scheduler_pointer self, const std::string& text) {
  if (!text.empty())
    post(self, self->state.everyone->recorder, run_warning{text});
}

/// Nobody hears of a decision before the disk has it.
void log_decisions(scheduler_pointer self, const coordinator_outputs& outputs) {
  if (!self->state.log)
    return;
  for (const coordinator_output& one : outputs)
    if (const auto* const closed = std::get_if<step_closed>(&one))
      warn(self, self->state.log->note(*closed));
}

void keep_books(scheduler_pointer self) {
  if (!self->state.keeper)
    return;
  if (auto books = self->state.coordinator->changed_books())
    post(self, self->state.keeper, books_message{std::move(books)});
}

/// The keeper gets the books with what is sent: a scheduler dies between two handlers, or before it sends anything.
void send(scheduler_pointer self, coordinator_outputs outputs) {
  strike(self, outputs);
  log_decisions(self, outputs);
  keep_books(self);
  for (coordinator_output& output : outputs)
    dispatch(self, std::move(output));
}

template <class Message>
auto accepting(scheduler_pointer self) {
  return on<Message>(self, [self](const Message& in) { send(self, self->state.coordinator->accept(in)); });
}

void look_later(scheduler_pointer self) {
  const double longest = self->state.coordinator->longest_step_seconds();
  post_later(self, std::chrono::duration<double>(self->state.stalls.patience(longest)), look_message{});
}

/// Who has interrupted a run that stalls would wait without knowing for what.
void tell_of_wait(scheduler_pointer self) {
  const step_coordinator& coordinator = *self->state.coordinator;
  if (coordinator.books().interrupted && self->state.stalls.still_stalled(coordinator.progress()) &&
      !std::exchange(self->state.told_of_wait, true))
    warn(self, "the interrupted run waits for the end of its step, in which messages may have got lost; a second "
               "interrupt ends it at once");
}

/// Messages may have got lost.
void look(scheduler_pointer self) {
  step_coordinator& coordinator = *self->state.coordinator;
  const double waited = self->state.stalls.patience(coordinator.longest_step_seconds());
  if (self->state.stalls.stalled_at(coordinator.progress()))
    send(self, coordinator.send_all_again(waited));
  tell_of_wait(self);
  look_later(self);
}

void open_log(scheduler_pointer self, const run_setup& setup, incarnation life) {
  if (setup.spec.checkpoint.directory.empty())
    return;
  const log_start start =
      life > 1 ? log_start::go_on : log_start_of(setup.spec, setup.options->resume, setup.options->followed);
  std::vector<std::string> warnings;
  self->state.log.emplace(setup.spec, versions_rule(setup.pipeline), start, setup.first_step(), setup.log, warnings,
                          setup.options->log_disk);
  for (const std::string& one : warnings)
    warn(self, one);
}

/// The first introduction begins the run; later ones tell of ranks that live again.
void meet(scheduler_pointer self, const run_setup& setup, incarnation life,
          const std::shared_ptr<const company>& everyone) {
  const bool first = self->state.everyone == nullptr;
  self->state.everyone = everyone;
  if (!first)
    return;
  open_log(self, setup, life);
  look_later(self);
}

void note_checkpoint(scheduler_pointer self, const checkpoint_committed& in) {
  send(self, self->state.coordinator->accept(in));
  if (self->state.log)
    warn(self, self->state.log->note_checkpoint());
}

void interrupt(scheduler_pointer self) {
  self->state.coordinator->interrupt();
  keep_books(self);
  tell_of_wait(self);
}

/// What a handler throws is told to who starts the scheduler again, or ends the run.
void watch_over(scheduler_pointer self, const keeper_actor& keeper, const observer& watcher) {
  if (!keeper)
    return guard(self, watcher, "the scheduler");
  guard_with(self, [keeper](const std::exception_ptr& thrown) {
    tell(keeper, scheduler_failed{describe_failure(thrown, "the scheduler")});
  });
}

} // namespace

scheduler_actor::behavior_type scheduler(scheduler_pointer self, const setup_ptr& setup, const scheduler_start& start,
                                         const observer& watcher) {
  watch_over(self, start.keeper, watcher);
  self->state.watcher = watcher;
  self->state.keeper = start.keeper;
  self->state.chaos = scheduler_chaos(setup->chaos, start.life);
  self->state.coordinator.emplace(coordinator_setup{&setup->spec, &setup->pipeline, setup->data, setup->first_step(),
                                                    setup->clock, start.books, setup->held_steps.has_value()});
  if (start.life > 1)
    self->state.coordinator->note_own_recovery(start.cause, start.noticed);
  return {
      on<introduction>(
          self, [self, setup, life = start.life](const introduction& in) { meet(self, *setup, life, in.everyone); }),
      accepting<rank_ready>(self),
      accepting<credit_message>(self),
      accepting<loss_message>(self),
      accepting<step_report>(self),
      on<checkpoint_committed>(self, [self](const checkpoint_committed& in) { note_checkpoint(self, in); }),
      accepting<checkpoint_failed>(self),
      accepting<digest_report>(self),
      accepting<rank_lost>(self),
      accepting<snapshot_kept>(self),
      accepting<snapshot_lost>(self),
      on<look_message>(self, [self](const look_message&) { look(self); }),
      on<interrupt_message>(self, [self](const interrupt_message&) { interrupt(self); }),
  };
}

} // namespace troupe
