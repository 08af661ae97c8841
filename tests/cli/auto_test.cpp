// Schedule auto from the command line.
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/trained_checkpoint.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using nlohmann::json;

namespace {

using arguments = std::vector<std::string>;

program_result schedule_auto(const arguments& flags) {
  return run_program(arguments{"schedule", "auto", "--stages", "4", "--microbatches", "4"} + flags);
}

std::string refusal_of(const arguments& flags) {
  const program_result result = run_program(arguments{"schedule"} + flags);
  CHECK(result.exit_code == 2);
  CHECK(result.out.empty());
  return result.err;
}

} // namespace

TEST_CASE("schedule auto is listed, and prints what any schedule does and a line on what it was chosen over") {
  CHECK_THAT(run_program({"schedule", "--help"}).out, Contains("\n  auto             searched "));
  CHECK_THAT(run_program({"schedule", "--list"}).out, Contains("\nauto\n"));
  const program_result grid = schedule_auto({"--chunks", "1"});
  CHECK(grid.exit_code == 0);
  CHECK_THAT(grid.out, StartsWith("time    0") && Contains("makespan            15 (ideal: 12"));
  CHECK(grid.err == "auto: 1 stage a rank, predicted bubble 20.0 %; best published: interleaved-zb, 1 stage a rank, "
                    "predicted bubble 20.0 %\n");
  const json document = json::parse(schedule_auto({"--format", "json"}).out);
  CHECK(document["name"] == "auto");
  CHECK(document["canonical"] == true);
}

TEST_CASE("auto goes by times of stages, of layers, and by a memory limit") {
  const auto makespan = [](const arguments& flags) {
    return json::parse(schedule_auto(arguments{"--format", "json"} + flags).out)["makespan"].get<double>();
  };
  const double plain = makespan({});
  CHECK(makespan({"--cost", "f=1/1/1/2,i=1,w=1"}) > plain);
  CHECK(makespan({"--memory-limit", "1"}) > plain);
  // Six layers cannot be cut into more than one stage a rank.
  const program_result layers = schedule_auto({"--cost", "f=1/1/1/1/1/1", "--check"});
  CHECK_THAT(layers.out, Contains("stages         4\n"));
}

TEST_CASE("auto is compared with others as the same model") {
  const program_result compared = schedule_auto({"--cost", "f=1/1/1/2", "--compare", "1f1b,zb-v", "--format", "json"});
  const json schedules = json::parse(compared.out)["schedules"];
  REQUIRE(schedules.size() == 3);
  for (const json& one : schedules) {
    double busy = 0.0;
    for (const json& rank : one["ranks"])
      busy += rank["busy"].get<double>();
    CHECK(busy == Approx(4 * 13.0));
    CHECK(one["makespan"].get<double>() >= schedules[0]["makespan"].get<double>());
  }
}

TEST_CASE("flags that auto has no use for, and its own with other schedules, are refused") {
  CHECK_THAT(refusal_of({"auto", "--stages", "2", "--microbatches", "2", "--waves", "2"}),
             Contains("--waves: found it with auto, expected none"));
  CHECK_THAT(refusal_of({"auto", "--microbatches", "2"}), Contains("schedule 'auto': found no --stages"));
  CHECK_THAT(refusal_of({"1f1b", "--stages", "2", "--microbatches", "2", "--memory-limit", "2"}),
             Contains("--memory-limit: found 2, expected none, as only auto"));
  CHECK_THAT(refusal_of({"auto", "--stages", "2", "--microbatches", "2", "--cost", "f=1/2/3,out=4"}),
             Contains("--cost: found sizes and a list of 3 numbers"));
}

TEST_CASE("training with auto ends in the reference's weights, and its saved schedule can be run again") {
  const scratch_directory scratch;
  const std::string list = (scratch / "found.csv").string();
  const auto report_of = [&](const arguments& flags) {
    const std::string path = (scratch / "report.json").string();
    const program_result result =
        run_program(small_run() + arguments{"--layers", "4", "--data", text_file(scratch), "--report", path} + flags);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return std::pair(json::parse(read_bytes(path)), result.err);
  };
  const auto [reference, nothing] = report_of({"--schedule", "reference"});
  const auto [found, said] = report_of({"--schedule", "auto", "--stages", "2", "--save-schedule", list});
  CHECK_THAT(said, StartsWith("auto: ") && Contains("best published: ") && Contains("; layers by stage "));
  CHECK(found["schedule"] == "auto");
  CHECK(found["weights_sha256"] == reference["weights_sha256"]);
  std::string partition;
  for (const json& stage : found["stages"])
    partition += (partition.empty() ? "" : ",") + std::to_string(stage["layers"].get<int>());
  CHECK_THAT(said, Contains("layers by stage " + partition + "\n"));
  const auto [again, quiet] =
      report_of({"--schedule", list, "--stages", "2", "--partition", partition, "--quiet", "--chunks", "0"});
  CHECK(again["weights_sha256"] == reference["weights_sha256"]);
  CHECK(again["stages"].size() == found["stages"].size());
  CHECK(quiet.empty());
  CHECK_THAT(run_program({"schedule", list, "--check"}).out, Contains("canonical      yes"));
}
