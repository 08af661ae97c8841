// One seed from start to end: runs its training, as many processes of it as the faults make, and compares the result
// with the reference.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/report.hpp"
#include "tests/simulation/disk.hpp"
#include "tests/simulation/event_log.hpp"
#include "tests/simulation/scenario.hpp"
#include "tests/simulation/tally.hpp"
#include "tests/simulation/witness.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace troupe::test {

struct seed_result {
  std::string problem;    ///< empty: all was as promised
  std::uint64_t hash = 0; ///< of everything that happened
  tally counts;
};

/// Works in the current directory, which must be a scratch directory of its own. `out`: where the events go as text;
/// null: nowhere.
seed_result simulate(std::uint64_t seed, std::FILE* out);

/// A training and the processes that it takes.
class simulated_training {
public:
  simulated_training(scenario drawn, std::FILE* out);

  seed_result run();

private:
  enum class process_end : std::uint8_t { finished, failed, crashed, hung };
  struct due_strike {
    strike what;
    std::optional<std::uint64_t> at; ///< event; nothing: its occasion is still to come
  };

  run_report train_calmly(const run_spec& spec) const;
  void make_reference();
  run_options options_with(const checkpoint* from);
  process_end run_process(const checkpoint* from);
  void play(unruly_run& run, witness& seen);
  void notice(occasion when);
  void strike_now(unruly_run& run, strike_kind what);
  void judge_finished(const witness& seen);
  void judge_interrupted();
  std::string failure_text() const;
  void judge_failed(const witness& seen);
  void judge_poisoned();
  void judge_given_up(const witness& seen);
  void judge_survivors(const witness& seen);
  void judge_saved(std::uint64_t least);
  void compare(const run_report& expected, std::uint64_t steps);
  void fail(const std::string& what);
  bool failed() const { return !problem_.empty(); }
  bool prepare_next(std::optional<checkpoint>& from);
  void forge_log(const checkpoint& from);
  std::optional<checkpoint> newest_saved();

  scenario drawn_;
  event_log log_;
  simulated_disk disk_;
  tally counts_;
  facts_of_training facts_;
  std::string problem_;

  run_spec spec_; ///< of the process that runs
  made_up_data data_;
  std::optional<poisoned_family> family_;
  run_report reference_;
  std::string refusal_; ///< how the reference ends, if that is an error

  bool over_ = false;                        ///< nothing can follow
  std::optional<std::uint64_t> forged_step_; ///< of which the log says what was not
  std::uint32_t processes_ = 0;
  std::uint64_t first_step_ = 0; ///< of the process
  outcome seen_;
  unruly_run* playing_ = nullptr;
  std::vector<due_strike> strikes_;
  std::set<std::uint32_t> killed_; ///< ranks that were struck in this process
};

} // namespace troupe::test
