#include "actors/network/worker_store.hpp"

#include "actors/network/peers.hpp"
#include "actors/shell.hpp"
#include "model/error.hpp"
#include "runtime/part_writer.hpp"
#include "runtime/training_state.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace troupe {

namespace {

using worker_store_pointer = store_actor::stateful_pointer<worker_store_state>;

void add(worker_store_pointer self, const rank_snapshot& in) {
  if (in.layers.empty()) // a rank that holds second copies alone is not waited for
    return;
  // What a former life of the rank has sent of it so far comes once more.
  std::erase_if(self->state.unwritten, [&](const worker_store_state::waiting& one) {
    return one.snapshot.rank == in.rank && one.snapshot.steps_done == in.steps_done;
  });
  self->state.unwritten.push_back({in});
  say(self->state.coordinator, part_written{in.rank, in.source_incarnation, in.steps_done}); // may we?
}

/// True when it was the last one.
bool send_next_layer(const caf::actor& coordinator, worker_store_state::waiting& from) {
  std::vector<layer_snapshot>& layers = from.snapshot.layers;
  const bool last = from.sent + 1 == layers.size();
  say(coordinator, layer_part{from.snapshot.rank, from.snapshot.source_incarnation, from.snapshot.steps_done,
                              std::move(layers[from.sent++]), last});
  return last;
}

/// What the disk refuses is for the coordinator to know; the run goes on.
void write_part(const caf::actor& coordinator, const run_setup& setup, const rank_snapshot& in) {
  part_written said{in.rank, in.source_incarnation, in.steps_done};
  try {
    const part_writer writer(setup.spec.checkpoint.directory, in.steps_done,
                             snapshot_state_names(setup.spec.optimizer, setup.pipeline.order), setup.disk());
    said.layers = writer.write(in.layers);
  } catch (const checkpoint_error& failure) {
    said.problem = failure.what();
  }
  say(coordinator, std::move(said));
}

/// A snapshot's turn has come, or, through the coordinator, that of its next layer; or it is not wanted any more.
void go_on(worker_store_pointer self, const run_setup& setup, const layer_part_taken& go) {
  worker_store_state& state = self->state;
  const auto found = std::ranges::find_if(state.unwritten, [&](const worker_store_state::waiting& one) {
    return one.snapshot.rank == go.rank && one.snapshot.source_incarnation == go.life &&
           one.snapshot.steps_done == go.steps_done;
  });
  if (found == state.unwritten.end())
    return;
  if (!go.over && state.route == checkpoint_route::shared)
    write_part(state.coordinator, setup, found->snapshot);
  else if (!go.over && !send_next_layer(state.coordinator, *found))
    return;
  state.unwritten.erase(found);
}

} // namespace

store_actor::behavior_type worker_store(worker_store_pointer self, const setup_ptr& setup, checkpoint_route route,
                                        const caf::actor& coordinator, const observer& watcher) {
  guard(self, watcher, "the worker's store");
  self->state.route = route;
  self->state.coordinator = coordinator;
  return {
      on<introduction>(self, [](const introduction&) {}),
      on<rank_snapshot>(self, [self](const rank_snapshot& in) { add(self, in); }),
      on<layer_part>(self, [](const layer_part&) {}), // only the coordinator's store is sent these four
      on<part_written>(self, [](const part_written&) {}),
      on<part_lost>(self, [](const part_lost&) {}),
      on<run_given_up>(self, [](const run_given_up&) {}),
      on<layer_part_taken>(self, [self, setup](const layer_part_taken& in) { go_on(self, *setup, in); }),
  };
}

} // namespace troupe
