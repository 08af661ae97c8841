// Frames as bytes: those that the writer makes, and forged ones, built by hand from docs/wire.md without the code under
// test.
#pragma once

#include "runtime/wire/frame_reader.hpp"
#include "runtime/wire/frame_writer.hpp"
#include "tests/support/error_text.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::test {

inline constexpr wire_limits ample_limits{.message_bytes = 256 << 20,
                                          .tensors = 1000,
                                          .record_bytes = 64 << 20,
                                          .workers = 1 << 20,
                                          .ranks = 1 << 20,
                                          .stages = 1 << 20,
                                          .layers = 1 << 20};

/// All frames of the messages.
inline std::string bytes_of(const std::vector<wire_message>& messages,
                            wire_precision precision = wire_precision::fp32) {
  frame_writer writer(precision);
  for (const wire_message& one : messages)
    writer.put(one);
  std::vector<char> bytes;
  while (!writer.empty())
    writer.write_next(bytes);
  return {bytes.begin(), bytes.end()};
}

/// In the order in which bytes_of brings them: the background last.
inline std::vector<wire_message> as_they_arrive(std::vector<wire_message> messages) {
  std::stable_partition(messages.begin(), messages.end(),
                        [](const wire_message& one) { return lane_of(one) == wire_lane::traffic; });
  return messages;
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline std::vector<wire_message> read_all(frame_reader& reader, std::string_view bytes) {
  std::vector<wire_message> messages;
  reader.read(as_bytes(bytes), [&](wire_message&& one) { messages.push_back(std::move(one)); });
  return messages;
}

inline std::vector<wire_message> read_all(std::string_view bytes, const wire_limits& limits = ample_limits,
                                          wire_precision precision = wire_precision::fp32) {
  frame_reader reader(limits, precision);
  return read_all(reader, bytes);
}

/// Bit by bit, as RFC 3720 defines it.
inline std::uint32_t slow_crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xffffffffU;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

/// `count` bytes, the lowest first.
inline std::string little_endian(std::uint64_t number, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i)
    bytes += static_cast<char>(number >> (8 * i) & 0xff);
  return bytes;
}

// Protobuf by hand; a field that is 0 is not written.
inline std::string varint(std::uint64_t number) {
  std::string bytes;
  for (; number > 127; number >>= 7)
    bytes += static_cast<char>(number % 128 + 128);
  return bytes + static_cast<char>(number);
}
inline std::string number_field(std::uint64_t field, std::uint64_t number) {
  return number == 0 ? "" : varint(8 * field) + varint(number);
}
inline std::string fixed_field(std::uint64_t field, std::uint64_t number) {
  return number == 0 ? "" : varint(8 * field + 1) + little_endian(number, 8);
}
inline std::string bytes_field(std::uint64_t field, std::string_view bytes) {
  return varint(8 * field + 2) + varint(bytes.size()) + std::string(bytes);
}

struct forged_frame {
  std::string magic = "TRPW";
  std::string version_and_zeros{"\7\0\0\0", 4};
  std::string head = {};
  std::string payload = {};
  /// Empty: what they are.
  std::string sizes = {};
};

/// With both checksums right, whatever the rest.
inline std::string to_bytes(const forged_frame& frame) {
  std::string bytes = frame.magic + frame.version_and_zeros;
  bytes +=
      frame.sizes.empty() ? little_endian(frame.head.size(), 4) + little_endian(frame.payload.size(), 4) : frame.sizes;
  bytes += little_endian(slow_crc32c(frame.payload), 4);
  return bytes + little_endian(slow_crc32c(bytes + frame.head), 4) + frame.head + frame.payload;
}

struct forged_start {
  std::uint64_t record_bytes = 0;
  std::uint64_t block_bytes = 0;
  std::string body = {};
};

inline std::string head_of(std::uint64_t sequence, std::uint64_t offset) {
  return fixed_field(1, sequence) + fixed_field(2, offset);
}
inline std::string head_of(std::uint64_t sequence, const forged_start& start) {
  return fixed_field(1, sequence) +
         bytes_field(3, number_field(1, start.record_bytes) + number_field(2, start.block_bytes) +
                            (start.body.empty() ? "" : bytes_field(3, start.body)));
}

/// The same in the background's lane, or another.
inline std::string in_lane(std::uint64_t lane, const std::string& head) {
  return head + number_field(4, lane);
}

/// A tensor's shape in a body.
inline std::string block_of(const std::vector<std::uint64_t>& extents) {
  std::string packed;
  for (const std::uint64_t one : extents)
    packed += varint(one);
  return bytes_field(1, extents.empty() ? "" : bytes_field(1, packed));
}

/// A message in one frame, the first of its connection.
inline std::string message_of(const std::string& body, const std::string& payload = {}) {
  return to_bytes(
      forged_frame{.head = head_of(0, forged_start{.block_bytes = payload.size(), .body = body}), .payload = payload});
}

inline const std::string heartbeat_body = bytes_field(10, "");

/// What the reader says of the bytes; empty: it takes them.
inline std::string refusal_of(const std::string& bytes, const wire_limits& limits = ample_limits) {
  return error_text<protocol_error>([&] { read_all(bytes, limits); });
}

} // namespace troupe::test
