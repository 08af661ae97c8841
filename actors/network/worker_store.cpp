#include "actors/network/worker_store.hpp"

#include "actors/network/peers.hpp"

namespace troupe {

namespace {

using self_pointer = store_actor::stateful_pointer<worker_store_state>;

/// One layer at a time, so that the coordinator never has to hold more.
void add(self_pointer self, const rank_snapshot& in) {
  std::deque<layer_part>& waiting = self->state.waiting;
  const bool idle = waiting.empty();
  for (std::size_t index = 0; index < in.layers.size(); ++index)
    waiting.push_back(
        {in.rank, in.source_incarnation, in.steps_done, in.layers[index], index + 1 == in.layers.size()});
  if (idle && !waiting.empty())
    say(self->state.coordinator, waiting.front());
}

} // namespace

store_actor::behavior_type worker_store(self_pointer self, const setup_ptr&, checkpoint_route,
                                        const caf::actor& coordinator, const observer& watcher) {
  guard(self, watcher, "the worker's store");
  self->state.coordinator = coordinator;
  return {
      on<introduction>(self, [](const introduction&) {}),
      on<rank_snapshot>(self, [self](const rank_snapshot& in) { add(self, in); }),
      on<layer_part>(self, [](const layer_part&) {}),
      on<part_written>(self, [](const part_written&) {}),
      on<layer_part_taken>(self,
                           [self](const layer_part_taken&) {
                             std::deque<layer_part>& waiting = self->state.waiting;
                             if (!waiting.empty())
                               waiting.pop_front();
                             if (!waiting.empty())
                               say(self->state.coordinator, waiting.front());
                           }),
  };
}

} // namespace troupe
