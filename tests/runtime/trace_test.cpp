#include "model/error.hpp"
#include "runtime/trace.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/scratch_directory.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>

using namespace troupe;
using namespace troupe::test;
using nlohmann::json;

TEST_CASE("a trace is valid JSON with one named track for each rank and one slice for each action") {
  const scratch_directory scratch;
  trace_writer trace(scratch / "t.json", 3);
  trace.add(
      {.rank = 2,
       .at = {.step = 7, .mode = pass_mode::train},
       .slices = {
           {.what = {.stage = 5, .op = operation::backward_weight, .microbatch = 4}, .start = 1.5, .end = 1.75}}});
  trace.add(
      {.rank = 0,
       .at = {.step = 8, .mode = pass_mode::evaluate},
       .slices = {{.what = {.stage = 0, .op = operation::forward, .microbatch = 1}, .start = 2.0, .end = 2.0000005}}});
  trace.close();

  const json events = json::parse(read_bytes(scratch / "t.json"));
  std::map<int, std::string> tracks;
  std::vector<json> slices;
  for (const json& event : events) {
    CHECK(event.at("pid") == 1);
    if (event.at("name") == "thread_name")
      CHECK(tracks.emplace(event.at("tid"), event.at("args").at("name")).second);
    if (event.at("ph") == "X")
      slices.push_back(event);
  }
  CHECK(tracks == std::map<int, std::string>{{0, "rank 0"}, {1, "rank 1"}, {2, "rank 2"}});
  REQUIRE(slices.size() == 2);
  CHECK(slices[0] == json::parse(R"({"ph":"X","pid":1,"tid":2,"ts":1500000.0,"dur":250000.0,"name":"5W4","cat":"W",
                                     "args":{"step":7,"stage":5,"microbatch":4,"mode":"train"}})"));
  CHECK(slices[1] == json::parse(R"({"ph":"X","pid":1,"tid":0,"ts":2000000.0,"dur":0.5,"name":"0F1","cat":"F",
                                     "args":{"step":8,"stage":0,"microbatch":1,"mode":"evaluate"}})"));
}

TEST_CASE("a recovery is on the track of its rank, from the notice of the death until the rank lives again") {
  const scratch_directory scratch;
  trace_writer trace(scratch / "t.json", 1);
  trace.add({.rank = 0, .step = 4, .cause = "a \"cause\"", .noticed = 1.5, .resumed = 1.75, .replayed_passes = 3});
  trace.add({.rank = 0, .step = 4, .cause = "again", .noticed = 2.0});
  trace.close();
  json events = json::parse(read_bytes(scratch / "t.json"));
  REQUIRE(events.size() == 4);
  CHECK(events[2] ==
        json::parse(R"({"ph":"X","pid":1,"tid":0,"ts":1500000.0,"dur":250000.0,"name":"recovery","cat":"recovery",
                        "args":{"step":4,"cause":"a \"cause\"","replayed_microbatches":3}})"));
  CHECK(events[3]["dur"] == 0.0);
}

TEST_CASE("what a former writer has left is gone on with, and the return in between is on each track") {
  const scratch_directory scratch;
  const step_id step{.step = 3, .mode = pass_mode::train};
  const action_slice slice{.what = {.stage = 0, .op = operation::forward, .microbatch = 1}, .start = 1.0, .end = 2.0};
  trace_writer(scratch / "t.json", 2).add({.rank = 0, .at = step, .slices = {slice}});
  trace_writer trace(scratch / "t.json", 2, trace_opening::go_on);
  trace.add(run_return{.from_step = 9, .to_step = 3, .cause = "gone", .noticed = 2.5, .seconds = 0.5});
  trace.add({.rank = 1, .at = step, .slices = {slice}});
  trace.close();
  const json events = json::parse(read_bytes(scratch / "t.json"));
  REQUIRE(events.size() == 8);
  CHECK(events[4]["name"] == "0F1");
  CHECK(events[6] == json::parse(R"({"ph":"X","pid":1,"tid":1,"ts":2500000.0,"dur":500000.0,"name":"return",
                                     "cat":"recovery","args":{"from_step":9,"to_step":3,"cause":"gone"}})"));
  CHECK(events[7]["name"] == "0F1");
}

TEST_CASE("a trace without ranks or slices is valid JSON too") {
  const scratch_directory scratch;
  trace_writer trace(scratch / "t.json", 0);
  trace.close();
  CHECK(json::parse(read_bytes(scratch / "t.json")) == json::array());
}

TEST_CASE("a trace that cannot be created names path and reason") {
  CHECK(error_text<spec_error>([] { trace_writer("/nowhere/t.json", 1); }) ==
        "/nowhere/t.json: cannot create: No such file or directory");
}

TEST_CASE("a full disk is reported when the trace is closed") {
  trace_writer trace("/dev/full", 1);
  CHECK(error_text<output_error>([&] { trace.close(); }) == "/dev/full: cannot write: No space left on device");
}

TEST_CASE("a trace that is full in the midst of a slice ends with the last whole one, and says why") {
  const scratch_directory scratch;
  constexpr std::size_t room = 50'000;
  const std::string said = with_small_files(room, [&] {
    return error_text<output_error>([&] {
      trace_writer trace(scratch / "t.json", 1);
      for (;;)
        trace.add({.rank = 0, .at = {}, .slices = {action_slice{.what = {}, .start = 1.0, .end = 2.0}}});
    });
  });
  CHECK(said == (scratch / "t.json").string() + ": cannot write: File too large");
  const std::string content = read_bytes(scratch / "t.json");
  CHECK(content.size() > room / 2);
  CHECK(json::parse(content).size() > 100);
}

TEST_CASE("a trace whose writer goes before it is closed is whole") {
  const scratch_directory scratch;
  trace_writer(scratch / "t.json", 2).add(rank_recovery{.rank = 1, .cause = "gone"});
  CHECK(json::parse(read_bytes(scratch / "t.json")).size() == 5);
}
