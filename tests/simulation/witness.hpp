// Sees everything that happens in one process of a simulated training, and holds it against the promises of the actors
// (docs/simulation.md lists them). Remembers the first one that was broken.
#pragma once

#include "tests/simulation/disk.hpp"
#include "tests/simulation/event_log.hpp"
#include "tests/simulation/ledger.hpp"
#include "tests/simulation/scenario.hpp"
#include "tests/simulation/tally.hpp"
#include "tests/support/unruly_network.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe::test {

/// What outlives a process.
struct facts_of_training {
  ledger said;
  std::uint64_t committed = 0; ///< steps done in the newest checkpoint that was said to be on the disk
};

class witness : public onlooker {
public:
  using listener = std::function<void(occasion)>;

  witness(const scenario& drawn, simulated_disk& disk, event_log& log, tally& counts, facts_of_training& facts,
          listener tell);
  /// Must be called before anything happens, and outlive what does.
  void watch(const unruly_run& run);

  /// Empty: everything was as promised.
  const std::string& problem() const { return problem_; }
  /// How many lives of the rank the scheduler knows to have ended, and how many schedulers were followed by another
  /// one.
  std::uint32_t deaths_of(std::uint32_t rank) const { return deaths_[rank]; }
  std::uint32_t scheduler_deaths() const { return scheduler_deaths_; }
  const std::optional<run_given_up>& given_up() const { return given_up_; }

  void sent(const actor_name& to, const message_content& what) override;
  void picked(const actor_name& to, const message_content& what, bag_fate fate, bool overtook) override;
  void before(const actor_name& who, const message_content* what) override;
  void after(const actor_name& who) override;
  void waited() override;

private:
  /// What one life of a rank has heard of the others' lives.
  struct heard_lives {
    incarnation own = 0;
    std::vector<incarnation> of;
  };

  void expect(bool holds, const std::string& promise);
  template <class Message>
  void expect_same(ledger& where, ledger::entry what, const Message& in, std::uint64_t part, std::uint64_t microbatch,
                   std::uint64_t number);
  template <class Message>
  void if_is(const message_content& what, void (witness::*act)(const Message&)) {
    if (const Message* const message = message_if<Message>(what))
      (this->*act)(*message);
  }

  void note_sent(const activation_message& in);
  void note_sent(const gradient_message& in);
  void note_sent(const group_gradient_message& in);
  void note_sent(const tied_gradient_message& in);
  void note_sent(const tied_value_message& in);
  void note_sent(const loss_message& in);
  void note_sent(const step_report& in);
  void note_sent(const digest_report& in);
  void note_sent(const step_opening& in);
  void note_sent(const step_decision& in);
  void note_sent(const digest_request& in);
  void note_sent(const send_again& in);
  void note_sent(const checkpoint_committed& in);
  void note_sent(const checkpoint_failed& in);
  void note_closed(const step_closed& in);
  void expect_logged(const step_decision& in);
  void expect_on_disk(const checkpoint_committed& in);

  void before_rank(const actor_name& who, const message_content& what);
  bool is_stale(const actor_name& who, const message_content& what);
  bool is_stale_route(heard_lives& heard, const route& via) const;
  void before_scheduler(const actor_name& who, const message_content& what);
  void before_keeper(const message_content& what);
  void before_store(const message_content& what);
  void before_recorder(const message_content& what);

  void check_rank(const actor_name& who);
  void check_scheduler();
  void check_line(std::uint64_t line);
  void check_keeper();
  std::uint64_t most_steps_beyond_line() const;

  const scenario& drawn_;
  simulated_disk& disk_;
  event_log& log_;
  tally& counts_;
  facts_of_training& facts_;
  listener tell_;
  const unruly_run* run_ = nullptr;
  std::string problem_;

  ledger said_; ///< of this process
  std::uint64_t stalls_ = 0;
  std::uint64_t newest_opened_ = 0; ///< steps done at its boundary
  std::uint64_t line_ = 0;
  bool over_ = false; ///< the scheduler has ended the run
  std::uint64_t steps_done_ = 0;
  std::set<step_id> decided_;
  std::set<step_id> closed_;
  std::set<std::uint64_t> committed_;
  std::optional<run_given_up> given_up_;
  std::vector<std::uint32_t> deaths_; ///< by rank
  std::uint32_t scheduler_deaths_ = 0;
  std::map<std::uint32_t, restart_order> births_; ///< by rank: of its newest life
  std::vector<heard_lives> heard_;                ///< by rank
  std::optional<std::uint64_t> dropped_before_; ///< of a stale message that a rank is about to get: what it has dropped
  std::optional<std::uint64_t> progress_before_; ///< the same of the scheduler
};

} // namespace troupe::test
