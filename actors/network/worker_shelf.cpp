#include "actors/network/worker_shelf.hpp"

#include "actors/network/peers.hpp"
#include "actors/shell.hpp"
#include "runtime/recovery/snapshot_parts.hpp"

#include <fmt/format.h>

#include <utility>

namespace troupe {

namespace {

using shelf_pointer = caf::stateful_actor<worker_shelf_state>*;

bool matches(const snapshot_wanted& one, const rank_snapshot& kept) {
  return one.rank == kept.rank && one.steps_done == kept.steps_done;
}

void keep(shelf_pointer self, const std::shared_ptr<const rank_snapshot>& taken) {
  worker_shelf_state& state = self->state;
  if (const std::string problem = state.shelf.put(taken); !problem.empty())
    tell(state.owner, run_warning{problem});
  std::erase_if(state.wanted, [&](const snapshot_wanted& one) {
    if (!matches(one, *taken))
      return false;
    tell(state.owner, snapshot_here{taken});
    return true;
  });
}

/// The rank does not need its worker for it any more, or there is no other worker.
void tell_kept(shelf_pointer self, const rank_snapshot& taken) {
  say(self->state.coordinator, snapshot_kept{taken.rank, taken.source_incarnation, taken.steps_done});
}

/// Its layers are shared with the snapshot, and leave as the link has room.
void send(const caf::actor& link, const rank_snapshot& taken) {
  for (snapshot_part& part : parts_of(taken))
    say(link, std::move(part));
}

/// Its replica tells the coordinator of it, who knows that this worker has it, too.
void let_go(shelf_pointer self, std::uint32_t rank) {
  worker_shelf_state& state = self->state;
  const auto leaving = state.leaving.extract(rank);
  if (!leaving)
    return;
  if (state.replicas[rank])
    send(state.replicas[rank], *leaving.mapped());
  else // it is lost meanwhile
    tell_kept(self, *leaving.mapped());
}

/// A rank that died before it waited takes the same snapshot once more.
void take(shelf_pointer self, const rank_snapshot& taken) {
  worker_shelf_state& state = self->state;
  const auto own = std::make_shared<const rank_snapshot>(taken); // shares the tensors
  const auto before = state.leaving.find(taken.rank);
  if (before != state.leaving.end() && before->second->steps_done != taken.steps_done)
    let_go(self, taken.rank);
  keep(self, own);
  if (state.replicas[taken.rank])
    state.leaving[taken.rank] = own;
  else
    tell_kept(self, *own);
}

void take(shelf_pointer self, const snapshot_part& in) {
  rank_snapshot& so_far = self->state.arriving[in.rank];
  add_part(so_far, in);
  if (!in.last)
    return;
  const auto whole = std::make_shared<const rank_snapshot>(std::move(so_far));
  self->state.arriving.erase(in.rank);
  keep(self, whole);
  tell_kept(self, *whole);
}

void want(shelf_pointer self, const snapshot_wanted& in) {
  if (const auto kept = self->state.shelf.find(in.rank, in.steps_done))
    tell(self->state.owner, snapshot_here{kept});
  else
    self->state.wanted.push_back(in);
}

void save(shelf_pointer self, const save_snapshot& in) {
  const auto kept = self->state.shelf.find(in.rank, in.steps_done);
  if (kept == nullptr) {
    say(self->state.coordinator,
        part_written{.rank = in.rank,
                     .steps_done = in.steps_done,
                     .problem = fmt::format("its snapshot after {} steps is not kept any more", in.steps_done)});
    return;
  }
  rank_snapshot part = *kept; // shares the tensors
  part.purpose = take_snapshot::to_checkpoint;
  post(self, in.store, std::move(part));
}

} // namespace

caf::behavior worker_shelf(shelf_pointer self, const caf::actor& coordinator, const caf::actor& owner,
                           const snapshot_shelf& held, const setup_ptr& setup, const observer& watcher) {
  guard(self, watcher, "the worker's shelf");
  self->state.shelf = held;
  self->state.shelf.keep_in(setup->spec.faults.snapshot_directory, setup->disk());
  self->state.coordinator = coordinator;
  self->state.owner = owner;
  return {
      on<snapshot_routes>(self, [self](const snapshot_routes& in) { self->state.replicas = in.replicas; }),
      on<rank_snapshot>(self, [self](const rank_snapshot& in) { take(self, in); }),
      on<rank_waits>(self, [self](const rank_waits& in) { let_go(self, in.rank); }),
      on<snapshot_part>(self, [self](const snapshot_part& in) { take(self, in); }),
      on<snapshot_wanted>(self, [self](const snapshot_wanted& in) { want(self, in); }),
      on<send_snapshot>(self,
                        [self](const send_snapshot& in) {
                          if (const auto kept = self->state.shelf.find(in.rank, in.steps_done))
                            send(in.link, *kept);
                        }),
      on<hand_over>(self, [self](const hand_over&) { tell(self->state.owner, shelf_content{self->state.shelf}); }),
      on<save_snapshot>(self, [self](const save_snapshot& in) { save(self, in); }),
      on<recovery_line_message>(self,
                                [self](const recovery_line_message& in) { self->state.shelf.trim(in.steps_done); }),
  };
}

} // namespace troupe
