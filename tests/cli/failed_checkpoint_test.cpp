// Runs of the real program whose disk refuses for a while, or to the end.
#include "runtime/file_io.hpp"
#include "runtime/generation.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "tests/support/small_distributed_run.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <csignal>
#include <functional>
#include <sys/resource.h>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::Equals;
using Catch::Matchers::StartsWith;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;
using arguments = std::vector<std::string>;

/// From now on the process can write no file beyond so many bytes.
void limit_files(pid_t process, rlim_t bytes) {
  const rlimit limit{bytes, RLIM_INFINITY};
  REQUIRE(::prlimit(process, RLIMIT_FSIZE, &limit, nullptr) == 0);
}

const arguments flags_of_model{"--layers", "2"}; ///< four layers to cut

constexpr rlim_t small = 2000; ///< no checkpoint of small_run fits, nor its report

/// The first line with `what`.
std::string line_with(const std::string& text, const std::string& what) {
  const std::size_t place = text.find(what);
  const std::size_t before = text.rfind('\n', place);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  return text.substr(begin, text.find('\n', place) + 1 - begin);
}

struct victim {
  pid_t process = 0;
  fs::path directory;
};

/// A run without end, with a checkpoint every ten steps. Breaks the disk once there is one, waits for word of it, mends
/// the disk, waits for the next checkpoint, and interrupts the run. Its weights must be the reference's. Returns what
/// it said when the disk was broken.
std::string endure(const arguments& flags, const std::function<void(const victim&)>& break_disk,
                   const std::function<void(const victim&)>& mend_disk) {
  const scratch_directory scratch;
  const fs::path directory = scratch / "run";
  running_program program(words_of_run(
      scratch, flags_of_model + flags +
                   arguments{"--steps", "1000000000", "--checkpoint-every", "10", "--checkpoint", directory.string()}));
  wait_for_later(program, directory, 0);
  break_disk({program.process(), directory});
  const std::string end = " stays; going on\n";
  REQUIRE(program.wait_for_error_output(end));
  const std::string said = line_with(program.error_output(), end);
  mend_disk({program.process(), directory});
  wait_for_later(program, directory, std::stoull(said.substr(said.find("step ") + 5)));
  program.send(SIGINT);
  const program_result result = program.finish();
  INFO(result.err);
  CHECK(result.exit_code == 130);
  const json report = last_report(scratch);
  CHECK(report["failed_checkpoints"].size() >= 1);
  const json& first = report["failed_checkpoints"][0];
  CHECK_THAT(said, StartsWith("checkpoint after step " + std::to_string(first["steps_done"].get<std::uint64_t>()) +
                              " failed: " + first["reason"].get<std::string>() + "; the one after step ") &&
                       Contains(" stays; going on\n"));

  const std::string steps = std::to_string(report["losses"].size());
  CHECK(newest_in(directory) == report["losses"].size());
  for (const std::string& name : names_in(directory))
    CHECK_THAT(name, StartsWith("step-") || Equals(decision_log_name));
  CHECK(run_program({"inspect", directory.string()}).exit_code == 0);
  const json reference =
      report_of_run(scratch, flags_of_model + arguments{"--schedule", "reference", "--steps", steps});
  CHECK(report["weights_sha256"] == reference["weights_sha256"]);
  CHECK(report["optimizer_sha256"] == reference["optimizer_sha256"]);
  return said;
}

void limit_first_worker(pid_t coordinator, rlim_t bytes) {
  const std::vector<pid_t> workers = children_of(coordinator);
  REQUIRE(workers.size() == 2);
  limit_files(workers.front(), bytes);
}

/// A run of four steps in a shell that lets files grow to 6 KiB: room for a report, not for a checkpoint.
program_result run_with_small_files(const scratch_directory& scratch, const arguments& flags) {
  arguments words{"-c", "ulimit -f 12; exec \"$@\"", "sh", TROUPE_PROGRAM};
  return running_program(words + words_of_run(scratch, flags), "/bin/sh").finish();
}

} // namespace

TEST_CASE("a run whose files may not grow for a while goes on, says so, and saves again when they may") {
  const arguments where = GENERATE(arguments{"--stages", "2"}, arguments{"--schedule", "reference"});
  CHECK_THAT(endure(
                 where, [](const victim& run) { limit_files(run.process, small); },
                 [](const victim& run) { limit_files(run.process, RLIM_INFINITY); }),
             Contains(": cannot write: File too large; "));
}

TEST_CASE("a run over workers goes on when one of them cannot write its part, or the coordinator what it is sent") {
  const arguments workers{"--stages", "4", "--spawn", "2"};
  CHECK_THAT(endure(
                 workers, [](const victim& run) { limit_first_worker(run.process, small); },
                 [](const victim& run) { limit_first_worker(run.process, RLIM_INFINITY); }),
             Contains(" failed: rank ") && Contains(": cannot write: File too large; "));
  CHECK_THAT(endure(
                 workers + arguments{"--checkpoint-via", "coordinator"},
                 [](const victim& run) { limit_files(run.process, small); },
                 [](const victim& run) { limit_files(run.process, RLIM_INFINITY); }),
             Contains(": cannot write: File too large; "));
}

TEST_CASE("a run whose checkpoint directory becomes a file goes on, and saves again when it is one again") {
  const arguments where = GENERATE(arguments{"--stages", "2"}, arguments{"--stages", "2", "--spawn", "2"},
                                   arguments{"--stages", "2", "--spawn", "2", "--checkpoint-via", "coordinator"});
  const auto exchange = [](const victim& run) { // at once, or the run would make the directory again
    const fs::path aside = run.directory.string() + ".aside";
    if (!fs::exists(aside))
      write_bytes(aside, "no directory");
    exchange_paths(aside, run.directory, error_kind::run);
  };
  CHECK_THAT(endure(where, exchange, exchange), Contains("Not a directory") || Contains("found no such directory"));
}

TEST_CASE("a run whose checkpoint directory is removed makes it again") {
  const arguments where = GENERATE(arguments{"--stages", "2"}, arguments{"--stages", "2", "--spawn", "2"});
  const scratch_directory scratch;
  const fs::path directory = scratch / "run";
  running_program program(words_of_run(scratch, where + arguments{"--steps", "1000000000", "--checkpoint-every", "10",
                                                                  "--checkpoint", directory.string()}));
  const std::uint64_t before = wait_for_later(program, directory, 0);
  fs::rename(directory, scratch / "removed");
  wait_for_later(program, directory, before);
  program.send(SIGINT);
  CHECK(program.finish().exit_code == 130);
  CHECK(run_program({"inspect", directory.string()}).exit_code == 0);
}

TEST_CASE("a run whose last checkpoint fails has its result all the same, and exits with 3 and one line more") {
  const arguments where = GENERATE(arguments{"--stages", "2"}, arguments{"--schedule", "reference"},
                                   arguments{"--stages", "2", "--spawn", "2"});
  const scratch_directory scratch;
  const json whole = report_of_run(scratch, where);
  const fs::path directory = scratch / "run";
  const program_result result =
      run_with_small_files(scratch, where + arguments{"--checkpoint", directory.string(), "--checkpoint-every", "2"});
  INFO(result.err);
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.out, Contains("weights_sha256  " + whole["weights_sha256"].get<std::string>() + "\n"));
  const json report = last_report(scratch);
  CHECK(report["weights_sha256"] == whole["weights_sha256"]);
  CHECK(report["losses"] == whole["losses"]);
  REQUIRE(report["failed_checkpoints"].size() == 2);
  const auto line = [&](std::size_t index) {
    const json& one = report["failed_checkpoints"][index];
    return "checkpoint after step " + std::to_string(one["steps_done"].get<std::uint64_t>()) +
           " failed: " + one["reason"].get<std::string>() + "; there is none before it";
  };
  CHECK(result.err == line(0) + "; going on\ntroupe: " + line(1) + "\n");
  const bool logs = where.front() != "--schedule"; // the reference does not
  CHECK(names_in(directory) == (logs ? std::set<std::string>{decision_log_name} : std::set<std::string>{}));
}

TEST_CASE("where a poisoned step ends the run and its last state cannot be saved, one line says both") {
  const arguments where = GENERATE(arguments{"--stages", "2"}, arguments{"--schedule", "reference"});
  const scratch_directory scratch;
  const program_result result = run_with_small_files(
      scratch, where + arguments{"--lr", "1e6", "--steps", "100", "--clip", "0", "--checkpoint", scratch.path("run")});
  INFO(result.err);
  CHECK(result.exit_code == 4);
  CHECK_THAT(result.err, StartsWith("troupe: step ") && Contains(", expected a finite number") &&
                             Contains("; the checkpoint after step ") && EndsWith("File too large\n"));
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
}

TEST_CASE("where a run over workers is given up and its last state cannot be saved, one line says both") {
  const scratch_directory scratch;
  for (const std::string workers : {"1", "2"}) {
    const program_result result = run_program(words_of_run(
        scratch, flags_of_model + arguments{"--steps", "8", "--stages", "2", "--spawn", workers, "--max-restarts", "0",
                                            "--checkpoint", scratch.path("run" + workers), "--chaos",
                                            "disk:write=1+kill:rank=1,step=6,action=1"}));
    INFO(result.err);
    CHECK(result.exit_code == 4);
    CHECK_THAT(result.err, Contains("troupe: rank 1 died 1 time within 60 s"));
    CHECK_THAT(result.err, Contains("killed by chaos; the checkpoint after step "));
    CHECK_THAT(result.err, Contains(" failed: rank "));
  }
}

TEST_CASE("a resumed run whose only checkpoint fails leaves the one that it came from, which can be resumed again") {
  const scratch_directory scratch;
  const json whole = report_of_run(scratch, {});
  const arguments directory{"--checkpoint", scratch.path("run")};
  report_of_run(scratch, directory + arguments{"--stop-after", "2"});
  const program_result result = run_with_small_files(scratch, {"--resume", scratch.path("run")});
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err, StartsWith("troupe: checkpoint after step 4 failed: ") &&
                             EndsWith("File too large; the one after step 2 stays\n"));
  CHECK(names_in(scratch / "run") == std::set<std::string>{decision_log_name, "step-00000002"});
  CHECK(report_of_run(scratch, {"--resume", scratch.path("run")})["weights_sha256"] == whole["weights_sha256"]);
}

// What /proc/self/cwd leads to is another directory in each process.
TEST_CASE("a worker that does not see the checkpoint directory refuses the run before its first step") {
  const scratch_directory scratch;
  const scratch_directory elsewhere;
  const auto program_in = [](const scratch_directory& directory, const arguments& words) {
    return arguments{"-c", "cd \"$0\" && exec \"$@\"", directory.path().string(), TROUPE_PROGRAM} + words;
  };
  running_program worker(program_in(elsewhere, {"worker", "--listen", "127.0.0.1:0"}), "/bin/sh");
  const std::string address = worker.first_line().substr(std::string("listening on ").size());
  const arguments flags{"--stages", "1", "--workers", address, "--checkpoint", "/proc/self/cwd/run"};
  const auto train = [&](const arguments& more) {
    return running_program(program_in(scratch, words_of_run(scratch, flags + more)), "/bin/sh").finish();
  };
  const program_result refused = train({});
  CHECK(refused.exit_code == 3);
  CHECK_THAT(refused.err, StartsWith("troupe: worker " + address +
                                     " (rank 0) refuses: /proc/self/cwd/run: found no "
                                     "such directory, expected the one that the run's "
                                     "coordinator has made"));
  CHECK_FALSE(fs::exists(scratch / "report.json"));
  fs::remove(scratch / "run");
  CHECK(train({"--checkpoint-via", "coordinator"}).exit_code == 0);
  CHECK(newest_in(scratch / "run") == 4);
}
