#include "runtime/wire/crc32c.hpp"
#include "tests/support/any_message.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/wire_bytes.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <stdexcept>

using namespace troupe;
using namespace troupe::test;

namespace {

/// Both kinds of long message: one with a record, one with large blocks; and some short ones around them.
std::vector<wire_message> several_messages() {
  filler values;
  layer_part part;
  values.fill(part);
  digest_report report;
  for (int i = 0; i < 600; ++i)
    report.layers.push_back({i, {{"parameter " + std::to_string(i), {}, {}}}});
  tensor_pool pool;
  return {hello{.run = {1, 2, 3}},
          heartbeat{},
          part,
          report,
          carrying<activation_message>(pool.make_filled({300'000}, 1.5F)),
          heartbeat{}};
}

/// The start of a body with one block in it, then the fields of the kind.
std::string tied_value_body(const std::vector<std::uint64_t>& extents) {
  return block_of(extents) + bytes_field(38, bytes_field(1, "") + bytes_field(2, ""));
}

} // namespace

TEST_CASE("CRC32C is the one of RFC 3720") {
  const auto crc = [](const std::string& bytes) { return crc32c(as_bytes(bytes)); };
  std::string ascending;
  for (int i = 0; i < 32; ++i)
    ascending += static_cast<char>(i);
  CHECK(crc(std::string(32, '\0')) == 0x8a9136aaU);
  CHECK(crc(std::string(32, '\xff')) == 0x62a8ab43U);
  CHECK(crc(ascending) == 0x46dd794eU);
  CHECK(crc({ascending.rbegin(), ascending.rend()}) == 0x113fdb5cU);
  CHECK(crc("123456789") == 0xe3069283U);
  CHECK(crc("") == 0);
  CHECK(crc32c(as_bytes("6789"), crc32c(as_bytes("12345"))) == 0xe3069283U);
}

TEST_CASE("a heartbeat's frame is just these bytes") {
  const std::string head{"\x1a\x04\x1a\x02\x52\x00", 6}; // start { body: { heartbeat {} } }
  const std::string prefix =
      std::string("TRPW\7\0\0\0", 8) + little_endian(6, 4) + little_endian(0, 4) + little_endian(0, 4);
  CHECK(bytes_of({heartbeat{}}) == prefix + little_endian(slow_crc32c(prefix + head), 4) + head);
  CHECK(bytes_of({heartbeat{}}) == message_of(heartbeat_body));
}

TEST_CASE("a tensor's bytes follow the head as they lie in memory") {
  tensor_pool pool;
  tensor values = pool.make({2, 1});
  values.data()[0] = 1.0F;
  values.data()[1] = -2.0F;
  const std::string payload{"\0\0\x80\x3f\0\0\0\xc0", 8};
  // Incarnations of 1 are written, ranks of 0 are not.
  const std::string body =
      block_of({2, 1}) + bytes_field(38, bytes_field(1, number_field(3, 1) + number_field(4, 1)) + bytes_field(2, ""));
  CHECK(bytes_of({carrying<tied_value_message>(values)}) == message_of(body, payload));
}

TEST_CASE("bytes may come one at a time") {
  const std::vector<wire_message> sent{hello{.run = {9}}, failure_message{error_kind::data, "no"}, clock_probe{1.5}};
  const std::string bytes = bytes_of(sent);
  frame_reader reader(ample_limits);
  std::vector<wire_message> read;
  for (const char& one : bytes)
    reader.read(as_bytes({&one, 1}), [&](wire_message&& message) { read.push_back(std::move(message)); });
  CHECK(all_same(read, sent));
}

TEST_CASE("bytes may be cut anywhere") {
  const std::vector<wire_message> sent = several_messages();
  const std::string bytes = bytes_of(sent);
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    const std::size_t longest = std::size_t{1} << std::uniform_int_distribution<unsigned>(4, 21)(random);
    frame_reader reader(ample_limits);
    std::vector<wire_message> read;
    for (std::size_t place = 0; place < bytes.size();) {
      const std::size_t length =
          std::min(std::uniform_int_distribution<std::size_t>(0, longest)(random), bytes.size() - place);
      reader.read(as_bytes(std::string_view(bytes).substr(place, length)),
                  [&](wire_message&& message) { read.push_back(std::move(message)); });
      place += length;
    }
    REQUIRE(all_same(read, sent));
  }
}

TEST_CASE("a truncated stream waits, and goes on when the rest comes") {
  layer_part part;
  filler().fill(part);
  const std::string bytes = bytes_of({part});
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    frame_reader reader(ample_limits);
    REQUIRE(read_all(reader, std::string_view(bytes).substr(0, length)).empty());
    const auto read = read_all(reader, std::string_view(bytes).substr(length));
    REQUIRE(read.size() == 1);
    REQUIRE(same(read.front(), part));
  }
}

TEST_CASE("a frame with any bit flipped is never delivered") {
  activation_message message;
  filler().fill(message);
  const std::string bytes = bytes_of({message});
  // A longer length would wait for more: heartbeats behind it bring more than the longest head.
  std::string more;
  for (int i = 0; i < 40'000; ++i)
    more += message_of(heartbeat_body);
  for (std::size_t place = 0; place < bytes.size(); ++place)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[place] = static_cast<char>(damaged[place] ^ 1 << bit);
      const std::string_view behind = std::string_view(more).substr(0, place < 24 ? more.size() : 0);
      frame_reader reader(ample_limits);
      std::size_t delivered = 0;
      CAPTURE(place, bit);
      REQUIRE_THROWS_AS(reader.read(as_bytes(damaged + std::string(behind)), [&](wire_message&&) { ++delivered; }),
                        protocol_error);
      REQUIRE(delivered == 0);
    }
}

TEST_CASE("damage in the second frame of a message is found before it is delivered") {
  tensor_pool pool;
  const std::string bytes = bytes_of({carrying<activation_message>(pool.make_filled({400'000}, 1.0F))});
  for (const std::size_t place :
       {bytes.size() - 1, bytes.size() - 500'000, std::size_t{1000}, std::size_t{1'000'000}}) {
    std::string damaged = bytes;
    damaged[place] = static_cast<char>(damaged[place] ^ 0x10);
    CHECK(refusal_of(damaged).find("wire: damaged: found a payload with CRC32C ") == 0);
  }
}

TEST_CASE("a stream of something else is refused by its first bytes") {
  CHECK(refusal_of("GET / HTTP/1.1\r\nHost: example\r\n") ==
        "wire: found the bytes 47 45 54 20 at the start of a frame, expected 54 52 50 57");
  CHECK(refusal_of(to_bytes(forged_frame{.version_and_zeros = {"\4\0\0\0", 4}})) ==
        "wire: found protocol version 4, expected 7: both programs must be of one version");
  CHECK(refusal_of(to_bytes(forged_frame{.version_and_zeros = {"\7\0\7\0", 4}})) ==
        "wire: found the bytes 00 07 00 after a frame's version, expected zeros");
}

TEST_CASE("lengths beyond a frame's bounds are refused before anything is read for them") {
  const auto sized = [](std::uint64_t head, std::uint64_t payload) {
    return to_bytes(forged_frame{.sizes = little_endian(head, 4) + little_endian(payload, 4)});
  };
  CHECK(refusal_of(sized(65'537, 0)) == "wire: found a frame's head of 65537 bytes, expected 1 to 65536");
  CHECK(refusal_of(sized(0xffffffff, 0)) == "wire: found a frame's head of 4294967295 bytes, expected 1 to 65536");
  CHECK(refusal_of(sized(0, 0)) == "wire: found a frame's head of 0 bytes, expected 1 to 65536");
  CHECK(refusal_of(sized(6, 1'048'577)) == "wire: found a frame's payload of 1048577 bytes, expected at most 1048576");
}

TEST_CASE("frames out of sequence are refused") {
  const auto heartbeat_of = [](std::uint64_t sequence) {
    return to_bytes(forged_frame{.head = head_of(sequence, forged_start{.body = heartbeat_body})});
  };
  CHECK(read_all(heartbeat_of(0) + heartbeat_of(1)).size() == 2);
  CHECK(refusal_of(heartbeat_of(1)) == "wire: found a frame of message 1, expected one of message 0");
  CHECK(refusal_of(heartbeat_of(0) + heartbeat_of(0)) == "wire: found a frame of message 0, expected one of message 1");
  CHECK(refusal_of(heartbeat_of(0) + heartbeat_of(2)) == "wire: found a frame of message 2, expected one of message 1");
}

TEST_CASE("the frames of a message follow each other without gap or repetition") {
  const std::uint64_t block_bytes = 2'500'000;
  const std::string part(1 << 20, 'x');
  const std::string first = to_bytes(forged_frame{
      .head = head_of(0, forged_start{.block_bytes = block_bytes, .body = tied_value_body({block_bytes / 4})}),
      .payload = part});
  const auto next = [](std::uint64_t offset, const std::string& payload) {
    return to_bytes(forged_frame{.head = head_of(0, offset), .payload = payload});
  };
  const std::string rest(block_bytes - 2 * part.size(), 'y');
  CHECK(read_all(first + next(part.size(), part) + next(2 * part.size(), rest)).size() == 1);
  CHECK(refusal_of(first + next(part.size() + 1, part)) ==
        "wire: found a frame at byte 1048577 of message 0, expected one at byte 1048576");
  CHECK(refusal_of(first + first) == "wire: found a frame at byte 0 of message 0, expected one at byte 1048576");
  // Of message 0 that would be an empty head.
  const std::string late = to_bytes(forged_frame{.head = head_of(1, 0)});
  CHECK(refusal_of(message_of(heartbeat_body) + late) ==
        "wire: found a frame before the start of message 1, expected its start");
  CHECK(refusal_of(first + next(part.size(), rest)) ==
        "wire: found a frame's payload of 402848 bytes, expected 1048576, the next of the message's 2500000");
  CHECK(refusal_of(first + next(part.size(), part) + next(2 * part.size(), rest + "y")) ==
        "wire: found a frame's payload of 402849 bytes, expected 402848, the next of the message's 2500000");
  CHECK(refusal_of(first + next(part.size(), part) + next(2 * part.size(), "")) ==
        "wire: found a frame's payload of 0 bytes, expected 402848, the next of the message's 2500000");
}

TEST_CASE("a message larger than the limits is refused by its head") {
  const auto claimed = [](const forged_start& start) { return to_bytes(forged_frame{.head = head_of(0, start)}); };
  wire_limits limits = ample_limits;
  limits.message_bytes = 4096;
  limits.record_bytes = 100;
  limits.tensors = 2;
  CHECK(refusal_of(claimed({.block_bytes = 4097, .body = tied_value_body({1})}), limits) ==
        "wire: found a message with 4097 bytes of tensors, expected at most 4096");
  CHECK(refusal_of(claimed({.block_bytes = ~std::uint64_t{0}, .body = tied_value_body({1})}), limits) ==
        "wire: found a message with 18446744073709551615 bytes of tensors, expected at most 4096");
  CHECK(refusal_of(claimed({.record_bytes = 101}), limits) ==
        "wire: found a message with a record of 101 bytes, expected at most 100");
  CHECK(refusal_of(claimed({.record_bytes = 10, .body = heartbeat_body}), limits) ==
        "wire: found a message with a body in its head and a record, expected one of the two");
  CHECK(refusal_of(message_of(block_of({}) + block_of({}) + block_of({}) + heartbeat_body), limits) ==
        "wire: found 3 tensors in a message, expected at most 2");
}

TEST_CASE("shapes whose product overflows, or is not what is sent, are refused") {
  wire_limits limits = ample_limits;
  limits.message_bytes = 4096;
  const auto refused = [&](const std::vector<std::uint64_t>& extents) {
    return refusal_of(message_of(tied_value_body(extents), "1234"), limits);
  };
  CHECK(refused({1}).empty());
  CHECK(refused({2}) == "wire: found 4 bytes of tensors, expected 8, which is what their shapes need");
  CHECK(refused({0}) == "wire: found 4 bytes of tensors, expected 0, which is what their shapes need");
  CHECK(refused({1025}) == "wire: found a tensor of shape [1025], expected at most 1024 elements in the message");
  CHECK(refused({std::uint64_t{1} << 32, std::uint64_t{1} << 32}) ==
        "wire: found a tensor of shape [4294967296, 4294967296], expected at most 1024 elements in the message");
  CHECK(refused({2, std::uint64_t{1} << 63}) ==
        "wire: found a tensor of shape [2, 9223372036854775808], expected at most 1024 elements in the message");
  CHECK(refused({0, ~std::uint64_t{0}}) ==
        "wire: found a tensor of shape [0, 18446744073709551615], expected at most 1024 elements in the message");
  CHECK(refused({1, 1, 1, 1, 1}) == "wire: found a tensor of 5 axes, expected at most 4");
  const std::string two = block_of({1000}) + tied_value_body({25});
  CHECK(refusal_of(message_of(two, std::string(4100, ' ')), ample_limits)
            .find("found 2 tensors in a message, expected 1") != std::string::npos);
  CHECK(refusal_of(message_of(two, std::string(4096, ' ')), limits) ==
        "wire: found a tensor of shape [25], expected at most 24 elements in the message");
  CHECK(refusal_of(message_of(bytes_field(38, ""))) == "wire: found 0 tensors in a message, expected more");
}

TEST_CASE("a body that is none, of unknown kind, or with more than is known is refused") {
  CHECK(refusal_of(message_of("\xff\xff")) ==
        "wire: found a message body of 2 bytes that is not a protobuf message, expected one");
  CHECK(refusal_of(message_of(bytes_field(31, ""))) ==
        "wire: found a message body of 3 bytes, of which 0 are known fields, expected nothing else");
  CHECK(refusal_of(message_of(heartbeat_body + bytes_field(99, "more"))) ==
        "wire: found a message body of 9 bytes, of which 2 are known fields, expected nothing else");
  CHECK(refusal_of(message_of(block_of({}))) ==
        "wire: found a message of unknown kind, expected one of protocol version 7");
  CHECK(refusal_of(
            to_bytes(forged_frame{.head = head_of(0, forged_start{.body = heartbeat_body}) + number_field(9, 1)})) ==
        "wire: found a frame's head of 8 bytes that is none of protocol version 7, expected one");
}

TEST_CASE("choices and indexes that there are none of are refused") {
  const auto refused = [](unsigned kind, const std::string& fields, const wire_limits& limits = ample_limits) {
    return refusal_of(message_of(bytes_field(kind, fields)), limits);
  };
  wire_limits small = ample_limits;
  small.ranks = 4;
  small.stages = 8;
  small.layers = 6;
  small.workers = 2;
  const std::string run = bytes_field(4, std::string(16, 'r'));
  CHECK(refused(2, number_field(3, 3) + run) == "wire: found 3 as role, expected 0 to 2");
  CHECK(refused(2, bytes_field(4, "short")) == "wire: found a run of 5 bytes, expected 16");
  CHECK(refused(3, number_field(1, 7)) == "wire: found 7 as kind of error, expected 0 to 6");
  CHECK(refused(48, number_field(1, 99)) == "wire: found 99 as kind of error, expected 0 to 6");
  CHECK(refused(39, number_field(3, 2)) == "wire: found 2 as end of a step, expected 0 to 1");
  CHECK(refused(39, bytes_field(2, number_field(2, 2))) == "wire: found 2 as mode of a step, expected 0 to 1");
  CHECK(refused(40, number_field(5, 3)) == "wire: found 3 as order to take a snapshot, expected 0 to 2");
  CHECK(refused(40, number_field(7, 3)) == "wire: found 3 as verdict on a step, expected 0 to 2");
  CHECK(refused(45, bytes_field(12, number_field(1, 2))) == "wire: found 2 as source of a sighting, expected 0 to 1");
  CHECK(refused(45, bytes_field(12, number_field(3, 6)), small) == "wire: found layer 6, expected one below 6");
  for (const unsigned kind : {34U, 36U})
    CHECK(refused(kind, number_field(5, 1)) ==
          "wire: found a message marked as poisoned, expected that of gradients alone");
  CHECK(refused(43, number_field(1, 3), small).empty());
  CHECK(refused(43, number_field(1, 4), small) == "wire: found rank 4, expected one below 4");
  CHECK(refused(43, number_field(1, 4), limits_before_hello) ==
        "wire: found rank 4, expected no rank before a run is assigned");
  CHECK(refused(41, number_field(3, 4), small) == "wire: found rank 4, expected one below 4");
  CHECK(refused(13, number_field(1, 2), small) == "wire: found worker 2, expected one below 2");
  CHECK(refused(45, bytes_field(4, number_field(1, 8)), small) == "wire: found stage 8, expected one below 8");
  CHECK(refused(47, bytes_field(3, number_field(1, 6)), small) == "wire: found layer 6, expected one below 6");
  CHECK(refused(14, number_field(4, ~std::uint64_t{0}), small) ==
        "wire: found layer 18446744073709551615, expected one below 6");
  CHECK(refused(46, bytes_field(3, bytes_field(1, varint(32) + varint(0))) + bytes_field(4, std::string(16, '\0')),
                small) == "wire: found stage 8, expected one below 8");
  CHECK(refused(46, bytes_field(3, bytes_field(1, varint(4)))) ==
        "wire: found half an action, expected pairs of numbers");
  CHECK(refused(46, bytes_field(3, bytes_field(1, varint(4) + varint(1)))) ==
        "wire: found 0 times of 1 actions, expected two each");
  CHECK(refused(47, bytes_field(3, bytes_field(2, bytes_field(2, "short")))) ==
        "wire: found a hash of 5 bytes, expected 32");
  CHECK(refused(17, bytes_field(2, std::string(1025, 'n'))) ==
        "wire: found the name of a parameter of 1025 bytes, expected at most 1024");
  CHECK(refused(14, bytes_field(5, number_field(2, 4'000'000'000))) ==
        "wire: found 0 tensors in a message, expected more");
}

TEST_CASE("a written part whose file names are not the ones of its layers is refused") {
  part_written part;
  fill(part);
  const auto refused = [](const part_written& sent) { return refusal_of(bytes_of({sent})); };
  CHECK(refused(part).empty());
  part_written other = part;
  other.layers[0].weights.name = "../../etc/passwd";
  CHECK(refused(other).find("wire: found another name for the file layers-") == 0);
  other = part;
  other.layers[0].optimizer.sha256[3] = 'G';
  CHECK(refused(other).find("found no SHA-256 of 64 hexadecimal digits, expected one") != std::string::npos);
  other = part;
  std::swap(other.layers[0].first, other.layers[0].last);
  CHECK(refused(other).find("expected them to ascend") != std::string::npos);
}

TEST_CASE("after an error the reader reads no more") {
  frame_reader reader(ample_limits);
  CHECK_THROWS_AS(read_all(reader, "not a frame, but long enough"), protocol_error);
  CHECK(error_text<protocol_error>([&] { read_all(reader, message_of(heartbeat_body)); }) ==
        "wire: found more bytes after an error, expected the connection to end");
}

TEST_CASE("what the receiver throws comes through, and the reader reads no more") {
  frame_reader reader(ample_limits);
  const std::string bytes = message_of(heartbeat_body);
  CHECK_THROWS_AS(reader.read(as_bytes(bytes), [](wire_message&&) { throw std::out_of_range("mine"); }),
                  std::out_of_range);
  CHECK_THROWS_AS(read_all(reader, bytes), protocol_error);
}

TEST_CASE("limits may be raised when a message is delivered, for the next in the same bytes") {
  frame_reader reader(limits_before_hello);
  std::size_t delivered = 0;
  tensor_pool pool;
  const std::string bytes = bytes_of({hello{}, carrying<activation_message>(pool.make_filled({10}, 1.0F))});
  reader.read(as_bytes(bytes), [&](wire_message&&) {
    ++delivered;
    reader.set_limits(ample_limits);
  });
  CHECK(delivered == 2);
  CHECK(refusal_of(bytes, limits_before_hello) == "wire: found a message with 40 bytes of tensors, expected at most 0");
}
