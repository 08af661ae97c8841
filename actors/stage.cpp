#include "actors/stage.hpp"

#include "actors/shell.hpp"

#include <chrono>

namespace troupe {

namespace {

using self_pointer = stage_actor::stateful_pointer<stage_actor_state>;

void dispatch(self_pointer self, rank_output&& output) {
  const company& everyone = *self->state.everyone;
  std::visit(
      [&](auto&& message) {
        using type = std::decay_t<decltype(message)>;
        if constexpr (requires { message.via; })
          post(self, everyone.ranks[message.via.target_rank], std::forward<decltype(message)>(message));
        else if constexpr (std::is_same_v<type, slice_batch>)
          post(self, everyone.recorder, std::forward<decltype(message)>(message));
        else if constexpr (std::is_same_v<type, rank_snapshot>)
          post(self, everyone.store, std::forward<decltype(message)>(message));
        else
          post(self, everyone.scheduler, std::forward<decltype(message)>(message));
      },
      std::move(output));
}

/// Of the usual time of the action that would overtake; see rank_setup.
constexpr double patience = 0.5;

/// Sends itself a message at `moment` of the run's clock.
template <class Message>
void tell_later(self_pointer self, double moment) {
  const std::chrono::duration<double> left(moment - self->state.clock());
  self->state.everyone->alarm->ring_at(std::chrono::steady_clock::now() +
                                           std::chrono::duration_cast<std::chrono::nanoseconds>(left),
                                       [rank = stage_actor(self)] { tell(rank, Message{}); });
}

void run_one(self_pointer self) {
  for (rank_output& output : self->state.runner->run_next())
    dispatch(self, std::move(output));
}

/// Asks itself for the next action instead of running it at once, so that what was produced leaves and what has arrived
/// is seen first, and ranks take turns. A rank whose passes are emulated is idle while they last: it has seen what
/// arrived, takes no one's turn, and begins the next one at once.
void run_when_due(self_pointer self) {
  stage_actor_state& state = self->state;
  while (!state.run_next_pending && state.runner->can_run()) {
    if (const std::optional<double> moment = state.runner->wake_at()) {
      state.run_next_pending = true;
      tell_later<run_next_message>(self, *moment);
    } else if (state.runner->emulates()) {
      run_one(self);
    } else {
      state.run_next_pending = true;
      post(self, stage_actor(self), run_next_message{});
    }
  }
  if (state.run_next_pending || state.reconsider_pending)
    return;
  if (const std::optional<double> moment = state.runner->patience_ends()) {
    state.reconsider_pending = true;
    tell_later<reconsider_message>(self, *moment);
  }
}

template <class Message>
auto accepting(self_pointer self) {
  return on<Message>(self, [self](const Message& in) {
    self->state.runner->accept(in);
    run_when_due(self);
  });
}

} // namespace

stage_actor::behavior_type stage(self_pointer self, const setup_ptr& setup, std::uint32_t rank,
                                 const observer& watcher) {
  guard(self, watcher, "rank " + std::to_string(rank));
  return {
      on<introduction>(self,
                       [self, setup, rank](const introduction& in) {
                         self->state.everyone = in.everyone;
                         self->state.clock = setup->clock;
                         self->state.runner.emplace(rank_setup{&setup->spec, setup->family, &setup->pipeline,
                                                               setup->start, rank, 1, setup->clock,
                                                               in.everyone->alarm == nullptr ? 0.0 : patience});
                         post(self, in.everyone->scheduler, self->state.runner->ready());
                       }),
      accepting<token_message>(self),
      accepting<target_message>(self),
      accepting<activation_message>(self),
      accepting<gradient_message>(self),
      accepting<group_gradient_message>(self),
      accepting<tied_gradient_message>(self),
      accepting<tied_value_message>(self),
      accepting<step_opening>(self),
      accepting<step_decision>(self),
      accepting<digest_request>(self),
      on<run_next_message>(self,
                           [self](const run_next_message&) {
                             self->state.run_next_pending = false;
                             run_one(self);
                             run_when_due(self);
                           }),
      on<reconsider_message>(self,
                             [self](const reconsider_message&) {
                               self->state.reconsider_pending = false;
                               run_when_due(self);
                             }),
  };
}

} // namespace troupe
