#include "runtime/recovery/snapshot_parts.hpp"

#include <catch2/catch.hpp>

#include <cstdint>
#include <utility>
#include <vector>

using namespace troupe;

namespace {

rank_snapshot snapshot_with(std::size_t layers, std::size_t second_copies) {
  rank_snapshot taken{.rank = 2, .source_incarnation = 3, .steps_done = 4};
  for (std::size_t index = 0; index < layers; ++index)
    taken.layers.push_back({.layer = static_cast<std::int64_t>(index), .parameters = {}});
  for (std::size_t index = 0; index < second_copies; ++index)
    taken.second_copy.push_back({.layer = static_cast<std::int64_t>(index + layers), .parameters = {}});
  return taken;
}

} // namespace

TEST_CASE("a snapshot in parts is whole when its last part has come, also one without layers") {
  for (const auto& [layers, second_copies] :
       {std::pair(3U, 0U), std::pair(2U, 2U), std::pair(0U, 1U), std::pair(0U, 0U)}) {
    const rank_snapshot sent = snapshot_with(layers, second_copies);
    const std::vector<snapshot_part> parts = parts_of(sent);
    REQUIRE_FALSE(parts.empty());
    rank_snapshot arrived = snapshot_with(1, 0); // what had come of an older one is dropped
    arrived.steps_done = 3;
    for (const snapshot_part& part : parts) {
      CHECK(part.last == (&part == &parts.back()));
      add_part(arrived, part);
    }
    CHECK(arrived.rank == sent.rank);
    CHECK(arrived.source_incarnation == sent.source_incarnation);
    CHECK(arrived.steps_done == sent.steps_done);
    CHECK(arrived.layers.size() == sent.layers.size());
    CHECK(arrived.second_copy.size() == sent.second_copy.size());
  }
}
