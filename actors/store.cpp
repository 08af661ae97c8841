#include "actors/store.hpp"

#include "actors/shell.hpp"

namespace troupe {

store_actor::behavior_type store(store_actor::stateful_pointer<store_actor_state> self, const setup_ptr& setup,
                                 const observer& watcher) {
  guard(self, watcher, "the store");
  self->state.collector.emplace(setup->spec, *setup->family, setup->pipeline);
  return {
      on<introduction>(self, [self](const introduction& in) { self->state.everyone = in.everyone; }),
      on<rank_snapshot>(self,
                        [self](const rank_snapshot& in) {
                          const std::optional<checkpoint_committed> done = self->state.collector->add(in);
                          if (!done)
                            return;
                          post(self, self->state.everyone->recorder, *done);
                          post(self, self->state.everyone->scheduler, *done);
                        }),
  };
}

} // namespace troupe
