#include "model/error.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/json.hpp"
#include "tests/support/random_schedule.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace troupe;

namespace {

std::string csv_refusal(const std::string& text) {
  try {
    parse_csv(text, "x.csv");
  } catch (const spec_error& refused) {
    return refused.what();
  }
  return "";
}

std::string refusal_to_read(const std::filesystem::path& path) {
  try {
    read_csv(path.string());
  } catch (const spec_error& refused) {
    return refused.what();
  }
  return "";
}

} // namespace

TEST_CASE("a schedule as CSV has a row for each rank") {
  CHECK(to_csv(generate_schedule({"1f1b", 2, 2, 1})) == "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n");
}

TEST_CASE("a schedule survives its CSV form") {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    const schedule plan = test::random_schedule(random);
    CHECK(parse_csv(to_csv(plan), plan.name) == plan);
  }
}

TEST_CASE("empty cells, blanks, CRLF and a missing last newline are read over") {
  const schedule plan = parse_csv("0F0,,0F1,0B0,0B1,,\r\n , 1F0 ,1B0,\t1F1,1B1\n\n\n", "1f1b");
  CHECK(plan == generate_schedule({"1f1b", 2, 2, 1}));
  CHECK(parse_csv("0F0,0B0", "naive") == generate_schedule({"naive", 1, 1, 1}));
}

TEST_CASE("a cell that is no action is named by row and column") {
  CHECK(csv_refusal("0F0,0B0\n1F0,,1X0") ==
        "x.csv: row 2, column 3: found '1X0', expected an action such as 0F3: stage, one of F I W B, microbatch; or a "
        "pair such as (0F3;7B1)OVERLAP_F_B");
  for (const std::string cell :
       {"(0F3;7B1)", "(0F3;7B1)OVERLAP", "(0F3)OVERLAP_F_B", "(0F3;7B1;1F0)OVERLAP_F_B", "(;)OVERLAP_F_B",
        "()OVERLAP_F_B", ")OVERLAP_F_B", "(OVERLAP_F_B", "SEND_F", "SEND_F1", "0SEND", "0SEND_F1x", "0SEND_F 1", "12"})
    CHECK(csv_refusal("0F0,0B0," + cell).find("row 1, column 3: found '" + cell + "'") != std::string::npos);
}

TEST_CASE("an overlapped pair is one cell and two actions") {
  const std::string text =
      "0F0,3F0,(0F1;3B0)OVERLAP_F_B,(3F1;0B0)OVERLAP_F_B,3B1,0B1\n1F0,2F0,2B0,1B0,1F1,2F1,2B1,1B1\n";
  const schedule plan = parse_csv(text, "pairs");
  CHECK(plan.overlapped == std::vector<std::vector<std::uint32_t>>{{2, 4}, {}});
  REQUIRE(plan.actions[0].size() == 8);
  CHECK(to_string(plan.actions[0][4]) == "3F1");
  CHECK(to_string(plan.actions[0][5]) == "0B0");
  CHECK(to_csv(plan) == text);
  CHECK(parse_csv("0F0,0B0", "none").overlapped.empty());
}

TEST_CASE("PyTorch's bookkeeping actions are read over and counted") {
  csv_notes notes;
  const schedule plan = parse_csv("0UNSHARD,0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1,0REDUCE_GRAD,0RESHARD\n"
                                  "1RECV_F0,1F0,1B0,1SEND_B0,1WAIT_SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1,1WAIT_SEND_F0\n",
                                  "1f1b", &notes);
  CHECK(plan == generate_schedule({"1f1b", 2, 2, 1}));
  CHECK(notes.bookkeeping == 13);
  CHECK(csv_refusal("0SEND_F0,0UNSHARD") ==
        "x.csv: row 1: found no action, expected at least one, as each row is a rank");
}

TEST_CASE("what a message shows of a file is short and printable") {
  const std::string refused = csv_refusal("\x1b[31m" + std::string(1000, 'x'));
  CHECK(refused.find("found '?[31mxxxxxxxxxxxxxxxxxxxxxxxxxxx...'") != std::string::npos);
}

TEST_CASE("a row without actions is refused") {
  CHECK(csv_refusal("0F0,0B0\n,,\n1F0,1B0") ==
        "x.csv: row 2: found no action, expected at least one, as each row is a rank");
  for (const char* text : {"", "\n\n", " \r\n"})
    CHECK(csv_refusal(text) == "x.csv: found no actions, expected a row of them for each rank");
}

TEST_CASE("a stage without actions is refused") {
  CHECK(csv_refusal("0F0,0B0\n2F0,2B0") ==
        "x.csv: found no action of stage 1, expected some, because there is a stage 2");
}

TEST_CASE("numbers beyond the count of actions are refused before they size a table") {
  CHECK(csv_refusal("0F0,0B0\n1F0,1B4294967295") ==
        "x.csv: row 2: found 1B4294967295, expected stage and microbatch below 4, the number of actions");
  CHECK(csv_refusal("4294967295F0,0B0") ==
        "x.csv: row 1: found 4294967295F0, expected stage and microbatch below 2, the number of actions");
}

TEST_CASE("a file is read as a schedule of its name") {
  const auto path = std::filesystem::temp_directory_path() / ("troupe_csv_test_" + std::to_string(getpid()) + ".csv");
  std::ofstream(path) << "0F0,0B0\n";
  CHECK(read_csv(path.string()) == parse_csv("0F0,0B0\n", path.string()));
  std::filesystem::remove(path);
  CHECK(refusal_to_read(path) == path.string() + ": found no such file, expected a schedule in CSV");
  CHECK(refusal_to_read(std::filesystem::temp_directory_path()).find("found something else than a regular file") !=
        std::string::npos);
}

TEST_CASE("the JSON form has the lists, their times and the facts") {
  const schedule plan = generate_schedule({"1f1b", 2, 2, 1});
  simulation_costs costs{{{.optimizer = 0.5}}};
  costs.sizes = {{.weights = 100.0, .stash = 3.0}};
  const auto document =
      nlohmann::json::parse(to_json(timed_schedule{plan, check_schedule(plan), simulate(plan, costs)}));
  CHECK(document["name"] == "1f1b");
  CHECK(document["microbatches"] == 2);
  CHECK(document["rank_of_stage"] == std::vector<int>{0, 1});
  CHECK(document["canonical"] == true);
  CHECK(document["peak_by_stage"] == std::vector<int>{2, 1});
  CHECK(document["makespan"] == 9.0);
  CHECK(document["bubble_fraction"].get<double>() == Approx(1.0 / 3.0));
  CHECK(document["step_time"] == 9.5);
  REQUIRE(document["ranks"].size() == 2);
  CHECK(document["ranks"][0]["peak_size"] == 106.0);
  const auto& last = document["ranks"][1];
  CHECK(last["rank"] == 1);
  CHECK(last["busy"] == 6.0);
  CHECK(last["span"] == 6.0);
  CHECK(last["peak_stash"] == 1);
  CHECK(last["peak_activations"] == 1);
  REQUIRE(last["actions"].size() == 4);
  CHECK(last["actions"][1] == nlohmann::json{{"action", "1B0"}, {"start", 2.0}, {"end", 4.0}});
}

TEST_CASE("a schedule named by bytes that are no text still has a JSON form") {
  schedule plan = generate_schedule({"naive", 1, 1, 1});
  plan.name = "\xff.csv";
  CHECK(nlohmann::json::accept(to_json(timed_schedule{plan, check_schedule(plan), simulate(plan, {{{}}})})));
}
