// Checkpoints that the disk refuses: what is left of them, and how a run goes on.
#include "runtime/one_thread_trainer.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/collected_run.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/small_checkpoint.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <limits>
#include <set>
#include <string>
#include <system_error>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;
using Catch::EndsWith;
namespace fs = std::filesystem;

namespace {

using names = std::set<std::string>;

constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

/// Writes the checkpoint of a step; what it says when it cannot.
std::string write(small_model& model, const fs::path& directory, std::uint64_t step, disk_faults* disk) {
  return error_text<checkpoint_error>([&] {
    checkpoint_writer writer(directory, model.spec(), step, model.state_names(), {}, disk);
    writer.add(model.layers(step));
    writer.commit(small_model::layer_count);
  });
}

std::uint64_t newest_of(const fs::path& directory) {
  std::vector<std::string> warnings;
  const std::uint64_t steps = checkpoint::open_latest(directory, warnings).steps_done();
  CHECK(warnings.empty());
  return steps;
}

std::string reason_in(const checkpoint_news& news) {
  const auto* failed = std::get_if<checkpoint_failed>(&news);
  return failed == nullptr ? std::string() : failed->reason;
}

/// A run of three steps with a checkpoint after each.
run_spec saved_spec(const fs::path& directory) {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.checkpoint.directory = directory.string();
  spec.checkpoint.every = 1;
  return spec;
}

std::vector<std::uint64_t> steps_of(const std::vector<checkpoint_failed>& failed) {
  std::vector<std::uint64_t> steps;
  for (const checkpoint_failed& one : failed)
    steps.push_back(one.steps_done);
  return steps;
}

} // namespace

TEST_CASE("whichever act of writing a checkpoint fails, the one before stays, nothing is left, and the next succeeds") {
  for (const int code : {ENOSPC, EIO, EDQUOT})
    for (std::size_t act = 1;; act += sanitized ? 5 : 1) {
      const scratch_directory scratch(place_in_memory());
      const fs::path directory = scratch / "ckpt";
      small_model model;
      REQUIRE(write(model, directory, 10, nullptr).empty());
      failing_disk disk(code, act);
      const std::string text = write(model, directory, 20, &disk);
      INFO("act " << act << ": " << text);
      if (!disk.has_failed()) {
        CHECK(act > 30);
        CHECK(text.empty());
        break;
      }
      CHECK_THAT(text, Catch::StartsWith(directory.string()) && Contains(": cannot ") &&
                           EndsWith(": " + std::generic_category().message(code)));
      // When just the sync of its name fails, it is there, whole.
      const bool named = fs::exists(directory / "step-00000020");
      CHECK(names_in(directory) == (named ? names{"step-00000010", "step-00000020"} : names{"step-00000010"}));
      CHECK(newest_of(directory) == (named ? 20 : 10));
      CHECK(write(model, directory, 30, &disk).empty());
      CHECK(newest_of(directory) == 30);
      CHECK(names_in(directory) == names{named ? "step-00000020" : "step-00000010", "step-00000030"});
    }
}

TEST_CASE("a checkpoint with files larger than may be names the file, and the one before stays") {
  const scratch_directory scratch;
  const fs::path directory = scratch / "ckpt";
  small_model model;
  REQUIRE(write(model, directory, 10, nullptr).empty());
  const std::uintmax_t whole = fs::file_size(directory / "step-00000010" / "manifest.textproto");
  const std::string text = with_small_files(whole - 1, [&] { return write(model, directory, 20, nullptr); });
  CHECK(text == (directory / ".step-00000020.tmp" / "manifest.textproto").string() + ": cannot write: File too large");
  CHECK(names_in(directory) == names{"step-00000010"});
  CHECK(newest_of(directory) == 10);
}

TEST_CASE("a checkpoint whose directory is removed meanwhile fails, and the next one makes it again") {
  const scratch_directory scratch;
  const fs::path directory = scratch / "ckpt";
  small_model model;
  REQUIRE(write(model, directory, 10, nullptr).empty());
  checkpoint_writer writer(directory, model.spec(), 20, model.state_names());
  fs::remove_all(directory);
  CHECK_THAT(error_text<checkpoint_error>([&] { writer.add(model.layers(20)); }),
             Contains(".step-00000020.tmp: found no such directory"));
  CHECK(write(model, directory, 30, nullptr).empty());
  CHECK(names_in(directory) == names{"step-00000030"});
}

TEST_CASE("an old generation that cannot be removed does not fail the new one, is told of, and goes with the next") {
  const scratch_directory scratch;
  const fs::path directory = scratch / "ckpt";
  small_model model;
  failing_disk counted(EIO, never);
  for (const std::uint64_t step : {10U, 20U})
    REQUIRE(write(model, directory, step, &counted).empty());
  failing_disk disk(EIO, counted.acts() / 2 + 1);
  checkpoint_writer writer(directory, model.spec(), 30, model.state_names(), {}, &disk);
  writer.add(model.layers(30));
  CHECK(writer.commit(small_model::layer_count) == directory / "step-00000030");
  REQUIRE(disk.has_failed());
  CHECK(writer.warning() == (directory / ".step-00000010.tmp").string() + ": cannot rename: Input/output error");
  CHECK(names_in(directory) == names{"step-00000010", "step-00000020", "step-00000030"});
  CHECK(newest_of(directory) == 30);
  CHECK(write(model, directory, 40, nullptr).empty());
  CHECK(names_in(directory) == names{"step-00000030", "step-00000040"});
}

TEST_CASE("a checkpoint is given up whichever way its parts come, and the next one is written", "[collector]") {
  using way = checkpoint_news (collected_run::*)(std::uint32_t);
  for (const way hand_in :
       {&collected_run::hand_in_whole, &collected_run::hand_in_files, &collected_run::hand_in_layers})
    for (std::size_t act = 1;; act += sanitized ? 61 : 7) {
      failing_disk disk(ENOSPC, act);
      collected_run run([](run_spec&) {}, &disk);
      const fs::path directory = run.spec.checkpoint.directory;
      INFO("act " << act);
      checkpoint_news news = run.collector.open(2);
      if (hand_in == &collected_run::hand_in_files)
        run.admit_all();
      for (std::uint32_t rank = 0; rank < 2 && std::holds_alternative<std::monostate>(news); ++rank)
        news = (run.*hand_in)(rank);
      if (!disk.has_failed()) {
        CHECK(act > 100);
        CHECK(commit_in(news));
        break;
      }
      CHECK(std::get<checkpoint_failed>(news).steps_done == 2);
      CHECK_THAT(reason_in(news), EndsWith(": No space left on device"));
      CHECK(names_in(directory).empty());
      CHECK_FALSE(run.collector.wants(2));
      for (std::uint32_t rank = 0; rank < 2; ++rank) // has not heard of it
        CHECK(std::holds_alternative<std::monostate>((run.*hand_in)(rank)));
      CHECK(names_in(directory).empty());

      run.set_steps(4);
      CHECK_FALSE(commit_in(run.collector.open(4)));
      CHECK(run.collector.wants(4));
      CHECK_FALSE(commit_in((run.*hand_in)(1)));
      CHECK(commit_in((run.*hand_in)(0)));
      CHECK(names_in(directory) == names{"step-00000004"});
      run.check_content();
    }
}

TEST_CASE("a checkpoint is given up once no other process is at work on it, so that nothing stays behind",
          "[collector]") {
  const std::string reason = "rank 1: a.safetensors: cannot write: Disk quota exceeded";
  for (const int others_end : {0, 1, 2}) {
    collected_run run;
    run.collector.open(2);
    run.admit_all();
    const auto failing = run.collector.give_up(1, 2, "a.safetensors: cannot write: Disk quota exceeded");
    CHECK(std::holds_alternative<std::monostate>(failing));
    CHECK_FALSE(run.collector.wants(2));
    const std::vector<manifest_layers> part = run.write(0);
    CHECK(std::holds_alternative<std::monostate>(run.collector.leave(1, 2))); // it asks again
    const auto news = others_end == 0   ? run.collector.add_part(0, 2, part)
                      : others_end == 1 ? run.collector.give_up(0, 2, "another reason")
                                        : run.collector.leave(0, 2);
    CHECK(reason_in(news) == reason);
    CHECK(names_in(run.spec.checkpoint.directory).empty());
    CHECK(std::holds_alternative<std::monostate>(run.collector.add_part(0, 2, part)));
  }
}

TEST_CASE("a file that is not as its writer says costs the checkpoint, not the run", "[collector]") {
  collected_run run;
  run.collector.open(2);
  std::vector<manifest_layers> part = run.write(0);
  fs::remove(fs::path(run.spec.checkpoint.directory) / ".step-00000002.tmp" / part[0].weights.name);
  CHECK_THAT(reason_in(run.collector.add_part(0, 2, part)), Contains("No such file or directory"));
  CHECK(names_in(run.spec.checkpoint.directory).empty());
}

TEST_CASE("trainers on one thread go on without the checkpoints that fail, with the same result") {
  const scratch_directory scratch;
  const fs::path directory = scratch / "ckpt";
  const run_spec spec = saved_spec(directory);
  run_spec plain = spec;
  plain.checkpoint = {};
  const made_up_data data(spec);
  for (const auto& trainer : {run_reference, run_one_thread}) {
    const run_report expected = trainer(plain, data, {});
    std::vector<std::uint64_t> committed;
    std::vector<std::uint64_t> failed;
    run_options options;
    options.on_checkpoint = [&](const checkpoint_committed& one) { committed.push_back(one.steps_done); };
    options.on_checkpoint_failed = [&](const checkpoint_failed& one) { failed.push_back(one.steps_done); };

    failing_disk counted(EIO, never);
    options.disk = &counted;
    check_same_result(trainer(spec, data, options), expected);
    CHECK(committed == std::vector<std::uint64_t>{1, 2, 3});

    committed.clear();
    failing_disk second(EIO, counted.acts() / 3 + 1);
    options.disk = &second;
    fs::remove_all(directory);
    const run_report report = trainer(spec, data, options);
    check_same_result(report, expected);
    CHECK(steps_of(report.failed_checkpoints) == std::vector<std::uint64_t>{2});
    CHECK(failed == std::vector<std::uint64_t>{2});
    CHECK(committed == std::vector<std::uint64_t>{1, 3});
    CHECK_THAT(report.failed_checkpoints.at(0).reason, EndsWith(": Input/output error"));
    CHECK(names_in(directory) == names{"step-00000001", "step-00000003"});

    failed.clear();
    failing_disk all(EIO, 1, never);
    options.disk = &all;
    fs::remove_all(directory);
    check_same_result(trainer(spec, data, options), expected);
    CHECK(failed == std::vector<std::uint64_t>{1, 2, 3});
    CHECK(names_in(directory).empty());
  }
}

TEST_CASE("a checkpoint directory that cannot be made ends a run on one thread before its first step") {
  const scratch_directory scratch;
  write_bytes(scratch / "file", "x");
  const run_spec spec = saved_spec(scratch / "file" / "below");
  run_options options;
  options.on_step = [](const step_progress&) { FAIL("a step was taken"); };
  for (const auto& trainer : {run_reference, run_one_thread})
    CHECK_THAT(error_text<checkpoint_error>([&] { trainer(spec, made_up_data(spec), options); }),
               Contains("below: cannot create a directory: Not a directory"));
}
