#include "actors/recorder.hpp"

#include "actors/shell.hpp"

namespace troupe {

namespace {

using recorder_pointer = recorder_actor::stateful_pointer<recorder_actor_state>;

template <class Message>
auto adding(recorder_pointer self, const observer& watcher) {
  return on<Message>(self, [self, watcher](const Message& in) {
    self->state.log->add(in);
    if (self->state.log->complete())
      tell(watcher, run_finished{std::make_shared<const run_report>(self->state.log->finish())});
  });
}

} // namespace

recorder_actor_state::~recorder_actor_state() {
  if (so_far != nullptr && log)
    *so_far = log->so_far();
}

recorder_actor::behavior_type recorder(recorder_pointer self, const setup_ptr& setup, const observer& watcher) {
  guard(self, watcher, "the recorder");
  return {
      on<introduction>(self,
                       [self, setup](const introduction&) {
                         self->state.so_far = setup->options->so_far;
                         self->state.log.emplace(journal_setup{.spec = &setup->spec,
                                                               .family = setup->family,
                                                               .pipeline = &setup->pipeline,
                                                               .options = setup->options,
                                                               .first_step = setup->first_step(),
                                                               .held_by_workers = setup->held_steps.has_value(),
                                                               .processors = setup->processors});
                       }),
      adding<slice_batch>(self, watcher),
      adding<step_closed>(self, watcher),
      on<checkpoint_committed>(self, [self](const checkpoint_committed& in) { self->state.log->add(in); }),
      on<checkpoint_failed>(self, [self](const checkpoint_failed& in) { self->state.log->add(in); }),
      on<rank_recovered>(self, [self](const rank_recovered& in) { self->state.log->add(in); }),
      on<run_stalled>(self, [self](const run_stalled& in) { self->state.log->add(in); }),
      on<run_warning>(self,
                      [setup](const run_warning& in) {
                        if (setup->options->on_warning)
                          setup->options->on_warning(in.text);
                      }),
      adding<run_closed>(self, watcher),
  };
}

} // namespace troupe
