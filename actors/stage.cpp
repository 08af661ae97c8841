#include "actors/stage.hpp"

#include "actors/shell.hpp"
#include "runtime/recovery/snapshot_source.hpp"

#include <chrono>

namespace troupe {

namespace {

using stage_pointer = stage_actor::stateful_pointer<stage_actor_state>;

/// Both share the tensors. The keeper comes last: a rank that dies in between has not done the step, and its
/// successor hands out the same once more.
void hand_out(stage_pointer self, const rank_snapshot& taken) {
  const company& everyone = *self->state.everyone;
  if (taken.purpose == take_snapshot::to_checkpoint)
    post(self, everyone.store, taken);
  self->state.saboteur.strike_during_snapshot(taken.steps_done);
  if (everyone.keeper) {
    post(self, everyone.keeper, taken);
    self->state.snapshot_stays = true;
  }
}

/// A snapshot that goes to another machine takes processor and link from the passes that the whole pipeline waits for
/// while it fills, also when its own rank has nothing to do yet: others run the update and the first passes.
void let_snapshot_go(stage_pointer self, std::uint32_t least_passes) {
  stage_actor_state& state = self->state;
  if (!state.snapshot_stays || state.runner->passes_run() < least_passes)
    return;
  state.snapshot_stays = false;
  post(self, state.everyone->keeper, rank_waits{state.rank});
}

void dispatch(stage_pointer self, rank_output&& output) {
  const company& everyone = *self->state.everyone;
  std::visit(
      [&](auto&& message) {
        using type = std::decay_t<decltype(message)>;
        if constexpr (requires { message.via; })
          post(self, everyone.ranks[message.via.target_rank], std::forward<decltype(message)>(message));
        else if constexpr (std::is_same_v<type, slice_batch>)
          post(self, everyone.recorder, std::forward<decltype(message)>(message));
        else if constexpr (std::is_same_v<type, rank_snapshot>)
          hand_out(self, message);
        else
          post(self, everyone.scheduler, std::forward<decltype(message)>(message));
      },
      std::move(output));
}

/// Of the usual time of the action that would overtake; see rank_setup.
constexpr double patience = 0.5;

alarm_clock::moment moment_after(double seconds) {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

/// Sends itself a message at `moment` of the run's clock.
template <class Message>
void tell_later(stage_pointer self, double moment) {
  self->state.everyone->alarm->ring_at(moment_after(moment - self->state.clock()),
                                       [rank = stage_actor(self)] { tell(rank, Message{}); });
}

/// Reaches its receiver even if this rank is dead by then, as on a network.
void dispatch_later(stage_pointer self, const late_message& late) {
  const company& everyone = *self->state.everyone;
  TROUPE_CHECK(everyone.alarm != nullptr, "chaos delays a message where there is no alarm clock");
  std::visit(
      [&](const auto& message) {
        if constexpr (requires { message.via; }) {
          const stage_actor& receiver = everyone.ranks[message.via.target_rank];
          everyone.alarm->ring_at(moment_after(late.seconds), [receiver, message] { tell(receiver, message); });
        }
      },
      late.what);
}

void dispatch_all(stage_pointer self, rank_outputs&& outputs) {
  for (rank_output& output : outputs)
    dispatch(self, std::move(output));
}

void send(stage_pointer self, rank_outputs outputs) {
  for (const late_message& late : self->state.saboteur.messages().disturb(outputs))
    dispatch_later(self, late);
  dispatch_all(self, std::move(outputs));
}

void run_one(stage_pointer self) {
  stage_actor_state& state = self->state;
  send(self, state.saboteur.run_next(*state.runner));
  state.saboteur.strike_after_send();
  let_snapshot_go(self, state.runner->filling_passes());
}

void save_again(stage_pointer self, const stage_start& start) {
  rank_snapshot taken = *start.snapshot; // shares the tensors
  taken.source_incarnation = start.birth.life;
  taken.purpose = take_snapshot::to_checkpoint;
  post(self, self->state.everyone->store, std::move(taken));
}

/// Builds the rank.
void begin(stage_pointer self, const run_setup& setup, const stage_start& start) {
  std::optional<snapshot_source> state;
  if (start.snapshot != nullptr)
    state.emplace(start.snapshot);
  self->state.runner.emplace(rank_setup{&setup.spec, setup.family, &setup.pipeline, state ? &*state : setup.start,
                                        start.rank, start.birth, setup.clock,
                                        self->state.everyone->alarm == nullptr ? 0.0 : patience});
  if (start.birth.save_again)
    save_again(self, start);
  post(self, self->state.everyone->scheduler, self->state.runner->ready());
  send(self, self->state.runner->first_words());
}

/// Asks itself for the next action instead of running it at once, so that what was produced leaves and what has arrived
/// is seen first, and ranks take turns. A rank whose passes are emulated is idle while they last: it has seen what
/// arrived, takes no one's turn, and begins the next one at once.
void run_when_due(stage_pointer self) {
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
  if (state.run_next_pending)
    return;
  let_snapshot_go(self, 1);
  dispatch_all(self, state.saboteur.messages().release());
  if (state.reconsider_pending)
    return;
  if (const std::optional<double> moment = state.runner->patience_ends()) {
    state.reconsider_pending = true;
    tell_later<reconsider_message>(self, *moment);
  }
}

template <class Message>
auto accepting(stage_pointer self) {
  return on<Message>(self, [self](const Message& in) {
    TROUPE_CHECK(self->state.runner, "nobody knows of a rank before it was introduced");
    self->state.runner->accept(in);
    run_when_due(self);
  });
}

} // namespace

stage_actor::behavior_type stage(stage_pointer self, const setup_ptr& setup, const stage_start& start,
                                 const observer& watcher) {
  guard_with(self, [self, watcher, rank = start.rank, life = start.birth.life](const std::exception_ptr& thrown) {
    tell(watcher, rank_failed{rank, life, describe_failure(thrown, "rank " + std::to_string(rank)),
                              self->state.runner ? self->state.runner->last_words() : rank_last_words{}});
  });
  self->state.rank = start.rank;
  self->state.clock = setup->clock;
  self->state.saboteur = rank_saboteur(setup->chaos, start.rank, start.birth.life);
  return {
      on<introduction>(self,
                       [self, setup, start](const introduction& in) {
                         self->state.everyone = in.everyone;
                         begin(self, *setup, start);
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
      on<send_again>(self,
                     [self](const send_again& in) {
                       send(self, self->state.runner->accept(in));
                       run_when_due(self);
                     }),
      on<scheduler_successor>(self,
                              [self](const scheduler_successor& in) {
                                self->state.everyone = in.everyone;
                                send(self, self->state.runner->accept(in.what));
                                run_when_due(self);
                              }),
      on<successor_message>(self,
                            [self](const successor_message& in) {
                              self->state.everyone = in.everyone;
                              send(self, self->state.runner->accept(in.what));
                              run_when_due(self);
                            }),
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
