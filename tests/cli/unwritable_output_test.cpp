// Runs whose outputs the disk, or a reader, refuses: the result is told all the same, and each refusal has its line.
#include "tests/support/small_distributed_run.hpp"

#include <catch2/catch.hpp>

#include <sys/stat.h>

using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;
using arguments = std::vector<std::string>;

constexpr const char* no_space = ": cannot write: No space left on device";

/// The run in a shell that does `before` first.
program_result run_in_shell(const std::string& before, const arguments& words) {
  return running_program(arguments{"-c", before + "; exec \"$@\"", "sh", TROUPE_PROGRAM} + words, "/bin/sh").finish();
}

/// As the summary has it.
std::string hash_line(const json& report) {
  return "weights_sha256  " + report["weights_sha256"].get<std::string>() + "\n";
}

} // namespace

TEST_CASE("a trace that the disk refuses is given up with a line, and the run goes on to its result and exit code 3") {
  const arguments where = GENERATE(arguments{"--stages", "2"}, arguments{"--stages", "2", "--spawn", "2"});
  const scratch_directory scratch;
  const arguments flags = where + arguments{"--steps", "200"};
  const json whole = report_of_run(scratch, flags);
  CHECK(whole["failed_outputs"] == json::array());
  const program_result result = run_program(words_of_run(scratch, flags + arguments{"--trace", "/dev/full"}));
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.out, Contains(hash_line(whole)));
  const std::string refusal = std::string("/dev/full") + no_space;
  CHECK(result.err == "warning: " + refusal + "; the trace ends here, the run goes on\n" + "troupe: " + refusal + "\n");
  const json report = last_report(scratch);
  CHECK(report["weights_sha256"] == whole["weights_sha256"]);
  CHECK(report["losses"] == whole["losses"]);
  CHECK(report["failed_outputs"] == json::array({refusal}));
}

TEST_CASE("a report, a timeline or a summary that the disk refuses takes nothing else along, and the exit code is 3") {
  const scratch_directory scratch;
  const arguments flags{"--stages", "2"};
  const json whole = report_of_run(scratch, flags);
  const std::string line = std::string("troupe: /dev/full") + no_space + "\n";

  const program_result unreported = run_program(words_of_run(scratch, flags + arguments{"--report", "/dev/full"}));
  CHECK(unreported.exit_code == 3);
  CHECK(unreported.err == line);
  CHECK_THAT(unreported.out, Contains(hash_line(whole)));

  const program_result undrawn = run_program(words_of_run(scratch, flags + arguments{"--timeline", "/dev/full"}));
  CHECK(undrawn.exit_code == 3);
  CHECK(undrawn.err == line);
  CHECK_THAT(undrawn.out, Contains(hash_line(whole)));
  CHECK(last_report(scratch)["failed_outputs"].size() == 1);

  fs::remove(scratch / "report.json");
  const program_result untold = run_in_shell("exec > /dev/full", words_of_run(scratch, flags));
  CHECK(untold.exit_code == 3);
  CHECK_THAT(untold.err, Contains(hash_line(whole)) &&
                             EndsWith("\ntroupe: standard output: cannot write: No space left on device\n"));
  CHECK(last_report(scratch)["weights_sha256"] == whole["weights_sha256"]);
}

TEST_CASE("each of several outputs that cannot be written has a line of its own, and the exit code is 3") {
  const scratch_directory scratch;
  const auto file = [&](const char* name) { return scratch.path(name); };
  const arguments flags{"--stages", "2", "--trace", file("trace.json"), "--timeline", file("timeline.svg")};
  const program_result result = run_in_shell("ulimit -f 0; exec > " + file("summary"), words_of_run(scratch, flags));
  CHECK(result.exit_code == 3);
  const auto line = [](const std::string& name) { return "troupe: " + name + ": cannot write: File too large\n"; };
  CHECK_THAT(result.err, EndsWith("\n" + line(file("trace.json")) + line(file("timeline.svg")) +
                                  line("standard output") + line(file("report.json"))));
}

TEST_CASE("a summary whose reader has gone is an error with a line, and the report is written all the same") {
  const scratch_directory scratch;
  REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
  const std::string pipe = scratch.path("pipe");
  const std::string no_reader = "exec 3<> " + pipe + "; exec > " + pipe + "; exec 3>&-";
  const program_result gone = run_in_shell(no_reader, words_of_run(scratch, {}));
  CHECK(gone.exit_code == 3);
  CHECK_THAT(gone.err, EndsWith("\ntroupe: standard output: cannot write: Broken pipe\n"));
  CHECK_FALSE(last_report(scratch)["weights_sha256"].get<std::string>().empty());
}

TEST_CASE("what is said never ends up in a file that has come by the number of a closed stream") {
  const scratch_directory scratch;
  const program_result closed = run_in_shell("exec >&-", words_of_run(scratch, {"--trace", scratch.path("t.json")}));
  CHECK(closed.exit_code == 3);
  CHECK_THAT(closed.err, EndsWith("\ntroupe: standard output: cannot write: Bad file descriptor\n"));
  CHECK(json::parse(read_bytes(scratch / "t.json")).is_array());
}

TEST_CASE("a run that cannot say how far it is goes on") {
  const std::string nobody_listens = GENERATE("exec 2> /dev/full", "exec 2>&-");
  const scratch_directory scratch;
  const program_result result = run_in_shell(nobody_listens, words_of_shown_run(scratch, {"--stages", "2"}));
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.out, Contains(hash_line(last_report(scratch))));
}

TEST_CASE("a command whose output cannot be written says so with one line and exit code 3") {
  const arguments words =
      GENERATE(arguments{"schedule", "1f1b", "--stages", "2", "--microbatches", "2"}, arguments{"schedule", "--list"},
               arguments{"train", "--print-spec"}, arguments{"train", "--help"}, arguments{"--version"});
  const program_result result = run_in_shell("exec > /dev/full", words);
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err, StartsWith("troupe: standard output: cannot write: ") && EndsWith("\n"));
  const program_result drawn =
      run_program({"schedule", "1f1b", "--stages", "2", "--microbatches", "2", "-o", "/dev/full"});
  CHECK(drawn.exit_code == 3);
  CHECK(drawn.err == std::string("troupe: /dev/full") + no_space + "\n");
}

TEST_CASE("a run that fails leaves a trace that is whole") {
  const arguments where = GENERATE(arguments{"--stages", "2"}, arguments{"--stages", "2", "--spawn", "2"});
  const scratch_directory scratch;
  const arguments failing{"--chaos", "kill:rank=0,step=3", "--max-restarts", "0", "--trace", scratch.path("t.json")};
  CHECK(run_program(words_of_run(scratch, where + failing)).exit_code == 4);
  const json events = json::parse(read_bytes(scratch / "t.json"));
  CHECK(std::ranges::count_if(events, [](const json& one) { return one["name"] == "0F0"; }) >= 2);
}

TEST_CASE("a disk that is full at the very start ends a run with a checkpoint directory before its first step") {
  const scratch_directory scratch;
  const arguments flags{"--stages", "2", "--checkpoint", scratch.path("run")};
  const program_result result = run_in_shell("ulimit -f 0", words_of_run(scratch, flags));
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err,
             StartsWith("troupe: " + scratch.path("run") + "/") && EndsWith(": cannot write: File too large\n"));
  CHECK(result.out.empty());
}
