#include "actors/store.hpp"

#include "actors/network/peers.hpp"
#include "actors/shell.hpp"
#include "model/error.hpp"
#include "runtime/run_end.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

namespace troupe {

namespace {

using store_pointer = store_actor::stateful_pointer<store_actor_state>;

/// A rank may go on with its part, or drop it, when its checkpoint is over.
void answer(store_pointer self, const part_written& question) {
  say(caf::actor_cast<caf::actor>(self->state.everyone->ranks[question.rank]),
      layer_part_taken{question.rank, question.source_incarnation, question.steps_done,
                       !self->state.collector->wants(question.steps_done)});
}

void announce(store_pointer self, const checkpoint_news& news) {
  if (!std::holds_alternative<std::monostate>(news))
    self->state.last_news = news;
  if (const auto* done = std::get_if<checkpoint_committed>(&news)) {
    // The recorder first: what it is told must be in the report, which it writes when the scheduler says so.
    post(self, self->state.everyone->recorder, *done);
    post(self, self->state.everyone->scheduler, *done);
  }
  if (const auto* failed = std::get_if<checkpoint_failed>(&news)) {
    for (const part_written& waiting : std::exchange(self->state.turns, {}))
      answer(self, waiting);
    if (auto& ending = self->state.ending; ending && ending->steps_done == failed->steps_done)
      ending->cause = with_failed_checkpoint(ending->cause, *failed);
    else
      post(self, self->state.everyone->scheduler, *failed);
  }
}

/// Of a life that had its turn, and died: another one has asked meanwhile, or the rank has another worker.
bool is_of_former_turn(const store_actor_state& state, const layer_part& in) {
  const auto asked = state.asked.find(in.rank);
  return asked != state.asked.end() && in.source_incarnation <= asked->second;
}

/// One rank sends its layers at a time, and one layer at a time, so that never more than one is held here.
void take(store_pointer self, const layer_part& in) {
  if (!self->state.collector->wants(in.steps_done))
    return;
  std::deque<part_written>& turns = self->state.turns;
  const bool has_turn = !turns.empty() && turns.front().rank == in.rank &&
                        turns.front().source_incarnation == in.source_incarnation &&
                        turns.front().steps_done == in.steps_done;
  if (!has_turn && is_of_former_turn(self->state, in))
    return;
  if (!has_turn)
    throw checkpoint_error(
        fmt::format("rank {}'s part of a checkpoint: found a layer after {} steps, expected none before "
                    "it was asked for",
                    in.rank, in.steps_done));
  announce(self, self->state.collector->add_layer(in.rank, in.steps_done, in.layer,
                                                  in.last ? layer_mark::last : layer_mark::more_follow));
  if (in.last && !turns.empty())
    turns.pop_front();
  if (!turns.empty())
    answer(self, turns.front());
}

/// A rank that is dead has no turn.
void drop_turns_of(store_pointer self, std::uint32_t rank) {
  std::deque<part_written>& turns = self->state.turns;
  const bool was_first = !turns.empty() && turns.front().rank == rank;
  std::erase_if(turns, [&](const part_written& one) { return one.rank == rank; });
  if (was_first && !turns.empty())
    answer(self, turns.front());
}

/// It is its worker's question whether a rank can begin to write, or to send.
void admit(store_pointer self, const part_written& question) {
  std::deque<part_written>& turns = self->state.turns;
  self->state.asked[question.rank] = question.source_incarnation;
  if (question.steps_done > self->state.opened_steps) {
    turns.clear(); // of a checkpoint that was dropped
    announce(self, self->state.collector->open(self->state.opened_steps = question.steps_done));
  }
  if (!self->state.collector->wants(question.steps_done)) {
    announce(self, self->state.collector->leave(question.rank, question.steps_done));
    answer(self, question);
    return;
  }
  if (std::ranges::find(turns, question) != turns.end())
    return;
  drop_turns_of(self, question.rank); // of a former life
  if (self->state.route == checkpoint_route::coordinator)
    turns.push_back(question);
  else
    self->state.collector->admit(question.rank, question.steps_done);
  if (turns.size() <= 1)
    answer(self, question);
}

void take(store_pointer self, const part_lost& in) {
  drop_turns_of(self, in.rank);
  announce(self, self->state.collector->lose(in.rank, in.steps_done));
}

void take(store_pointer self, const part_written& in) {
  if (!in.problem.empty())
    announce(self, self->state.collector->give_up(in.rank, in.steps_done, in.problem));
  else if (in.layers.empty())
    admit(self, in);
  else
    announce(self, self->state.collector->add_part(in.rank, in.steps_done, in.layers));
}

void end_if_saved(store_pointer self, const observer& watcher) {
  const std::optional<run_given_up>& ending = self->state.ending;
  if (ending && (!ending->parts_follow || self->state.collector->is_over(ending->steps_done)))
    tell(watcher, failure_message{error_kind::run, ending->cause});
}

/// All ranks' snapshots, or none: then the run had not got beyond where it began.
void save(store_pointer self, const run_given_up& in) {
  self->state.ending = in;
  if ((in.kept.empty() && !in.parts_follow) || !self->state.collector->wants(in.steps_done))
    return;
  if (std::exchange(self->state.opened_steps, in.steps_done) != in.steps_done) {
    self->state.turns.clear();
    announce(self, self->state.collector->open(in.steps_done)); // another one that was under way will never be whole
  }
  for (const auto& kept : in.kept)
    announce(self, self->state.collector->add(*kept));
}

/// Who has another worker asks anew from there.
void drop_turns_of_moved(store_pointer self, const company& before) {
  const std::vector<stage_actor>& now = self->state.everyone->ranks;
  for (std::uint32_t rank = 0; rank < now.size(); ++rank)
    if (before.ranks[rank] != now[rank])
      drop_turns_of(self, rank);
}

/// A new scheduler may not have heard what its predecessor was told.
void meet(store_pointer self, const std::shared_ptr<const company>& everyone) {
  const auto before = std::exchange(self->state.everyone, everyone);
  if (before != nullptr)
    drop_turns_of_moved(self, *before);
  if (const auto* done = std::get_if<checkpoint_committed>(&self->state.last_news))
    post(self, everyone->scheduler, *done);
  if (const auto* failed = std::get_if<checkpoint_failed>(&self->state.last_news))
    post(self, everyone->scheduler, *failed);
}

} // namespace

store_actor::behavior_type store(store_actor::stateful_pointer<store_actor_state> self, const setup_ptr& setup,
                                 checkpoint_route route, const observer& watcher) {
  guard(self, watcher, "the store");
  self->state.route = route;
  self->state.collector.emplace(setup->spec, *setup->family, setup->pipeline, setup->disk());
  return {
      on<introduction>(self, [self](const introduction& in) { meet(self, in.everyone); }),
      on<rank_snapshot>(self, [self](const rank_snapshot& in) { announce(self, self->state.collector->add(in)); }),
      on<layer_part>(self,
                     [self, watcher](const layer_part& in) {
                       take(self, in);
                       end_if_saved(self, watcher);
                     }),
      on<part_written>(self,
                       [self, watcher](const part_written& in) {
                         take(self, in);
                         end_if_saved(self, watcher);
                       }),
      on<part_lost>(self,
                    [self, watcher](const part_lost& in) {
                      take(self, in);
                      end_if_saved(self, watcher);
                    }),
      on<run_given_up>(self,
                       [self, setup, watcher](const run_given_up& in) {
                         if (setup->spec.checkpoint.directory.empty())
                           self->state.ending = run_given_up{.steps_done = in.steps_done, .cause = in.cause};
                         else
                           save(self, in);
                         end_if_saved(self, watcher);
                       }),
      on<layer_part_taken>(self, [](const layer_part_taken&) {}),
  };
}

} // namespace troupe
