#include "cli/worker_command.hpp"

#include "actors/network/worker_process.hpp"
#include "cli/console.hpp"
#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/network_flags.hpp"
#include "model/error.hpp"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <sys/prctl.h>
#include <unistd.h>

namespace troupe {

namespace {

struct worker_request {
  std::string listen;
  tls_flags tls;
  double hold = worker_setup{}.hold;
  bool quiet = false;
  bool end_with_parent = false;
};

constexpr const char* worker_examples =
    R"(A worker waits for a `troupe train --workers ...` that claims it, hosts the ranks that it is given, and
waits for the next. It needs neither the data nor a run spec: both come from the coordinator. It must be the same
build of troupe on a processor of the same kind, or its bits would differ.

Examples:
  troupe worker --listen 127.0.0.1:7001
  troupe worker --listen 10.0.0.2:7001 --tls certs/10.0.0.2      other addresses than loopback need TLS
  troupe train --workers 10.0.0.2:7001,10.0.0.3:7001 --tls certs/10.0.0.1 --data text.txt --stages 4

When the coordinator of a run is lost, the worker ends its ranks, and holds what it has of the run's state for --hold
seconds: `troupe train --resume DIR --workers ...` goes on from there.

Ctrl-C lets go of the run, which goes on without this worker, and exits with 130.)";

void expect_hold(double seconds) {
  constexpr double longest = 86400.0;
  if (!(seconds >= 0.0 && seconds <= longest))
    throw spec_error(fmt::format("--hold: found {:g}, expected from 0 to {:g} seconds", seconds, longest));
}

void work(const worker_request& request) {
  if (request.listen.empty())
    throw spec_error("--listen: found nothing, expected an address of this machine, as in 127.0.0.1:7001");
  expect_hold(request.hold);
  const network_address address = parse_address(request.listen, "--listen", port_zero::allowed);
  expect_tls_unless_loopback(address, !request.tls.directory.empty(), "--listen");
  if (request.end_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == 1) // it has ended already
      throw run_error("--end-with-parent: found no parent, expected the process that started this one");
  }
  const interrupt_watch interrupts;
  run_worker(
      {.listen = address,
       .worker = {.tls = request.tls.load(),
                  .peer_timeout = request.tls.peer_timeout,
                  .hold = request.hold,
                  .on_event =
                      [quiet = request.quiet](const std::string& text) {
                        if (!quiet)
                          put_notice(one_line(text) + "\n");
                      },
                  .on_warning =
                      [quiet = request.quiet](const std::string& text) {
                        if (!quiet)
                          warn(text);
                      }},
       .on_listening =
           [](const network_address& where) { put_text(fmt::format("{}{}\n", listening_prefix, to_string(where))); },
       .interrupts = &interrupts.count()});
  throw CLI::RuntimeError(exit_interrupted);
}

} // namespace

void add_worker_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("worker", "Hosts ranks of runs that other processes coordinate.");
  command->footer(worker_examples);
  const auto request = std::make_shared<worker_request>();
  command
      ->add_option("--listen", request->listen, "where to wait for coordinators and other workers; port 0: a free one")
      ->type_name("HOST:PORT")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  request->tls.add_to(*command);
  command
      ->add_option("--hold", request->hold,
                   "how long the state of a run is held when its coordinator is lost; 0: not at all (60)")
      ->type_name("SECONDS")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command->add_flag("--quiet", request->quiet, "say nothing of runs that come and go");
  command->add_flag("--end-with-parent", request->end_with_parent, "end when the process that started this one does")
      ->group(""); // for --spawn
  command->callback([request] { work(*request); });
}

} // namespace troupe
