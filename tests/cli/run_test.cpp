// Whole runs of the real program: what they say, what they leave, and how they stop.
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/trained_checkpoint.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using nlohmann::json;

namespace {

using arguments = std::vector<std::string>;

arguments small_run_in(const scratch_directory& scratch) {
  return small_run() + arguments{"--data", text_file(scratch)};
}

json report_of(const scratch_directory& scratch, const arguments& flags) {
  const std::string path = (scratch / "report.json").string();
  const program_result result = run_program(small_run_in(scratch) + arguments{"--report", path, "--quiet"} + flags);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.err.empty());
  return json::parse(read_bytes(path));
}

} // namespace

TEST_CASE("a pipeline of any shape and the reference report the same hashes and losses") {
  const scratch_directory scratch;
  const json reference = report_of(scratch, {"--schedule", "reference"});
  CHECK(reference["losses"].size() == 4);
  for (const arguments& flags : std::vector<arguments>{{"--stages", "1"}, {"--stages", "3"}, {"--schedule", "gpipe"}}) {
    const json pipeline = report_of(scratch, flags);
    CHECK(pipeline["weights_sha256"] == reference["weights_sha256"]);
    CHECK(pipeline["optimizer_sha256"] == reference["optimizer_sha256"]);
    CHECK(pipeline["losses"] == reference["losses"]);
  }
  CHECK(report_of(scratch, {"--seed", "2"})["weights_sha256"] != reference["weights_sha256"]);
}

TEST_CASE("one thread that runs the lists gives the same hashes as actors, also without a flush") {
  const scratch_directory scratch;
  for (const std::string schedule : {"zb-h1", "pipedream", "pipedream-2bw"}) {
    const arguments flags = {"--schedule", schedule, "--stages", "2", "--clip", "0"};
    const json actors = report_of(scratch, flags);
    const json one_thread = report_of(scratch, flags + arguments{"--one-thread"});
    INFO(schedule);
    CHECK(one_thread["weights_sha256"] == actors["weights_sha256"]);
    CHECK(one_thread["losses"] == actors["losses"]);
    CHECK(one_thread["ranks"].empty());
    CHECK(actors["ranks"].size() == 2);
  }
}

TEST_CASE("a schedule file with bookkeeping actions runs, and a note counts what is read over") {
  const scratch_directory scratch;
  const std::string file = (scratch / "own.csv").string();
  write_bytes(file, "0F0,0SEND_F0,0F1,,0B0,0B1\n1RECV_F0,1F0,1B0,1F1,1B1\n");
  const std::string note = "note: " + file + ": 2 bookkeeping actions such as SEND_F are read over\n";
  const arguments sizes = {"--stages", "2", "--microbatches", "2"};
  const program_result run = run_program(small_run_in(scratch) + sizes + arguments{"--schedule", file, "--quiet"});
  CHECK(run.exit_code == 0);
  CHECK(run.err == note);
  CHECK(run_program({"inspect", file}).err == note);
  CHECK(run_program(arguments{"schedule", file, "--check"}).err == note);
  const program_result named = run_program(small_run_in(scratch) + sizes + arguments{"--quiet"});
  const auto hash_in = [](const std::string& out) { return out.substr(out.find("weights_sha256"), 80); };
  CHECK(hash_in(run.out) == hash_in(named.out));
}

TEST_CASE("a run that stops and is resumed ends in the same weights") {
  const scratch_directory scratch;
  const json whole = report_of(scratch, {});
  const std::string directory = (scratch / "run").string();
  report_of(scratch, {"--checkpoint", directory, "--stop-after", "2"});
  const json rest = report_of(scratch, {"--resume", directory, "--stages", "2"});
  CHECK(rest["weights_sha256"] == whole["weights_sha256"]);
  CHECK(rest["losses"] == json({whole["losses"][2], whole["losses"][3]}));
}

TEST_CASE("a run that has its end already says that nothing is left to do, and what it has come to") {
  const scratch_directory scratch;
  const std::string directory = (scratch / "run").string();
  const json whole = report_of(scratch, {"--checkpoint", directory});
  const std::string newest = "nothing is left to do: " + directory + "/step-00000004 is after step 4, and training.";
  const auto check = [&](const arguments& flags, const std::string& why) {
    const program_result again = run_program(small_run_in(scratch) + arguments{"--resume", directory} + flags);
    CHECK(again.exit_code == 0);
    CHECK(again.err == newest + why + "\n");
    CHECK_THAT(again.out, Contains("steps           4 to 4\n") &&
                              Contains("weights_sha256  " + whole["weights_sha256"].get<std::string>()));
  };
  check({}, "steps is 4");
  check({"--stop-after", "3"}, "stop_after is 3");
  check({"--schedule", "reference"}, "steps is 4");
}

TEST_CASE("a learning rate that is far too high ends the run with one line, exit code 4 and the last whole step") {
  const scratch_directory scratch;
  const arguments wild = {"--optimizer", "sgd", "--lr", "1e6", "--clip", "0", "--stages", "3"};
  const std::string directory = (scratch / "run").string();
  const program_result result =
      run_program(small_run_in(scratch) + wild + arguments{"--quiet", "--checkpoint", directory});
  CHECK(result.exit_code == 4);
  CHECK_THAT(result.err, StartsWith("troupe: step 3, microbatch 0: found a loss of nan (first seen in layer ") &&
                             Contains("), expected a finite number (a lower learning rate may help)\n"));
  CHECK(result.out.empty());
  const json rest = report_of(scratch, {"--resume", directory, "--on-nan", "skip"});
  CHECK(rest["first_step"] == 2);
  CHECK(rest["losses"] == json::parse("[null, null]"));
}

TEST_CASE("steps that are skipped are told as they go, in the summary and in the report") {
  const scratch_directory scratch;
  const arguments wild = {"--optimizer", "sgd", "--lr", "1e6", "--clip", "0", "--on-nan", "skip"};
  const json reference = report_of(scratch, wild + arguments{"--schedule", "reference"});
  REQUIRE(reference["skipped_steps"].size() == 2);
  CHECK(reference["skipped_steps"][0]["step"] == 3);
  CHECK(reference["skipped_steps"][0]["microbatch"] == 0);
  CHECK(reference["skipped_steps"][0]["cause"] == "a loss of nan");
  for (const arguments& flags : std::vector<arguments>{{"--stages", "3"}, {"--stages", "2", "--spawn", "2"}}) {
    const json pipeline = report_of(scratch, wild + flags);
    CHECK(pipeline["weights_sha256"] == reference["weights_sha256"]);
    CHECK(pipeline["skipped_steps"] == reference["skipped_steps"]);
  }
  const program_result told = run_program(small_run_in(scratch) + wild);
  CHECK(told.exit_code == 0);
  CHECK_THAT(told.err, Contains("\nstep 3, microbatch 0: found a loss of nan (first seen in layer ") &&
                           Contains("), skipped\nstep 3/4  loss nan  ") && Contains("  skipped 2  left "));
  CHECK_THAT(told.out, Contains("\nskipped         2 of them, the last one step 4\n"));
}

TEST_CASE("a resumed run does not repeat the faults that the former one was told to make") {
  const scratch_directory scratch;
  const std::string directory = (scratch / "run").string();
  const arguments chaos = {"--chaos", "disk:write=1000000"};
  const json former = report_of(scratch, arguments{"--checkpoint", directory, "--stop-after", "2"} + chaos);
  CHECK(former["spec"]["faults"]["chaos"] == chaos[1]);
  CHECK(report_of(scratch, {"--resume", directory})["spec"]["faults"]["chaos"] == "");
}

TEST_CASE("a run that takes no snapshots goes on with one that kept them on disk") {
  const scratch_directory scratch;
  const std::string directory = (scratch / "run").string();
  const std::string snapshots = (scratch / "snapshots").string();
  report_of(scratch, {"--checkpoint", directory, "--stop-after", "2", "--snapshot-dir", snapshots});
  const auto kept_in = [&](const arguments& flags) -> std::string {
    const json spec = report_of(scratch, arguments{"--resume", directory, "--checkpoint", ""} + flags)["spec"];
    return spec["faults"]["snapshot_directory"];
  };
  CHECK(kept_in({}) == snapshots);
  for (const arguments& flags :
       std::vector<arguments>{{"--schedule", "reference"}, {"--one-thread"}, {"--snapshot-every", "0"}})
    CHECK(kept_in(flags).empty());
  const program_result refused = run_program(
      small_run_in(scratch) + arguments{"--resume", directory, "--one-thread", "--snapshot-dir", snapshots});
  CHECK(refused.exit_code == 2);
}

TEST_CASE("what chaos draws is told as a spec that names every place") {
  const scratch_directory scratch;
  const arguments chaos = {"--chaos", "disk:write=1000000", "--checkpoint", (scratch / "run").string()};
  const program_result told = run_program(small_run_in(scratch) + chaos);
  CHECK_THAT(told.err, StartsWith("chaos: disk:write=1000000,error=ENOSPC\n"));
}

TEST_CASE("a run with two copies of the model goes on with one, and keeps its gradient groups unless told otherwise") {
  const scratch_directory scratch;
  const std::string directory = (scratch / "run").string();
  const json reference = report_of(scratch, {"--schedule", "reference", "--gradient-groups", "2"});
  report_of(scratch, {"--schedule", "chimera", "--stages", "2", "--checkpoint", directory, "--stop-after", "2"});
  const arguments resume = {"--resume", directory, "--schedule", "1f1b", "--checkpoint", ""};
  for (const arguments& flags : std::vector<arguments>{{}, {"--gradient-groups", "0"}, {"--gradient-groups", "2"}}) {
    const json rest = report_of(scratch, resume + flags);
    CHECK(rest["spec"]["training"]["gradient_groups"] == 2);
    CHECK(rest["weights_sha256"] == reference["weights_sha256"]);
  }
  const program_result refused = run_program(small_run_in(scratch) + resume + arguments{"--gradient-groups", "1"});
  CHECK(refused.exit_code == 3);
  CHECK_THAT(refused.err, Contains("training.gradient_groups: found 1 in this run, expected 2 as in the checkpoint"));
  const program_result one_group = run_program(
      small_run_in(scratch) + arguments{"--schedule", "chimera", "--stages", "2", "--gradient-groups", "1"});
  CHECK(one_group.exit_code == 2);
}

TEST_CASE("a run that is resumed with another schedule leaves the layout of the former one behind") {
  const scratch_directory scratch;
  const arguments model = {"--layers", "6"};
  const json whole = report_of(scratch, model);
  const std::string directory = (scratch / "run").string();
  report_of(scratch, model + arguments{"--checkpoint", directory, "--stop-after", "2", "--stages", "2", "--schedule",
                                       "hanayo", "--waves", "2", "--partition", "1,1,1,1,1,1,1,1"});
  CHECK(report_of(scratch, model + arguments{"--resume", directory, "--schedule", "1f1b"})["weights_sha256"] ==
        whole["weights_sha256"]);
}

TEST_CASE("the summary shows loss and hash on standard output") {
  const scratch_directory scratch;
  const json report = report_of(scratch, {});
  const program_result result = run_program(small_run_in(scratch) + arguments{"--quiet"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.out, Contains("weights_sha256  " + report["weights_sha256"].get<std::string>() + "\n"));
  CHECK_THAT(result.out, Contains("steps           0 to 4\n"));
}

TEST_CASE("piped progress is plain lines, first and last step among them, and few however long the run") {
  const scratch_directory scratch;
  const program_result result = run_program(small_run_in(scratch) + arguments{"--steps", "500"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, StartsWith("step 1/500  loss ") && Contains("\nstep 500/500  loss "));
  const auto lines = std::count(result.err.begin(), result.err.end(), '\n');
  CHECK(lines >= 15);
  CHECK(lines <= 22);
  CHECK(result.err.find_first_of("\r\x1b") == std::string::npos);
}

// The number of steps is so large that the test can end only through the signal.
TEST_CASE("Ctrl-C finishes the step, writes a checkpoint and exits with 130") {
  const arguments schedule = GENERATE(arguments{"--stages", "2"}, arguments{"--schedule", "reference"});
  const int signal = GENERATE(SIGINT, SIGTERM);
  const scratch_directory scratch;
  const std::string directory = (scratch / "run").string();
  running_program program(small_run_in(scratch) + schedule +
                          arguments{"--steps", "1000000000", "--checkpoint", directory});
  REQUIRE(program.wait_for_error_output("step 1/"));
  program.send(signal);
  const program_result result = program.finish();
  INFO(result.err);
  CHECK(result.exit_code == 130);
  CHECK_THAT(result.out, Contains(", interrupted\n") && Contains("troupe train --resume " + directory));
  const program_result seen = run_program({"inspect", directory});
  CHECK(seen.exit_code == 0);
  CHECK_THAT(seen.out, Contains("sizes and SHA-256 are as in the manifest"));
}

TEST_CASE("a run whose data are cut short under it ends with one line that says so") {
  const scratch_directory scratch;
  running_program run(small_run_in(scratch) + arguments{"--steps", "1000000"});
  REQUIRE(run.wait_for_error_output("step 1/"));
  std::filesystem::resize_file(scratch / "text", 0);
  const program_result result = run.finish();
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err, Contains("the data cannot be read any more"));
}

TEST_CASE("Ctrl-C without a checkpoint directory leaves nothing and exits with 130") {
  const scratch_directory scratch;
  running_program program(small_run_in(scratch) + arguments{"--steps", "1000000000"});
  REQUIRE(program.wait_for_error_output("step 1/"));
  program.send(SIGINT);
  CHECK(program.finish().exit_code == 130);
  CHECK(names_in(scratch.path()) == std::set<std::string>{"text"});
}

TEST_CASE("generated text starts with the prompt and depends on nothing but checkpoint, seed and settings") {
  const scratch_directory scratch;
  copy_trained_checkpoint(scratch / "run");
  const auto text = [&](const arguments& flags) {
    const program_result result =
        run_program(arguments{"generate", "--checkpoint", (scratch / "run").string(), "--prompt", "All "} + flags);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return result.out;
  };
  const std::string first = text({"--tokens", "30"});
  CHECK_THAT(first, StartsWith("All "));
  CHECK(first.size() == 4 + 30 + 1); // the prompt, a byte for each token, and the end of the line
  CHECK(text({"--tokens", "30"}) == first);
  CHECK(text({"--tokens", "30", "--seed", "2"}) != first);
  CHECK(text({"--tokens", "0"}) == "All \n");
}

TEST_CASE("a model of token ids takes and writes ids") {
  const scratch_directory scratch;
  std::string ids;
  for (int i = 0; i < 200; ++i)
    ids += std::string(1, static_cast<char>(i % 5)) + '\x01'; // 256 to 260
  write_bytes(scratch / "ids", ids);
  const std::string directory = (scratch / "run").string();
  const program_result trained =
      run_program(small_run() + arguments{"--data", (scratch / "ids").string(), "--tokens", "uint16", "--vocabulary",
                                          "300", "--checkpoint", directory});
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  const program_result result =
      run_program({"generate", "--checkpoint", directory, "--prompt", " 256  257", "--tokens", "3"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.out, StartsWith("256 257 "));
  CHECK(std::count(result.out.begin(), result.out.end(), ' ') == 5);
  for (const char* bad : {"300", "-1", "x", "1,2"}) {
    const program_result refused = run_program({"generate", "--checkpoint", directory, "--prompt", bad});
    CHECK(refused.exit_code == 2);
    CHECK_THAT(refused.err, Contains("--prompt: found '" + std::string(bad) + "', expected token ids from 0 to 299"));
  }
}

TEST_CASE("inspect shows a checkpoint, its tensors and a schedule") {
  const scratch_directory scratch;
  copy_trained_checkpoint(scratch / "run");
  const std::string directory = (scratch / "run").string();
  CHECK_THAT(run_program({"inspect", directory}).out,
             Contains("step        4 of 4\n") && Contains("width: 8") && Contains(".optimizer.safetensors\n"));
  CHECK_THAT(run_program({"inspect", directory + "/step-00000002"}).out, Contains("step        2 of 4\n"));
  CHECK_THAT(run_program({"inspect", directory + "/step-00000002/manifest.textproto"}).out,
             Contains("step        2 of 4\n"));
  const program_result tensors = run_program({"inspect", directory + "/step-00000004/layers-0000-0002.safetensors"});
  CHECK(tensors.exit_code == 0);
  CHECK_THAT(tensors.out, Contains("wte.weight  [256, 8]\n"));
  write_bytes(scratch / "own.csv",
              run_program({"schedule", "gpipe", "--stages", "2", "--microbatches", "3", "--format", "csv"}).out);
  write_bytes(scratch / "two.csv",
              run_program({"schedule", "chimera", "--stages", "2", "--microbatches", "4", "--format", "csv"}).out);
  CHECK_THAT(run_program({"inspect", (scratch / "two.csv").string()}).out,
             Contains("on ranks 0 1\nsecond copy   on ranks 1 0\n"));
  // gpipe with p ranks, m microbatches and equal times idles (p - 1) / (m + p - 1) of the time.
  CHECK_THAT(run_program({"inspect", (scratch / "own.csv").string()}).out,
             Contains("microbatches  3\n") && Contains("bubble        25.0 %") && Contains("canonical     yes"));
}

TEST_CASE("an emulated run's report and summary say so, and show no weights and no loss") {
  const scratch_directory scratch;
  const arguments flags = {"--stages", "3", "--emulate", "f=200us,i=200us,w=200us", "--dispatch", "reactive"};
  const json report = report_of(scratch, flags);
  CHECK(report["emulated"] == true);
  for (const char* none : {"weights_sha256", "optimizer_sha256", "losses", "gradient_norms"})
    CHECK(report[none].is_null());
  CHECK(report["model_flops_per_second"] == 0.0);
  CHECK(report["spec"]["pipeline"]["emulate"] == flags[3]);
  CHECK(report["spec"]["pipeline"]["dispatch"] == "reactive");
  CHECK(report["step_seconds"].size() == 4);
  CHECK(report["runtime_seconds_per_action"].is_number());
  const program_result result = run_program(small_run_in(scratch) + flags);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.out, Contains("emulated        f=200us,i=200us,w=200us\n"));
  CHECK(result.out.find("loss") == std::string::npos);
  CHECK(result.out.find("sha256") == std::string::npos);
  CHECK_THAT(result.err, StartsWith("step 1/4  emulated  "));
  CHECK(result.err.find("loss") == std::string::npos);
}
