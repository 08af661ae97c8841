// CRC32C (RFC 3720, appendix B.4), which finds what a wire or a faulty machine does to bytes. No help against an
// attacker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe {

/// The CRC of what `before` is the CRC of, followed by `bytes`; of nothing it is 0.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);

} // namespace troupe
