#include "actors/network/worker.hpp"

#include "actors/network/worker_host.hpp"
#include "actors/shell.hpp"

namespace troupe {

worker_state::worker_state() = default;
worker_state::~worker_state() = default;

caf::behavior worker(caf::stateful_actor<worker_state>* self, const worker_setup& setup, const observer& watcher) {
  guard(self, watcher, "the worker");
  self->state.host = std::make_unique<worker_host>(self, setup, watcher);
  self->set_down_handler([self](const caf::down_msg& in) {
    const handler_scope scope(self->ctrl());
    self->state.host->member_ended(in);
  });
  return {
      on<link_ready>(self, [self](const link_ready& in) { self->state.host->ready(in); }),
      on<peer_said>(self, [self](const peer_said& in) { self->state.host->said(in); }),
      on<peer_lost>(self, [self](const peer_lost& in) { self->state.host->lost(in); }),
      on<peer_connected>(self, [self](const peer_connected& in) { self->state.host->connected(in); }),
      on<connecting_failed>(self, [self](const connecting_failed& in) { self->state.host->failed(in); }),
      on<rank_failed>(self, [self](const rank_failed& in) { self->state.host->rank_is_failing(in); }),
      on<failure_message>(self, [self](const failure_message& in) { self->state.host->member_failed(in); }),
      on<snapshot_here>(self, [self](const snapshot_here& in) { self->state.host->found(in); }),
      on<run_warning>(self, [self](const run_warning& in) { self->state.host->warned(in); }),
      on<leave_run>(self, [self](const leave_run&) { self->state.host->end(); }),
  };
}

} // namespace troupe
