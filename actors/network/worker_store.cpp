#include "actors/network/worker_store.hpp"

#include "actors/network/peers.hpp"
#include "runtime/part_writer.hpp"
#include "runtime/training_state.hpp"

#include <algorithm>

namespace troupe {

namespace {

using self_pointer = store_actor::stateful_pointer<worker_store_state>;

void send_next_layer(self_pointer self) {
  if (!self->state.layers.empty())
    say(self->state.coordinator, self->state.layers.front());
}

void add(self_pointer self, const rank_snapshot& in) {
  worker_store_state& state = self->state;
  if (state.route == checkpoint_route::shared) {
    state.unwritten.push_back(in);
    say(state.coordinator, part_written{in.rank, in.source_incarnation, in.steps_done}); // may we?
    return;
  }
  // One layer at a time, so that the coordinator never has to hold more.
  const bool idle = state.layers.empty();
  for (std::size_t index = 0; index < in.layers.size(); ++index)
    state.layers.push_back(
        {in.rank, in.source_incarnation, in.steps_done, in.layers[index], index + 1 == in.layers.size()});
  if (idle)
    send_next_layer(self);
}

void write(self_pointer self, const run_setup& setup, const layer_part_taken& go) {
  std::deque<rank_snapshot>& all = self->state.unwritten;
  const auto found = std::ranges::find_if(
      all, [&](const rank_snapshot& one) { return one.rank == go.rank && one.steps_done == go.steps_done; });
  if (found == all.end())
    return;
  const part_writer writer(setup.spec.checkpoint.directory, found->steps_done,
                           snapshot_state_names(setup.spec.optimizer, setup.pipeline.order));
  say(self->state.coordinator,
      part_written{found->rank, found->source_incarnation, found->steps_done, writer.write(found->layers)});
  all.erase(found);
}

} // namespace

store_actor::behavior_type worker_store(self_pointer self, const setup_ptr& setup, checkpoint_route route,
                                        const caf::actor& coordinator, const observer& watcher) {
  guard(self, watcher, "the worker's store");
  self->state.route = route;
  self->state.coordinator = coordinator;
  return {
      on<introduction>(self, [](const introduction&) {}),
      on<rank_snapshot>(self, [self](const rank_snapshot& in) { add(self, in); }),
      on<layer_part>(self, [](const layer_part&) {}),     // only the coordinator's store is sent these
      on<part_written>(self, [](const part_written&) {}), // two
      on<layer_part_taken>(self,
                           [self, setup](const layer_part_taken& in) {
                             if (self->state.route == checkpoint_route::shared)
                               return write(self, *setup, in);
                             if (!self->state.layers.empty())
                               self->state.layers.pop_front();
                             send_next_layer(self);
                           }),
  };
}

} // namespace troupe
