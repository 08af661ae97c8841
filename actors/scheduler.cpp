#include "actors/scheduler.hpp"

#include "actors/shell.hpp"

namespace troupe {

namespace {

using self_pointer = scheduler_actor::stateful_pointer<scheduler_actor_state>;

void dispatch(self_pointer self, coordinator_output&& output) {
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
        else
          post(self, everyone.recorder, std::forward<decltype(one)>(one));
      },
      std::move(output));
}

void send(self_pointer self, coordinator_outputs outputs) {
  for (coordinator_output& output : outputs)
    dispatch(self, std::move(output));
}

template <class Message>
auto accepting(self_pointer self) {
  return on<Message>(self, [self](const Message& in) { send(self, self->state.coordinator->accept(in)); });
}

void look_later(self_pointer self) {
  const double longest = self->state.coordinator->longest_step_seconds();
  post_later(self, std::chrono::duration<double>(self->state.stalls.patience(longest)), look_message{});
}

/// Messages may have got lost.
void look(self_pointer self) {
  if (self->state.stalls.stalled_at(self->state.coordinator->progress()))
    send(self, self->state.coordinator->send_all_again());
  look_later(self);
}

/// The first introduction begins the run; later ones tell of ranks that live again.
void meet(self_pointer self, const std::shared_ptr<const company>& everyone) {
  const bool first = self->state.everyone == nullptr;
  self->state.everyone = everyone;
  if (first)
    look_later(self);
}

} // namespace

scheduler_actor::behavior_type scheduler(self_pointer self, const setup_ptr& setup, const observer& watcher) {
  guard(self, watcher, "the scheduler");
  self->state.coordinator.emplace(
      coordinator_setup{&setup->spec, &setup->pipeline, setup->data, setup->first_step(), setup->clock});
  return {
      on<introduction>(self, [self](const introduction& in) { meet(self, in.everyone); }),
      accepting<rank_ready>(self),
      accepting<credit_message>(self),
      accepting<loss_message>(self),
      accepting<step_report>(self),
      accepting<checkpoint_committed>(self),
      accepting<checkpoint_failed>(self),
      accepting<digest_report>(self),
      accepting<rank_lost>(self),
      accepting<snapshot_kept>(self),
      accepting<snapshot_lost>(self),
      on<look_message>(self, [self](const look_message&) { look(self); }),
      on<interrupt_message>(self, [self](const interrupt_message&) { self->state.coordinator->interrupt(); }),
  };
}

} // namespace troupe
