#include "actors/system.hpp"

#include "model/error.hpp"

#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace troupe {

namespace {

/// The threads of a run besides those that run ranks: the recorder's, the store's, CAF's clock, CAF's printer and the
/// alarm clock.
constexpr std::size_t side_threads = 5;

/// Starts `count` threads at once and ends them. CAF cannot recover from a thread that does not start, so the system is
/// asked before.
void start_threads(std::size_t count) {
  std::promise<void> all_started;
  const std::shared_future<void> until = all_started.get_future().share();
  std::vector<std::thread> threads;
  std::string problem;
  try {
    for (std::size_t i = 0; i < count; ++i)
      threads.emplace_back([until] { until.wait(); });
  } catch (const std::system_error& e) {
    problem = e.what();
  }
  all_started.set_value();
  for (std::thread& one : threads)
    one.join();
  if (!problem.empty())
    throw run_error("threads: found " + std::to_string(threads.size()) + " that could be started (" + problem +
                    "), expected " + std::to_string(count));
}

} // namespace

run_config::run_config(std::uint32_t threads) {
  add_message_types<caf::id_block::troupe>();
  // One queue for all threads: a rank that becomes ready is run by the next free thread, in the order of readiness.
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", static_cast<std::size_t>(threads));
  // A rank gives its thread back after each message, so that ranks take turns when there are more of them than
  // threads.
  set("scheduler.max-throughput", std::size_t{1});
  set("logger.verbosity", caf::atom("quiet"));
}

void expect_threads(std::uint32_t ranks_threads) {
  start_threads(ranks_threads + side_threads);
}

} // namespace troupe
