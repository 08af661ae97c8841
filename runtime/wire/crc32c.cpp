#include "runtime/wire/crc32c.hpp"

#include <algorithm>
#include <isa-l/crc.h>

namespace troupe {

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
  // The library leaves both complements of the standard to its caller, counts in int, and does not say that it only
  // reads.
  constexpr std::size_t most = std::size_t{1} << 30;
  std::uint32_t crc = ~before;
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), most));
    auto* const start = const_cast<std::byte*>(part.data());   // NOLINT(*-const-cast): its interface
    crc = crc32_iscsi(reinterpret_cast<unsigned char*>(start), // NOLINT(*-reinterpret-cast): bytes are bytes
                      static_cast<int>(part.size()), crc);
    bytes = bytes.subspan(part.size());
  }
  return ~crc;
}

} // namespace troupe
