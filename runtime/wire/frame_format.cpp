#include "runtime/wire/frame_format.hpp"

#include "model/error.hpp"
#include "runtime/wire/crc32c.hpp"
#include "runtime/wire/wire_message.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace troupe {

static_assert(std::endian::native == std::endian::little, "numbers travel as they lie in memory");

namespace {

constexpr std::array<std::uint8_t, 8> opening = {'T', 'R', 'P', 'W', wire_protocol, 0, 0, 0};
constexpr std::size_t version_place = 4, sizes_place = 8, head_crc_place = 20;

/// "54 52 50 57"
template <class Bytes>
std::string to_hex_text(const Bytes& bytes) {
  std::string text;
  for (const auto byte : bytes)
    text += fmt::format("{}{:02x}", text.empty() ? "" : " ", static_cast<unsigned>(byte));
  return text;
}

void require_opening(std::span<const std::byte, opening.size()> found) {
  if (std::memcmp(found.data(), opening.data(), version_place) != 0)
    throw protocol_error(fmt::format("wire: found the bytes {} at the start of a frame, expected {}",
                                     to_hex_text(found.first<version_place>()),
                                     to_hex_text(std::span(opening).first<version_place>())));
  if (found[version_place] != std::byte{wire_protocol})
    throw protocol_error(
        fmt::format("wire: found protocol version {}, expected {}: both programs must be of one version",
                    static_cast<unsigned>(found[version_place]), unsigned{wire_protocol}));
  if (std::memcmp(found.data(), opening.data(), opening.size()) != 0)
    throw protocol_error(fmt::format("wire: found the bytes {} after a frame's version, expected zeros",
                                     to_hex_text(found.subspan<version_place + 1>())));
}

} // namespace

std::uint64_t payload_of_next_frame(std::uint64_t record_bytes, std::uint64_t block_bytes, std::uint64_t written) {
  const std::uint64_t left = written < record_bytes ? record_bytes - written : record_bytes + block_bytes - written;
  return std::min<std::uint64_t>(left, largest_payload);
}

std::array<std::byte, frame_prefix::bytes> to_bytes(frame_prefix prefix, std::span<const std::byte> head) {
  std::array<std::byte, frame_prefix::bytes> out{};
  const std::array<std::uint32_t, 3> numbers = {prefix.head_bytes, prefix.payload_bytes, prefix.payload_crc};
  std::memcpy(out.data(), opening.data(), opening.size());
  std::memcpy(out.data() + sizes_place, numbers.data(), sizeof numbers);
  prefix.head_crc = crc32c(head, crc32c(std::span(out).first<head_crc_place>()));
  std::memcpy(out.data() + head_crc_place, &prefix.head_crc, sizeof prefix.head_crc);
  return out;
}

frame_prefix parse_prefix(std::span<const std::byte, frame_prefix::bytes> bytes) {
  require_opening(bytes.first<opening.size()>());
  std::array<std::uint32_t, 4> numbers{};
  std::memcpy(numbers.data(), bytes.data() + sizes_place, sizeof numbers);
  const frame_prefix prefix{numbers[0], numbers[1], numbers[2], numbers[3]};
  if (prefix.head_bytes == 0 || prefix.head_bytes > largest_head)
    throw protocol_error(
        fmt::format("wire: found a frame's head of {} bytes, expected 1 to {}", prefix.head_bytes, largest_head));
  if (prefix.payload_bytes > largest_payload)
    throw protocol_error(fmt::format("wire: found a frame's payload of {} bytes, expected at most {}",
                                     prefix.payload_bytes, largest_payload));
  return prefix;
}

std::uint32_t crc_of_head(std::span<const std::byte> prefix_and_head) {
  return crc32c(prefix_and_head.subspan(frame_prefix::bytes), crc32c(prefix_and_head.first(head_crc_place)));
}

} // namespace troupe
