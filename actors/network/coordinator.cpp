#include "actors/network/coordinator.hpp"

#include "actors/network/worker_claims.hpp"
#include "actors/shell.hpp"

namespace troupe {

coordinator_state::coordinator_state() = default;
coordinator_state::~coordinator_state() = default;

caf::behavior coordinator(caf::stateful_actor<coordinator_state>* self, const setup_ptr& setup,
                          const coordinator_setup_of_workers& workers, const observer& watcher) {
  guard(self, watcher, "the coordinator");
  self->state.claims = std::make_unique<worker_claims>(self, setup, workers, watcher);
  self->state.claims->claim();
  self->set_down_handler([self](const caf::down_msg& in) {
    const handler_scope scope(self->ctrl());
    self->state.claims->member_ended(in);
  });
  return {
      on<peer_connected>(self, [self](const peer_connected& in) { self->state.claims->connected(in); }),
      on<connecting_failed>(self, [self](const connecting_failed& in) { self->state.claims->failed(in); }),
      on<link_ready>(self, [self](const link_ready& in) { self->state.claims->ready(in); }),
      on<peer_said>(self, [self](const peer_said& in) { self->state.claims->said(in); }),
      on<peer_lost>(self, [self](const peer_lost& in) { self->state.claims->lost(in); }),
      on<begin_run>(self, [self](const begin_run& in) { self->state.claims->begin(in); }),
      on<restart_order>(self, [self](const restart_order& in) { self->state.claims->restart(in); }),
      on<recovery_line_message>(self, [self](const recovery_line_message& in) { self->state.claims->trim(in); }),
      on<run_given_up>(self, [self](const run_given_up& in) { self->state.claims->give_up(in); }),
      on<complaint>(self, [self](const complaint& in) { self->state.claims->judge(in); }),
      on<scheduler_failed>(self, [self](const scheduler_failed& in) { self->state.claims->scheduler_is_failing(in); }),
      on<books_message>(self, [self](const books_message& in) { self->state.claims->keep(in); }),
      on<interrupt_message>(self, [self](const interrupt_message&) { self->state.claims->interrupt(); }),
      on<dismiss_ranks>(self, [self](const dismiss_ranks&) { self->state.claims->dismiss(); }),
      on<leave_run>(self, [self](const leave_run&) { self->state.claims->leave(); }),
  };
}

} // namespace troupe
