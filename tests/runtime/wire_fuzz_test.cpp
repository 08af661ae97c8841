#include "tests/support/any_message.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/wire_bytes.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

using namespace troupe;
using namespace troupe::test;

namespace {

template <std::size_t Kind = 0>
void add_filled(std::vector<wire_message>& to) {
  if constexpr (Kind < std::variant_size_v<wire_message>) {
    using message = std::variant_alternative_t<Kind, wire_message>;
    message one;
    if constexpr (std::is_same_v<message, part_written> || std::is_same_v<message, placement>)
      fill(one);
    else if constexpr (!std::is_same_v<message, assignment>)
      filler().fill(one);
    if constexpr (!std::is_same_v<message, assignment>)
      to.emplace_back(one);
    add_filled<Kind + 1>(to);
  }
}

wire_message an_assignment() {
  assignment made;
  made.pipeline.order = generate_schedule({"pipedream-2bw", 2, 4, 1});
  made.pipeline.facts = check_schedule(made.pipeline.order);
  made.pipeline.stages = {{0, 1}, {1, 3}};
  made.where = {.workers = {{"a:1", {1}}, {"b:2", {0}}}, .ranks = {{1, 1}, {1, 0}}};
  made.spec.training.microbatches = 4;
  return made;
}

/// Changes, adds or drops a few bytes.
std::string mutate(std::string bytes, std::mt19937& random) {
  const auto pick = [&](std::size_t most) { return std::uniform_int_distribution<std::size_t>(0, most)(random); };
  for (std::size_t left = 1 + pick(2); left > 0 && !bytes.empty(); --left) {
    const std::size_t place = pick(bytes.size() - 1);
    switch (pick(4)) {
    case 0:
      bytes[place] = static_cast<char>(pick(255));
      break;
    case 1:
      bytes[place] = static_cast<char>(bytes[place] ^ 1 << pick(7));
      break;
    case 2:
      bytes.erase(place, 1 + pick(7));
      break;
    case 3:
      bytes.insert(place, bytes.substr(pick(bytes.size() - 1), 1 + pick(15)));
      break;
    default:
      bytes.insert(place, 1, static_cast<char>(pick(1) == 0 ? 0xff : 0));
    }
  }
  return bytes;
}

struct taken_frame {
  std::string head;
  std::string payload;
};

/// The message's only frame, taken apart at its fixed places.
taken_frame take_frame(const std::string& bytes) {
  const auto number = [&](std::size_t place) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + place, sizeof value);
    return value;
  };
  REQUIRE(bytes.size() == 24 + number(8) + number(12));
  return {bytes.substr(24, number(8)), bytes.substr(24 + number(8))};
}

/// KiB of address space, at its largest so far.
std::size_t peak_address_space() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmPeak:") {
      std::size_t kibibytes = 0;
      status >> kibibytes;
      return kibibytes;
    }
  FAIL("/proc/self/status has no VmPeak");
  return 0;
}

} // namespace

TEST_CASE("a mutated stream is refused, or what is delivered is what was sent") {
  std::vector<wire_message> sent{an_assignment()};
  add_filled(sent);
  sent = as_they_arrive(std::move(sent));
  const std::string bytes = bytes_of(sent);
  std::mt19937 random(2024);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    const std::string damaged = mutate(bytes, random);
    frame_reader reader(ample_limits);
    std::vector<wire_message> read;
    try {
      reader.read(as_bytes(damaged), [&](wire_message&& one) { read.push_back(std::move(one)); });
    } catch (const protocol_error&) {
      ++refused;
    }
    REQUIRE(read.size() <= sent.size());
    for (std::size_t i = 0; i < read.size(); ++i)
      if (!std::holds_alternative<assignment>(read[i]))
        REQUIRE(same(read[i], sent[i]));
  }
  CHECK(refused > 2900); // the others end in the middle of a message
}

TEST_CASE("a mutated message with right checksums is refused by protocol_error, or is a message") {
  std::vector<wire_message> sent{an_assignment()};
  add_filled(sent);
  wire_limits limits = ample_limits;
  limits.ranks = limits.stages = limits.layers = limits.workers = 1000;
  limits.message_bytes = 1 << 20;
  std::mt19937 random(7);
  int refused = 0, delivered = 0;
  for (int round = 0; round < 200; ++round)
    for (const wire_message& message : sent) {
      taken_frame frame = take_frame(bytes_of({message}));
      frame.head = mutate(frame.head, random);
      CAPTURE(round, name_of(message));
      try {
        for (const wire_message& read :
             read_all(to_bytes(forged_frame{.head = frame.head, .payload = frame.payload}), limits)) {
          ++delivered;
          bytes_of({read}); // what was let in can be written
        }
      } catch (const protocol_error&) {
        ++refused;
      }
    }
  CHECK(refused > 1000);
  CHECK(delivered > 100);
}

TEST_CASE("no stream makes the reader take memory beyond its limits") {
  constexpr std::size_t bound_in_kibibytes = 64 << 10;
  std::mt19937_64 random(1);
  std::string garbage(1 << 20, '\0');
  std::ranges::generate(garbage, [&] { return static_cast<char>(random()); });
  std::string started = garbage;
  started.replace(0, 8, std::string("TRPW") + static_cast<char>(wire_protocol) + std::string(3, '\0'));
  wire_limits limits = ample_limits;
  limits.message_bytes = limits.record_bytes = 1 << 20;
  const std::size_t before = peak_address_space();
  for (int megabyte = 0; megabyte < 100; ++megabyte) {
    std::shuffle(garbage.begin(), garbage.begin() + 1000, random);
    std::shuffle(started.begin() + 8, started.begin() + 1000, random);
    CHECK_THROWS_AS(read_all(garbage, limits), protocol_error);
    CHECK_THROWS_AS(read_all(started, limits), protocol_error);
  }
  // Right in all but what they ask for.
  const std::uint64_t huge = std::uint64_t{1} << 36;
  const auto claim = [](const forged_start& start) { return to_bytes(forged_frame{.head = head_of(0, start)}); };
  const std::string body = block_of({huge / 4}) + bytes_field(38, "");
  CHECK_THROWS_AS(read_all(claim({.block_bytes = huge, .body = body}), limits), protocol_error);
  CHECK_THROWS_AS(read_all(claim({.record_bytes = huge}), limits), protocol_error);
  CHECK_THROWS_AS(read_all(claim({.block_bytes = 1 << 20, .body = body}), limits), protocol_error);
  CHECK(peak_address_space() - before < bound_in_kibibytes);
}

TEST_CASE("tensors of ever other sizes do not pile up in the reader") {
  constexpr std::size_t bound_in_kibibytes = 512 << 10;
  wire_limits limits = ample_limits;
  limits.message_bytes = 4 << 20;
  frame_reader reader(limits);
  frame_writer writer;
  tensor_pool pool;
  const tensor values = pool.make_filled({1 << 20}, 1.0F);
  const std::size_t before = peak_address_space();
  std::vector<char> bytes;
  for (std::int64_t less = 0; less < 300; ++less) {
    tensor_pool passing;
    writer.put(carrying<tied_value_message>(passing.make_filled({(1 << 20) - 1000 * less}, 1.0F)));
    while (!writer.empty()) {
      bytes.clear();
      writer.write_next(bytes);
      reader.read(std::as_bytes(std::span(bytes)), [](wire_message&&) {});
    }
  }
  CHECK(peak_address_space() - before < bound_in_kibibytes);
}
