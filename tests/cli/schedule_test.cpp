// `troupe schedule` and `troupe train --timeline` from outside: pictures, comparisons, files.
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/svg_picture.hpp"
#include "tests/support/trained_checkpoint.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using nlohmann::json;

namespace {

using arguments = std::vector<std::string>;

std::string output_of(const arguments& flags) {
  const program_result result = run_program(arguments{"schedule"} + flags);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK((result.err.empty() || result.err.starts_with("auto: "))); // which tells what it was chosen over
  return result.out;
}

const arguments four_by_eight{"--stages", "4", "--microbatches", "8"};

} // namespace

TEST_CASE("each name that --list prints is a schedule") {
  std::istringstream names(output_of({"--list"}));
  std::string name;
  std::size_t count = 0;
  while (std::getline(names, name)) {
    const program_result found = run_program(arguments{"schedule", name, "--check"} + four_by_eight);
    CHECK(found.exit_code == 0);
    CHECK_THAT(found.out, StartsWith("schedule       " + name + "\n"));
    ++count;
  }
  CHECK(count >= 13);
}

// With F = I = W = 1 for a stage of four: 1f1b takes 3 (m + p - 1) = 33. zb-v's stages are half as long; each rank's
// own 2 m (1/2 + 1/2 + 1/2) = 24 are its busy time, as those of 1f1b are.
TEST_CASE("compared schedules do the same work, so finer stages take less time each") {
  const json all =
      json::parse(output_of(arguments{"1f1b", "--compare", "zb-h1,zb-v", "--format", "json"} + four_by_eight));
  REQUIRE(all["schedules"].size() == 3);
  CHECK(all["schedules"][0]["makespan"] == 33.0);
  CHECK(all["schedules"][2]["name"] == "zb-v");
  for (const json& one : all["schedules"])
    for (const json& rank : one["ranks"])
      CHECK(rank["busy"] == 24.0);
  const json alone = json::parse(output_of(arguments{"zb-v", "--format", "json"} + four_by_eight));
  CHECK(alone["ranks"][0]["busy"] == 48.0);
  CHECK(alone["makespan"] == 2.0 * all["schedules"][2]["makespan"].get<double>());
}

TEST_CASE("a file of more ranks is compared as the same model in thinner stages") {
  const scratch_directory scratch;
  const std::string eight = (scratch / "eight.csv").string();
  output_of({"gpipe", "--stages", "8", "--microbatches", "4", "--format", "csv", "--output", eight});
  const json all = json::parse(
      output_of({"gpipe", "--stages", "4", "--microbatches", "4", "--format", "json", "--compare", "gpipe"}));
  CHECK(all["schedules"][0] == all["schedules"][1]);
  write_bytes(scratch / "four.csv", output_of({"gpipe", "--stages", "4", "--microbatches", "4", "--format", "csv"}));
  const json files = json::parse(output_of({(scratch / "four.csv").string(), "--compare", eight, "--format", "json"}));
  CHECK(files["schedules"][0]["makespan"] == 21.0);       // 3 (m + p - 1)
  CHECK(files["schedules"][1]["makespan"] == 1.5 * 11.0); // half of 3 (m + p - 1)
}

TEST_CASE("compared grids have one scale, and a line on each schedule above its rows") {
  const std::string text =
      output_of({"1f1b", "--compare", "zb-v", "--stages", "2", "--microbatches", "4", "--cost", "f=2,i=2,w=2"});
  CHECK_THAT(text, StartsWith("1f1b: makespan 30, bubble 20.0 %, peak stash 2 microbatches\n"
                              "time    0                   5                   10"));
  CHECK_THAT(text, Contains("\n\nzb-v: makespan 25, bubble 4.0 %, peak stash 2 microbatches\n"
                            "time    0                   5                   10"));
  CHECK_THAT(text, Contains("rank 0  F0----- F1----- .   .   .   .   B0-------------"));
  CHECK_THAT(text, Contains("rank 1  .   1F0 2F0 1F1"));
}

// Without a flush a step takes the ranks' own work: m (F + B) = 12 where m = 4 and B = 2F.
TEST_CASE("an asynchronous schedule shows three joined steps, and what one more would take") {
  const arguments flags{"pipedream", "--stages", "4", "--microbatches", "4"};
  CHECK_THAT(output_of(flags + arguments{"--compare", "1f1b"}), Contains("; each further step 12, bubble 0.0 %\ntime"));
  const std::string svg = output_of(flags + arguments{"--format", "svg"});
  CHECK(boxes_of(svg).size() == 96); // 3 steps x 4 ranks x 4 microbatches x 2
  CHECK_THAT(svg, Contains(">pipedream, joined steps<") && Contains("; each further step 12, bubble 0.0 %<"));
}

TEST_CASE("a compared picture has a block for each schedule") {
  const std::string svg = output_of(arguments{"1f1b", "--compare", "zb-h1,zb-v", "--format", "svg"} + four_by_eight);
  CHECK(boxes_of(svg).size() == 352); // 4 ranks x 8 microbatches x (2 + 3 + 6)
  const std::vector<xml_element> headings = elements_named(xml_reader(svg).read(), "text", "h");
  REQUIRE(headings.size() == 3);
  CHECK(headings[1].text == "zb-h1");
}

TEST_CASE("options go to those of the compared schedules that have a use for them") {
  const std::string text = output_of(
      arguments{"1f1b", "--compare", "looped-bfs,hanayo", "--chunks", "3", "--waves", "2", "--check"} + four_by_eight);
  CHECK_THAT(text, Contains("stages         4\n") && Contains("\n\nschedule       looped-bfs") &&
                       Contains("stages         12\n") && Contains("stages         16\n"));
}

TEST_CASE("the flag --output writes the same text to a file, in place of what was there") {
  const scratch_directory scratch;
  const std::string path = (scratch / "picture.svg").string();
  write_bytes(path, "old");
  for (const char* format : {"grid", "csv", "json", "svg"}) {
    const arguments flags = arguments{"1f1b", "--format", format} + four_by_eight;
    CHECK(output_of(flags + arguments{"-o", path}).empty());
    CHECK(read_bytes(path) == output_of(flags));
  }
  CHECK(names_in(scratch.path()) == std::set<std::string>{"picture.svg"});
}

TEST_CASE("the timeline of a run has a box for each action of a step, measured above predicted") {
  const scratch_directory scratch;
  const std::string path = (scratch / "timeline.svg").string();
  const program_result result =
      run_program(small_run() + arguments{"--data", text_file(scratch), "--stages", "2", "--schedule", "zb-h1",
                                          "--quiet", "--timeline", path});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const std::string svg = read_bytes(path);
  CHECK(boxes_of(svg).size() == 24); // twice 2 ranks x 2 microbatches x 3
  const std::vector<xml_element> headings = elements_named(xml_reader(svg).read(), "text", "h");
  REQUIRE(headings.size() == 2);
  CHECK_THAT(headings[0].text, StartsWith("zb-h1, measured: step ") && Contains(" of 4 on "));
  CHECK_THAT(headings[1].text, StartsWith("zb-h1, predicted"));
}

TEST_CASE("a run that is resumed at its end has no step to draw, and leaves no timeline") {
  const scratch_directory scratch;
  copy_trained_checkpoint(scratch / "run");
  const program_result result =
      run_program({"train", "--resume", (scratch / "run").string(), "--data", text_file(scratch), "--quiet",
                   "--timeline", (scratch / "t.svg").string()});
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(names_in(scratch.path()) == std::set<std::string>{"text", "run"});
}
