#include "cli/network_flags.hpp"

#include "actors/run.hpp"
#include "model/error.hpp"
#include "runtime/network/liveness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr const char* group = "Distribution";
constexpr std::uint32_t most_spawned = 256;

CLI::Option* last_of(CLI::Option* option) {
  return option->group(group)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

void expect_seconds(const char* flag, double value) {
  constexpr double least = liveness::least_timeout;
  constexpr double most = 86400.0;
  if (!(value >= least && value <= most))
    throw spec_error(fmt::format("{}: found {:g}, expected from {:g} to {:g} seconds", flag, value, least, most));
}

} // namespace

void tls_flags::add_to(CLI::App& command) {
  last_of(
      command.add_option("--tls", directory,
                         "this host's folder made by `troupe certs`: encrypt, and check certificates on both sides"))
      ->type_name("DIR");
  last_of(command.add_option("--peer-timeout", peer_timeout, "a peer that was silent for so long is lost (5)"))
      ->type_name("SECONDS");
}

std::shared_ptr<const tls_identity> tls_flags::load() const {
  expect_seconds("--peer-timeout", peer_timeout);
  return directory.empty() ? nullptr : std::make_shared<const tls_identity>(tls_identity::load(directory));
}

void network_flags::add_to(CLI::App& command) {
  command_ = &command;
  // By functions: into an optional the library reads an empty text as if the flag had not been given.
  last_of(command.add_option_function<std::string>(
              "--workers", [this](const std::string& text) { workers_ = text; },
              "hosts of the ranks: addresses at which `troupe worker` listens"))
      ->type_name("HOST:PORT,...");
  last_of(command.add_option_function<std::uint32_t>(
              "--spawn", [this](const std::uint32_t& count) { spawn_ = count; },
              "start so many worker processes on this machine, and end them"))
      ->type_name("N");
  tls_.add_to(command);
  last_of(command.add_option("--connect-timeout", connect_timeout_, "how long to try to reach a worker (30)"))
      ->type_name("SECONDS");
  last_of(
      command.add_option("--checkpoint-via", checkpoint_via_,
                         "shared: workers write to the checkpoint directory, which all see; coordinator: this process "
                         "writes for them (shared)"))
      ->type_name("WAY");
  command
      .add_flag("--allow-mixed-arithmetic", mixed_arithmetic_,
                "let workers join that may compute other bits: another processor, build or GEMM library")
      ->group(group);
}

/// What is about workers and was given without any would be taken for something that the run does.
void network_flags::expect_workers_for_flags() const {
  if (distributed())
    return;
  for (const CLI::Option* const one :
       std::as_const(*command_).get_options([](const CLI::Option* option) { return option->get_group() == group; }))
    if (one->count() > 0)
      throw spec_error(
          fmt::format("{}: found it without workers, expected --workers or --spawn, too", one->get_name()));
}

void network_flags::check() const {
  expect_workers_for_flags();
  if (workers_ && spawn_)
    throw spec_error(fmt::format("--spawn: found {} beside --workers, expected one of the two", *spawn_));
  if (spawn_ && (*spawn_ == 0 || *spawn_ > most_spawned))
    throw spec_error(fmt::format("--spawn: found {}, expected from 1 to {}", *spawn_, most_spawned));
  if (checkpoint_via_ != "shared" && checkpoint_via_ != "coordinator")
    throw spec_error(fmt::format("--checkpoint-via: found '{}', expected shared or coordinator", checkpoint_via_));
  expect_seconds("--connect-timeout", connect_timeout_);
  if (workers_)
    for (const network_address& one : parse_addresses(*workers_, "--workers"))
      expect_tls_unless_loopback(one, !tls_.directory.empty(), "--workers");
}

coordinator_setup_of_workers network_flags::settle(std::optional<local_workers>& started) const {
  coordinator_setup_of_workers setup;
  setup.tls = tls_.load();
  setup.peer_timeout = tls_.peer_timeout;
  setup.connect_timeout = connect_timeout_;
  setup.checkpoints = checkpoint_via_ == "shared" ? checkpoint_route::shared : checkpoint_route::coordinator;
  setup.arithmetic = mixed_arithmetic_ ? arithmetic_rule::any : arithmetic_rule::equal;
  if (spawn_) {
    started.emplace(*spawn_, tls_.directory, tls_.peer_timeout);
    setup.workers = started->addresses();
    setup.replace = [workers = &*started](const network_address& lost) { return workers->replace(lost); };
    setup.replace_all = [workers = &*started] { return workers->replace_all(); };
  } else {
    setup.workers = parse_addresses(*workers_, "--workers");
  }
  if (std::ranges::all_of(setup.workers, is_loopback)) // they share this machine
    setup.processors = usable_processors();
  return setup;
}

} // namespace troupe
