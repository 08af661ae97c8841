// When a rank lets its snapshot go to another worker: not while the pipeline fills, also when it has nothing to do yet.
#include "actors/shell.hpp"
#include "actors/stage.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// The last of two ranks, with everybody else played by the test.
class last_rank {
public:
  last_rank() {
    company everyone;
    everyone.scheduler = caf::actor_cast<scheduler_actor>(caf::actor_cast<caf::actor>(others_));
    everyone.recorder = caf::actor_cast<recorder_actor>(caf::actor_cast<caf::actor>(others_));
    everyone.keeper = caf::actor_cast<keeper_actor>(caf::actor_cast<caf::actor>(keeper_));
    everyone.ranks = {caf::actor_cast<stage_actor>(caf::actor_cast<caf::actor>(others_)), rank_};
    say(introduction{std::make_shared<const company>(everyone)});
  }

  last_rank(const last_rank&) = delete;
  last_rank& operator=(const last_rank&) = delete;
  ~last_rank() {
    caf::anon_send_exit(rank_, caf::exit_reason::kill);
    run();
  }

  void open(std::uint64_t step) { say(step_opening{1, {step, pass_mode::train}}); }
  /// All that it needs for the forward pass of a microbatch; the backward pass follows by itself.
  void feed(std::uint64_t step, std::uint32_t microbatch) {
    const step_id at{step, pass_mode::train};
    say(target_message{1, at, microbatch, data_.sample(at, microbatch).targets});
    say(activation_message{{0, 1, 1, 1}, at, 1, microbatch, pool_.make_filled({16, spec_.model.width}, 0.5F)});
  }
  void end(std::uint64_t step) {
    step_decision decision;
    decision.at = {step, pass_mode::train};
    decision.snapshot = take_snapshot::to_keep;
    say(decision);
  }
  /// What the keeper was told since it was asked last.
  std::vector<std::string> told() {
    std::vector<std::string> all;
    while (!keeper_->mailbox().empty())
      keeper_->receive(
          [&](const rank_snapshot&) {
            const handler_scope scope(mailbox_of(keeper_));
            all.emplace_back("snapshot");
          },
          [&](const rank_waits&) {
            const handler_scope scope(mailbox_of(keeper_));
            all.emplace_back("may leave");
          });
    return all;
  }

private:
  template <class Message>
  void say(const Message& message) {
    tell(rank_, message);
    run();
  }
  void run() { dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()).run(); }

  run_spec spec_ = tiny_spec();
  made_up_data data_{spec_};
  deterministic_config config_;
  caf::actor_system system_{config_};
  const run_options options_;
  setup_ptr setup_ = [this] {
    spec_.pipeline.stages = 2;
    return make_setup(spec_, &data_, options_, 1);
  }();
  tensor_pool pool_;
  caf::scoped_actor others_{system_};
  caf::scoped_actor keeper_{system_};
  stage_actor rank_ = system_.spawn(stage, setup_, stage_start{.rank = 1}, caf::actor_cast<observer>(others_));
};

} // namespace

TEST_CASE(
    "a snapshot may leave for another worker when the pipeline is full, not when its rank waits for the first pass",
    "[actors][restart]") {
  last_rank rank;
  rank.open(0);
  for (std::uint32_t microbatch = 0; microbatch < 4; ++microbatch)
    rank.feed(0, microbatch);
  CHECK(rank.told().empty());
  rank.end(0);
  CHECK(rank.told() == std::vector<std::string>{"snapshot"});
  rank.open(1);
  CHECK(rank.told().empty());
  rank.feed(1, 0);
  CHECK(rank.told() == std::vector<std::string>{"may leave"});
  rank.feed(1, 1);
  CHECK(rank.told().empty());
}
