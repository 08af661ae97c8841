#include "actors/network/worker_process.hpp"

#include "actors/network/listener.hpp"
#include "actors/network/network_system.hpp"
#include "actors/network/peers.hpp"
#include "actors/run.hpp"
#include "actors/shell.hpp"
#include "model/gemm.hpp"

#include <chrono>

namespace troupe {

namespace {

constexpr std::chrono::milliseconds interrupt_poll{50};

} // namespace

void run_worker(const worker_process_setup& setup) {
  warm_up_gemm(); // now, rather than when a run waits for a rank that lives again here
  const std::uint32_t threads = usable_processors();
  expect_threads(threads);
  network_config config(threads);
  caf::actor_system system(config);
  close_open_doors(system);
  caf::scoped_actor self(system);
  const caf::actor host = system.spawn<caf::detached>(worker, setup.worker, caf::actor_cast<observer>(self));
  const open_listener door = listen(system, setup.listen,
                                    link_setup{.owner = host,
                                               .tls = setup.worker.tls,
                                               .side = tls_side::server,
                                               .expected_host = {},
                                               .peer_timeout = setup.worker.peer_timeout,
                                               .clock = setup.worker.outside.clock});
  if (setup.on_listening)
    setup.on_listening({setup.listen.host, door.port});
  bool asked = false;
  bool over = false;
  std::optional<failure_message> failure;
  while (!over) {
    self->receive([&](const left_run&) { over = true; },
                  [&](const failure_message& in) {
                    failure = in;
                    over = true;
                  },
                  caf::after(interrupt_poll) >>
                      [&] {
                        if (asked || setup.interrupts == nullptr || *setup.interrupts == 0)
                          return;
                        asked = true;
                        tell(host, leave_run{});
                      });
  }
  tell(door.broker, close_link{});
  caf::anon_send_exit(host, caf::exit_reason::user_shutdown);
  if (failure)
    throw_error(failure->kind, failure->text);
}

} // namespace troupe
