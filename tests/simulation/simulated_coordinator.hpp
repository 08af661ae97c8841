// A process that runs a training over workers, as run_distributed does, but never blocks: what its main thread would
// wait for is looked for between two events.
#pragma once

#include "actors/network/attempt.hpp"
#include "actors/network/coordinator.hpp"
#include "runtime/report.hpp"
#include "tests/simulation/simulated_cluster.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace troupe::test {

class simulated_coordinator {
public:
  struct setup {
    run_spec spec;
    const data_source* data = nullptr;
    coordinator_setup_of_workers workers{};
    std::optional<checkpoint> resume{}; ///< goes on from there
    bool follows = false;               ///< another process's decision log
  };

  simulated_coordinator(cluster& all, process_number who, setup how);
  simulated_coordinator(const simulated_coordinator&) = delete;
  simulated_coordinator& operator=(const simulated_coordinator&) = delete;

  process_number who() const { return who_; }
  /// Does what the main thread can do now.
  void look();
  bool over() const { return at_ == stage::over; }
  const std::optional<run_report>& report() const { return report_; }
  const std::optional<failure_message>& failure() const { return failure_; }
  std::uint64_t returns() const { return returns_; }
  /// Whether its ranks had begun when it failed or went back last.
  bool ended_running() const { return ended_running_; }
  /// The scheduler that lives, or has lived last; null: none has yet.
  const caf::actor& scheduler_now() const { return scheduler_now_; }

private:
  enum class stage { claiming, running, ending, leaving, over };

  void attempt();
  void hear();
  void begin();
  void dismiss();
  void leave();
  void settle();

  cluster& all_;
  process_number who_;
  setup how_;
  run_clock clock_;
  run_spec asked_;
  run_options options_;
  run_options now_;
  run_report before_;
  run_report so_far_;
  std::optional<checkpoint> written_;
  std::shared_ptr<owned_path> log_ = std::make_shared<owned_path>();
  std::shared_ptr<run_setup> setup_;
  caf::actor head_;
  company everyone_;
  stage at_ = stage::claiming;
  std::optional<workers_ready> workers_;
  std::optional<run_report> report_;
  std::optional<failure_message> failure_;
  std::optional<state_lost> lost_;
  std::size_t alive_ = 0;
  bool left_ = false;
  bool ended_running_ = false;
  std::uint64_t returns_ = 0;
  caf::actor scheduler_now_;
};

} // namespace troupe::test
