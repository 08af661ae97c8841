// What the scheduler does about checkpoints that fail, at each point at which they can.
#include "runtime/step_coordinator.hpp"
#include "tests/support/direct_drive.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace troupe;
using namespace troupe::test;

namespace {

run_spec saved_spec() {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.checkpoint.directory = "nowhere";
  spec.checkpoint.every = 1;
  return spec;
}

/// A drive whose store answers, once both ranks have handed in their snapshots, as it is told.
class saved_drive {
public:
  explicit saved_drive(const run_spec& spec) : data_(spec), drive(spec, data_) {
    drive.on_snapshot([this](const rank_snapshot& in) {
      if (ranks_[in.steps_done].insert(in.rank).second && ranks_[in.steps_done].size() == 2)
        snapshots.push_back(in.steps_done);
    });
  }

private:
  made_up_data data_;
  std::map<std::uint64_t, std::set<std::uint32_t>> ranks_;

public:
  direct_drive drive;
  std::vector<std::uint64_t> snapshots; ///< steps of which the store has all
};

} // namespace

TEST_CASE("a run whose every checkpoint fails takes all its steps, and has the weights of one without checkpoints") {
  saved_drive saved(saved_spec());
  std::size_t answered = 0;
  saved.drive.run([&] {
    if (answered < saved.snapshots.size())
      saved.drive.say(checkpoint_failed{saved.snapshots[answered++], "the disk is full"});
  });
  CHECK(saved.snapshots == std::vector<std::uint64_t>{1, 2, 3});
  run_spec plain = saved_spec();
  plain.checkpoint = {};
  const made_up_data data(plain);
  direct_drive other(plain, data);
  other.run();
  REQUIRE(other.end());
  REQUIRE(saved.drive.end());
  CHECK(saved.drive.end()->weights_sha256 == other.end()->weights_sha256);
  CHECK(saved.drive.closed().size() == 4); // one is a validation
}

TEST_CASE("word of the failure of another checkpoint than the one in flight changes nothing") {
  saved_drive saved(saved_spec());
  saved.drive.run([&] {
    if (saved.snapshots.size() == 1) {
      saved.drive.say(checkpoint_failed{7, "no"});
      saved.snapshots.push_back(0);
    }
  });
  CHECK_FALSE(saved.drive.end()); // it waits for the first one
}

TEST_CASE("a run that is interrupted in the validation after a failed checkpoint goes on to one that is saved") {
  for (const bool fails : {false, true}) {
    run_spec spec = saved_spec();
    spec.training.steps = 100;
    spec.validation.every = 1;
    saved_drive saved(spec);
    std::size_t answered = 0;
    saved.drive.run([&] {
      if (answered == saved.snapshots.size())
        return;
      const std::uint64_t steps = saved.snapshots[answered++];
      if (steps == 2 && fails)
        saved.drive.say(checkpoint_failed{steps, "the disk is full"});
      else
        saved.drive.say(checkpoint_committed{steps, {}, {}});
      if (steps == 2) // the validation after step 2 is under way
        saved.drive.interrupt();
    });
    REQUIRE(saved.drive.end());
    CHECK(saved.drive.end()->interrupted);
    CHECK(saved.snapshots == (fails ? std::vector<std::uint64_t>{1, 2, 3} : std::vector<std::uint64_t>{1, 2}));
  }
}
