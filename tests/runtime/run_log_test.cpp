// A run and its decision log, when it does steps that were done before.
#include "runtime/generation.hpp"
#include "runtime/recovery/run_log.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::EndsWith;

namespace {

step_closed step(std::uint64_t number) {
  return {.at = {number},
          .loss = 3.5 - static_cast<double>(number),
          .gradient_norm = 0.1,
          .learning_rate = 0.01,
          .gradient_scale = 0.5,
          .snapshot = true};
}

struct logged_run {
  logged_run() { spec.checkpoint.directory = scratch.path("run"); }

  run_log open(log_start start, std::uint64_t first_step = 0) {
    return run_log(spec, {}, start, first_step, std::make_shared<owned_path>(), warnings);
  }

  std::vector<std::uint64_t> steps() {
    std::vector<std::uint64_t> found;
    for (const logged_decision& one : decision_log(spec.checkpoint.directory, spec, {}, warnings).decisions())
      found.push_back(one.at.step);
    return found;
  }

  scratch_directory scratch{place_in_memory()};
  run_spec spec = tiny_spec();
  std::vector<std::string> warnings;
};

/// Refuses everything while `code` is set.
struct switched_disk : disk_faults {
  int fault(disk_act, const std::filesystem::path&) override { return code; }
  int code = 0;
};

using steps = std::vector<std::uint64_t>;

/// Two processes that act on one disk in a stated order: which of them does the next act, and the next.
class two_at_once {
public:
  explicit two_at_once(std::vector<std::size_t> order) : order_(std::move(order)) {}

  /// Blocks until it is this one's turn, which lasts until it waits again or has finished.
  void await_turn(std::size_t who) {
    std::unique_lock lock(guard_);
    yield(who);
    changed_.wait(lock, [&] { return !holder_ && (finished_[1 - who] || next() == who); });
    holder_ = who;
    ++turns_;
  }
  void finish(std::size_t who) {
    const std::scoped_lock lock(guard_);
    yield(who);
    finished_[who] = true;
  }

private:
  std::size_t next() const { return turns_ < order_.size() ? order_[turns_] : turns_ % 2; }
  void yield(std::size_t who) {
    if (holder_ == who)
      holder_.reset();
    changed_.notify_all();
  }

  std::vector<std::size_t> order_;
  std::size_t turns_ = 0;
  std::optional<std::size_t> holder_;
  std::array<bool, 2> finished_{};
  std::mutex guard_;
  std::condition_variable changed_;
};

/// The disk as one of the two sees it.
class shared_disk : public disk_faults {
public:
  shared_disk(two_at_once& turns, std::size_t who) : turns_(turns), who_(who) {}
  int fault(disk_act, const std::filesystem::path&) override {
    turns_.await_turn(who_);
    return 0;
  }

private:
  two_at_once& turns_;
  std::size_t who_;
};

/// Does something before an act, told its number from 1.
class hooked_disk : public disk_faults {
public:
  explicit hooked_disk(std::function<void(std::size_t)> hook) : hook_(std::move(hook)) {}
  int fault(disk_act, const std::filesystem::path&) override {
    hook_(++acts_);
    return 0;
  }
  std::size_t acts() const { return acts_; }

private:
  std::function<void(std::size_t)> hook_;
  std::size_t acts_ = 0;
};

/// Every way in which `ones` ones and as many zeros can follow each other.
std::vector<std::vector<std::size_t>> orders_of(std::size_t ones) {
  std::vector<std::size_t> order(ones, 0);
  order.insert(order.end(), ones, 1);
  std::vector<std::vector<std::size_t>> all;
  do
    all.push_back(order);
  while (std::ranges::next_permutation(order).found);
  return all;
}

} // namespace

TEST_CASE("a run that goes on checks the steps that its log has, and adds those that come after") {
  logged_run run;
  {
    run_log log = run.open(log_start::anew);
    for (std::uint64_t number = 0; number < 3; ++number)
      CHECK(log.note(step(number)).empty());
  }
  run_log log = run.open(log_start::go_on, 1);
  CHECK(log.note(step(1)).empty());
  step_closed without = step(2);
  without.snapshot = false; // is no part of the result
  CHECK(log.note(without).empty());
  CHECK(log.note(step(3)).empty());
  CHECK(run.steps() == steps{0, 1, 2, 3});
}

TEST_CASE("whatever of a step differs from the log is named, with what was found and expected") {
  const auto difference = [](auto change) {
    logged_run run;
    CHECK(run.open(log_start::anew).note(step(0)).empty());
    step_closed other = step(0);
    change(other);
    return error_text<checkpoint_error>([&] { run.open(log_start::go_on).note(other); });
  };
  CHECK(difference([](step_closed&) {}).empty());
  CHECK_THAT(difference([](step_closed& one) { one.loss = 2.0; }),
             EndsWith("decisions.log: step 1: loss: found 2 in this run, expected 3.5 as in the log"));
  CHECK_THAT(difference([](step_closed& one) { one.gradient_norm = 2.0; }),
             EndsWith("gradient_norm: found 2 in this run, expected 0.10000000000000001 as in the log"));
  CHECK_THAT(difference([](step_closed& one) { one.gradient_scale = 2.0; }),
             EndsWith("gradient_scale: found 2 in this run, expected 0.5 as in the log"));
  CHECK_THAT(difference([](step_closed& one) { one.learning_rate = 2.0; }),
             EndsWith("learning_rate: found 2 in this run, expected 0.01 as in the log"));
  CHECK_THAT(difference([](step_closed& one) { one.poison.emplace(); }),
             EndsWith("skipped: found true in this run, expected false as in the log"));
}

TEST_CASE("a loss that is no number is the same as another one") {
  logged_run run;
  step_closed one = step(0);
  one.loss = std::numeric_limits<double>::quiet_NaN();
  CHECK(run.open(log_start::anew).note(one).empty());
  one.loss = -one.loss;
  CHECK(run.open(log_start::go_on).note(one).empty());
}

TEST_CASE("a step that the disk had refused stays out of the log, and the run goes on") {
  logged_run run;
  {
    run_log log = run.open(log_start::anew);
    CHECK(log.note(step(0)).empty());
    CHECK(log.note(step(2)).empty());
  }
  run_log log = run.open(log_start::go_on);
  for (std::uint64_t number = 0; number < 4; ++number)
    CHECK(log.note(step(number)).empty());
  CHECK(run.steps() == steps{0, 2, 3});
}

TEST_CASE("a disk that refuses the log now and then is told of once") {
  logged_run run;
  switched_disk disk;
  run_log log(run.spec, {}, log_start::anew, 0, std::make_shared<owned_path>(), run.warnings, &disk);
  for (std::uint64_t number = 0; number < 6; ++number) {
    disk.code = number % 2 == 1 ? ENOSPC : 0;
    CHECK(log.note(step(number)).empty() == (number != 1));
  }
  CHECK(run.steps() == steps{0, 2, 4});
}

TEST_CASE("a log that another process goes on with is written by that one alone") {
  logged_run run;
  run_log before = run.open(log_start::anew);
  CHECK(before.note(step(0)).empty());
  run_log after = run.open(log_start::go_on, 1);
  CHECK(after.note(step(1)).empty());
  std::filesystem::create_directories(std::filesystem::path(run.spec.checkpoint.directory) / generation_name(1));
  const std::string refusal = "decisions.log: found the log of another process, which has gone on with this run "
                              "meanwhile, expected our own";
  CHECK_THAT(error_text<checkpoint_error>([&] { before.note(step(1)); }), EndsWith(refusal));
  CHECK_THAT(error_text<checkpoint_error>([&] { before.note_checkpoint(); }), EndsWith(refusal));
  CHECK(after.note(step(2)).empty());
  CHECK(run.steps() == steps{0, 1, 2});
}

TEST_CASE("of two processes that go on with a run at the same moment one has the log, and the other one ends") {
  constexpr std::size_t acts = 6; // reads; create, write, sync, rename, sync the directory
  const std::string refusal = "decisions.log: found the log of another process, which has gone on with this run "
                              "meanwhile, expected our own";
  logged_run run;
  const std::string& directory = run.spec.checkpoint.directory;
  for (const bool is_there : {true, false})
    for (const std::vector<std::size_t>& order : orders_of(acts)) {
      std::filesystem::remove_all(directory);
      if (is_there)
        CHECK(run.open(log_start::anew).note(step(0)).empty());
      two_at_once turns(order);
      std::array<shared_disk, 2> disks{{{turns, 0}, {turns, 1}}};
      std::array<std::vector<std::string>, 2> warnings;
      std::array<std::optional<run_log>, 2> logs;
      std::array<std::string, 2> said;
      const auto open = [&](std::size_t who) {
        said[who] = error_text<checkpoint_error>([&] {
          turns.await_turn(who);
          logs[who].emplace(run.spec, "", log_start::go_on, 0, std::make_shared<owned_path>(), warnings[who],
                            &disks[who]);
        });
        turns.finish(who);
      };
      {
        const std::jthread other(open, 1);
        open(0);
      }
      std::size_t have_it = 0;
      for (std::size_t who : {0, 1}) {
        if (logs[who])
          said[who] = error_text<checkpoint_error>([&] { logs[who]->note(step(0)); });
        have_it += said[who].empty() ? 1 : 0;
        if (!said[who].empty())
          CHECK_THAT(said[who], EndsWith(refusal));
        CHECK(warnings[who] == std::vector<std::string>{});
      }
      INFO("the second process's acts are the ones of "
           << Catch::StringMaker<std::vector<std::size_t>>::convert(order));
      CHECK(have_it == 1);
      CHECK(run.steps() == steps{0});
      CHECK(names_in(directory) == std::set<std::string>{"decisions.log"});
    }
}

TEST_CASE("a process whose log is taken over just when it writes it anew ends, and leaves it to the other") {
  enum class moment { opens, notes, trims };
  for (std::size_t act = 1, acts = 1; act <= acts; ++act) {
    logged_run run;
    std::filesystem::create_directories(std::filesystem::path(run.spec.checkpoint.directory) / generation_name(1));
    std::optional<run_log> after;
    moment now = moment::opens;
    moment struck = now;
    hooked_disk disk([&](std::size_t number) {
      if (number != act)
        return;
      struck = now;
      after.emplace(run.open(log_start::go_on));
    });
    std::optional<run_log> before;
    std::string ended = error_text<checkpoint_error>([&] {
      before.emplace(run.spec, "", log_start::anew, 0, std::make_shared<owned_path>(), run.warnings, &disk);
      now = moment::notes;
      before->note(step(0));
      before->note(step(1));
      now = moment::trims;
      before->note_checkpoint();
      now = moment::notes;
      before->note(step(2));
    });
    acts = std::max(acts, disk.acts());
    INFO("act " << act);
    if (!ended.empty() && struck != moment::notes)
      CHECK(now == struck); // at once, and not when it has something to write next
    if (ended.empty())
      ended = error_text<checkpoint_error>([&] { before->note(step(4)); });
    const std::string other = error_text<checkpoint_error>([&] { after.value().note(step(3)); });
    CHECK(ended.empty() != other.empty());
    CHECK_THAT(ended + other, EndsWith("expected our own"));
  }
}

TEST_CASE("whatever the disk refuses while the log is written anew, it stays the process's own") {
  std::size_t refused = 0;
  for (bool failed = true; failed; ++refused) {
    logged_run run;
    std::filesystem::create_directories(std::filesystem::path(run.spec.checkpoint.directory) / generation_name(1));
    run.open(log_start::anew);
    failing_disk disk(ENOSPC, 1 + refused);
    run_log log(run.spec, {}, log_start::go_on, 0, std::make_shared<owned_path>(), run.warnings, &disk);
    INFO("the disk refuses act " << 1 + refused);
    CHECK_NOTHROW(log.note(step(0)));
    CHECK_NOTHROW(log.note(step(1)));
    CHECK_NOTHROW(log.note_checkpoint());
    CHECK_NOTHROW(log.note(step(2)));
    failed = disk.has_failed();
  }
  CHECK(refused > 10);
}

TEST_CASE("a process goes on with its own log, but not with one that it has lost to another") {
  logged_run run;
  const auto ours = std::make_shared<owned_path>();
  const auto open = [&] { return run_log(run.spec, {}, log_start::go_on, 0, ours, run.warnings); };
  CHECK(open().note(step(0)).empty());
  CHECK(open().note(step(0)).empty());
  CHECK(run.open(log_start::go_on, 1).note(step(1)).empty());
  CHECK_THAT(error_text<checkpoint_error>([&] { open(); }), EndsWith("expected our own"));
  CHECK(run.steps() == steps{0, 1});
}
