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
        else
          post(self, everyone.recorder, std::forward<decltype(one)>(one));
      },
      std::move(output));
}

template <class Message>
auto accepting(self_pointer self) {
  return on<Message>(self, [self](const Message& in) {
    for (coordinator_output& output : self->state.coordinator->accept(in))
      dispatch(self, std::move(output));
  });
}

} // namespace

scheduler_actor::behavior_type scheduler(self_pointer self, const setup_ptr& setup, const observer& watcher) {
  guard(self, watcher, "the scheduler");
  self->state.coordinator.emplace(
      coordinator_setup{&setup->spec, &setup->pipeline, setup->data, setup->first_step(), setup->clock});
  return {
      on<introduction>(self, [self](const introduction& in) { self->state.everyone = in.everyone; }),
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
      on<interrupt_message>(self, [self](const interrupt_message&) { self->state.coordinator->interrupt(); }),
  };
}

} // namespace troupe
