#include "actors/store.hpp"

#include "actors/shell.hpp"

namespace troupe {

store_actor::behavior_type store(store_actor::stateful_pointer<store_actor_state> self, const setup_ptr& setup,
                                 const observer& watcher) {
  guard(self, watcher, "the store");
  self->state.collector.emplace(setup->spec, setup->pipeline.ranks(), setup->family->layer_count(setup->spec.model));
  return {
      [self, setup](const introduction& in) { self->state.everyone = in.everyone; }, // setup is held for the collector
      [self](const rank_snapshot& in) {
        const std::optional<checkpoint_committed> done = self->state.collector->add(in);
        if (!done)
          return;
        self->send(self->state.everyone->recorder, *done);
        self->send(self->state.everyone->scheduler, *done);
      },
  };
}

} // namespace troupe
