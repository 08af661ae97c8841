// Two lanes on one connection: who overtakes whom, and what belongs where.
#include "tests/support/any_message.hpp"
#include "tests/support/wire_bytes.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

TEST_CASE("traffic overtakes the background between two frames") {
  filler values;
  snapshot_part part;
  values.fill(part);
  tensor_pool pool;
  part.layer.parameters.at(0).value = pool.make_filled({600'000}, 1.5F); // three frames
  frame_writer writer;
  std::vector<char> bytes;
  writer.put(part);
  writer.put(part);
  CHECK_FALSE(writer.has_traffic());
  writer.write_next(bytes);
  const auto large = carrying<activation_message>(pool.make_filled({300'000}, 2.5F)); // two frames
  writer.put(heartbeat{});
  writer.put(large);
  for (const bool more : {true, true, false}) {
    CHECK(writer.has_traffic());
    writer.write_next(bytes);
    CHECK(writer.has_traffic() == more);
  }
  while (!writer.empty())
    writer.write_next(bytes);
  CHECK(writer.waiting_bytes() == 0);
  CHECK(all_same(read_all({bytes.data(), bytes.size()}), {heartbeat{}, large, part, part}));
}

TEST_CASE("each lane has its own sequence and its own kinds") {
  const auto heartbeat_in = [](std::uint64_t lane, std::uint64_t sequence) {
    return to_bytes(forged_frame{.head = in_lane(lane, head_of(sequence, forged_start{.body = heartbeat_body}))});
  };
  const std::string part_body = bytes_field(23, "");
  const auto part_in = [&](std::uint64_t lane, std::uint64_t sequence) {
    return to_bytes(forged_frame{.head = in_lane(lane, head_of(sequence, forged_start{.body = part_body}))});
  };
  CHECK(read_all(heartbeat_in(0, 0) + part_in(1, 0) + heartbeat_in(0, 1) + part_in(1, 1)).size() == 4);
  CHECK(refusal_of(heartbeat_in(0, 0) + part_in(1, 1)) ==
        "wire: found a frame of message 1, expected one of message 0");
  CHECK(refusal_of(part_in(0, 0)) == "wire: found snapshot_part in lane 0, expected it in the other");
  CHECK(refusal_of(heartbeat_in(1, 0)) == "wire: found heartbeat in lane 1, expected it in the other");
  CHECK(refusal_of(heartbeat_in(2, 0)) == "wire: found a frame of lane 2, expected one below 2");
}
