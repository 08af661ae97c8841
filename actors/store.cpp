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

void take(self_pointer self, const layer_part& in) {
  rank_snapshot& gathered = self->state.gathered[in.rank];
  gathered.rank = in.rank;
  gathered.source_incarnation = in.source_incarnation;
  gathered.steps_done = in.steps_done;
  gathered.layers.push_back(in.layer);
  if (in.last) {
    announce(self, self->state.collector->add(gathered));
    self->state.gathered.erase(in.rank);
  }
  const auto link = caf::actor_cast<caf::actor>(self->state.everyone->ranks[in.rank]);
  say(link, layer_part_taken{in.rank, in.steps_done});
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
      on<part_written>(self, [](const part_written&) {}),
      on<layer_part_taken>(self, [](const layer_part_taken&) {}),
  };
}

} // namespace troupe
