#include "actors/store.hpp"

#include "actors/network/peers.hpp"
#include "actors/shell.hpp"

namespace troupe {

namespace {

using self_pointer = store_actor::stateful_pointer<store_actor_state>;

void announce(self_pointer self, const std::optional<checkpoint_committed>& done) {
  if (!done)
    return;
  post(self, self->state.everyone->recorder, *done);
  post(self, self->state.everyone->scheduler, *done);
}

void answer(self_pointer self, std::uint32_t rank, std::uint64_t steps_done) {
  say(caf::actor_cast<caf::actor>(self->state.everyone->ranks[rank]), layer_part_taken{rank, steps_done});
}

void take(self_pointer self, const layer_part& in) {
  announce(self, self->state.collector->add_layer(in.rank, in.steps_done, in.layer,
                                                  in.last ? layer_mark::last : layer_mark::more_follow));
  answer(self, in.rank, in.steps_done);
}

/// Without layers it is the worker's question whether it can begin to write.
void take(self_pointer self, const part_written& in) {
  if (in.layers.empty()) {
    if (in.steps_done > self->state.opened_steps)
      self->state.collector->open(self->state.opened_steps = in.steps_done);
    answer(self, in.rank, in.steps_done);
  } else {
    announce(self, self->state.collector->add_part(in.rank, in.steps_done, in.layers));
  }
}

} // namespace

store_actor::behavior_type store(store_actor::stateful_pointer<store_actor_state> self, const setup_ptr& setup,
                                 const observer& watcher) {
  guard(self, watcher, "the store");
  self->state.collector.emplace(setup->spec, *setup->family, setup->pipeline);
  return {
      on<introduction>(self, [self](const introduction& in) { self->state.everyone = in.everyone; }),
      on<rank_snapshot>(self, [self](const rank_snapshot& in) { announce(self, self->state.collector->add(in)); }),
      on<layer_part>(self, [self](const layer_part& in) { take(self, in); }),
      on<part_written>(self, [self](const part_written& in) { take(self, in); }),
      on<layer_part_taken>(self, [](const layer_part_taken&) {}),
  };
}

} // namespace troupe
