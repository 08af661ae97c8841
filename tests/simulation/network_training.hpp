// One seed of a training over several processes, from start to end: a coordinator and its workers, the faults that
// strike them, and the result against the reference's.
#pragma once

#include "runtime/report.hpp"
#include "tests/simulation/network_scenario.hpp"
#include "tests/simulation/network_witness.hpp"
#include "tests/simulation/simulated_coordinator.hpp"
#include "tests/simulation/simulated_training.hpp"
#include "tests/support/tiny_run.hpp"

#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace troupe::test {

/// As simulate() does it for a run in one process.
seed_result simulate_network(std::uint64_t seed, std::FILE* out);

class network_training {
public:
  network_training(network_scenario drawn, std::FILE* out);
  network_training(const network_training&) = delete;
  network_training& operator=(const network_training&) = delete;
  ~network_training();

  seed_result run();

private:
  /// A place where a worker runs; one process after another.
  struct machine {
    process_number worker = 0;
    bool silent = false; ///< its worker has died and nobody was told
    double back_at = 0.0;
  };

  void start_worker(std::size_t place);
  void start_coordinator();
  void strike_now(const network_strike& one);
  void note_blow(const network_strike& one);
  bool has_spare_copies() const;
  void look_at_returns();
  void strike_worker(const network_strike& one);
  void strike_rank(const network_strike& one);
  void strike_connection(const network_strike& one);
  void come_back();
  void look_at_workers();
  bool goes_on();
  void judge();
  void judge_failure();
  void await_quiet();
  bool may_hold() const;
  void fail(const std::string& what);
  void expect_progress();
  std::vector<std::size_t> living_machines() const;

  network_scenario drawn_;
  event_log log_;
  tally counts_;
  std::string problem_;
  made_up_data data_;
  run_report reference_;
  cluster all_;
  network_witness witness_;
  std::vector<machine> machines_;
  std::vector<std::unique_ptr<simulated_coordinator>> coordinators_; ///< those that are over among them
  std::optional<double> next_coordinator_at_;
  std::size_t struck_ = 0;
  double last_fault_ = 0.0;
  double began_ = 0.0; ///< the newest coordinator
  std::uint64_t returns_seen_ = 0;
  std::uint32_t blows_ = 0; ///< since the coordinator began, or its run went back: two may be too many
  std::uint32_t failures_ = 0;
};

} // namespace troupe::test
