// The fixed first bytes of a frame, and the sizes that bound it. docs/wire.md has the picture.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe {

/// Numbers are little-endian.
///   0  magic "TRPW"       8  bytes of the head       16  CRC32C of the payload
///   4  wire_protocol     12  bytes of the payload    20  CRC32C of bytes 0 to 19 and the head
///   5  three zeros                                   24  the head, then the payload
struct frame_prefix {
  static constexpr std::size_t bytes = 24;

  std::uint32_t head_bytes = 0;
  std::uint32_t payload_bytes = 0;
  std::uint32_t payload_crc = 0;
  std::uint32_t head_crc = 0;
};

inline constexpr std::uint32_t largest_head = 64 << 10;
inline constexpr std::uint32_t largest_payload = 1 << 20;
inline constexpr std::size_t largest_frame = frame_prefix::bytes + largest_head + largest_payload;

/// A body up to this size goes into the first frame's head; a larger one becomes the record, and goes first in the
/// payload.
inline constexpr std::size_t largest_body_in_head = 32 << 10;

/// Bytes of the payload that one frame carries, when `written` of them were in frames before. No frame has bytes of
/// both record and blocks, so that the record has been checked before memory is taken for the blocks.
std::uint64_t payload_of_next_frame(std::uint64_t record_bytes, std::uint64_t block_bytes, std::uint64_t written);

/// Sets head_crc, too.
std::array<std::byte, frame_prefix::bytes> to_bytes(frame_prefix prefix, std::span<const std::byte> head);

/// Throws protocol_error unless magic, version, zeros and sizes are right. The CRCs are the caller's to check.
frame_prefix parse_prefix(std::span<const std::byte, frame_prefix::bytes> bytes);

/// What head_crc has to be. `prefix_and_head`: from the frame's first byte to the head's last.
std::uint32_t crc_of_head(std::span<const std::byte> prefix_and_head);

} // namespace troupe
