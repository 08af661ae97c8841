#include "runtime/schedule/csv.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>
#include <string>

using namespace troupe;

// tests/golden/schedules_torch.json holds what PyTorch's own generators made; tests/golden/make_schedule_golden.py says
// how.
TEST_CASE("generated lists equal PyTorch's, action by action") {
  std::ifstream file(TROUPE_SOURCE_DIR "/tests/golden/schedules_torch.json");
  const auto golden = nlohmann::json::parse(file);
  std::map<std::string, int> compared;
  for (const auto& one : golden["lists"]) {
    const schedule_request request{
        .name = one["schedule"], .ranks = one["ranks"], .microbatches = one["microbatches"], .chunks = one["chunks"]};
    CAPTURE(request.name, request.ranks, request.chunks, request.microbatches);
    std::string text;
    for (const auto& row : one["rows"])
      text += row.get<std::string>() + "\n";
    CHECK(to_csv(generate_schedule(request)) == to_csv(parse_csv(text, "PyTorch")));
    CHECK(generate_schedule(request) == parse_csv(text, request.name));
    ++compared[request.name];
  }
  CHECK(compared.size() == 5);
  for (const auto& [name, count] : compared) {
    CAPTURE(name);
    CHECK(count >= 7);
  }
}
