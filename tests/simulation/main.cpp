// troupe_simtest: whole trainings through the real actors, each under faults that a seed draws; see docs/simulation.md.
#include "tests/simulation/campaign.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace troupe::test;

namespace {

constexpr const char* teaching =
    R"(A seed draws a small training (model, schedule, sizes) and its faults: messages that are lost, doubled, late or
overtaken; deaths of ranks, of the scheduler, of the whole process; a disk that fails. The real actors run it on one
thread, in virtual time and in an order that the seed draws, too. After every event the promises of docs/simulation.md
are checked, and at the end weights, optimizer state, losses and norms are compared with the reference's, bit for bit.

A seed that fails is printed with all that it drew. It fails again whenever it is run:

  troupe_simtest                          the seeds 1 to 300
  troupe_simtest --seeds 1..100000        all cores; scripts/simtest.sh builds first
  troupe_simtest --seeds 4711 --verbose   one seed, event by event
  troupe_simtest --seeds 1..5000 --keep-going   all that fail, not just the first
  troupe_simtest --kind network           trainings over several processes: a coordinator and its workers

Exit codes: 0 all seeds are good; 1 one failed; 2 wrong flags; 130 interrupted.)";

/// "7" or "1..300"; false if it is neither.
bool parse_seeds(const std::string& text, campaign_setup& setup) {
  const std::size_t dots = text.find("..");
  const std::string first = text.substr(0, dots);
  const std::string last = dots == std::string::npos ? first : text.substr(dots + 2);
  const auto parse = [](const std::string& digits, std::uint64_t& number) {
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return problem == std::errc{} && end == digits.data() + digits.size() && !digits.empty();
  };
  return parse(first, setup.first_seed) && parse(last, setup.last_seed) && setup.first_seed <= setup.last_seed &&
         setup.last_seed < ~std::uint64_t{0};
}

struct counted_line {
  counted what;
  const char* name;
};

std::vector<counted_line> lines_of(simulation_kind kind) {
  if (kind == simulation_kind::network)
    return {
        {counted::seeds, "seeds"},
        {counted::events, "events"},
        {counted::bytes, "bytes between processes"},
        {counted::worker_deaths, "workers that died"},
        {counted::rank_deaths, "ranks that died alone"},
        {counted::rank_recoveries, "ranks that lived again"},
        {counted::scheduler_deaths, "schedulers that died"},
        {counted::coordinator_deaths, "coordinators that died"},
        {counted::resumes, "coordinators that followed one that ended"},
        {counted::held_starts, "runs that went on with what workers held"},
        {counted::returns, "runs that went back"},
        {counted::freezes, "processes that froze"},
        {counted::broken_connections, "connections that broke"},
        {counted::stalled_connections, "connections that stalled"},
        {counted::failed_starts, "runs that did not begin, and were tried again"},
    };
  return {
      {counted::seeds, "seeds"},
      {counted::events, "events"},
      {counted::rank_deaths, "ranks that died and lived again"},
      {counted::scheduler_deaths, "schedulers, the same"},
      {counted::process_deaths, "whole processes that died"},
      {counted::resumes, "processes that followed one that ended"},
      {counted::reshaped, "  of them, with another schedule"},
      {counted::interrupts, "interrupts by the user"},
      {counted::given_up, "runs given up by max_restarts"},
      {counted::poisoned, "runs ended by poison"},
      {counted::forgeries, "runs ended by a log that was forged"},
      {counted::lost, "messages lost"},
      {counted::duplicated, "messages doubled"},
      {counted::overtaken, "messages that overtook another one"},
      {counted::stale, "messages of or for a former life"},
      {counted::stalls, "stalls"},
      {counted::commits, "checkpoints committed"},
      {counted::failed_checkpoints, "checkpoints that failed"},
      {counted::disk_failures, "acts of the disk that failed"},
  };
}

void print(const campaign_result& result, simulation_kind kind) {
  for (const auto& [what, name] : lines_of(kind))
    fmt::print("{:<40} {:>12}\n", name, result.counts[what]);
  const double seeds = static_cast<double>(result.counts[counted::seeds]);
  fmt::print("{:<40} {:>12.1f} s, {:.0f} seeds a second\n", "took", result.seconds, seeds / result.seconds);
  fmt::print("{:<40} {:016x}\n", "hash of all that happened", result.hash);
}

} // namespace

int main(int count, char** values) {
  CLI::App program("Simulates whole trainings under faults that seeds draw.", "troupe_simtest");
  program.footer(teaching);
  std::string seeds = "1..300";
  campaign_setup setup;
  setup.jobs = std::max(1U, std::thread::hardware_concurrency());
  program.add_option("--seeds", seeds, "one seed, or the first and the last one of many")
      ->type_name("A..B (1..300)")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const std::map<std::string, simulation_kind> kinds{{"process", simulation_kind::process},
                                                     {"network", simulation_kind::network}};
  program.add_option("--kind", setup.kind, "process: a run in one process; network: one over several")
      ->type_name("KIND (process)")
      ->transform(CLI::CheckedTransformer(kinds))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  program.add_option("--jobs", setup.jobs, "processes; by default one a core")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  program.add_flag("--verbose", setup.verbose, "print the scenario and every event of one seed");
  program.add_flag("--keep-going", setup.keep_going, "after a seed that failed");
  try {
    program.parse(count, values);
  } catch (const CLI::ParseError& problem) {
    return program.exit(problem) == 0 ? 0 : 2;
  }
  if (!parse_seeds(seeds, setup)) {
    fmt::print(stderr, "--seeds: found '{}', expected a number, or two with .. in between, the smaller one first\n",
               seeds);
    return 2;
  }
  if (setup.verbose && setup.first_seed != setup.last_seed) {
    fmt::print(stderr, "--verbose: found --seeds {}, expected one seed\n", seeds);
    return 2;
  }
  setup.jobs = static_cast<std::uint32_t>(std::min<std::uint64_t>(setup.jobs, setup.last_seed - setup.first_seed + 1));
  try {
    const campaign_result result = run_campaign(setup);
    if (!setup.verbose)
      print(result, setup.kind);
    if (result.interrupted)
      return 130;
    return result.failures.empty() ? 0 : 1;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "troupe_simtest: {}\n", failure.what());
    return 1;
  }
}
