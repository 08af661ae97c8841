// How much of their cases tests with many run under the sanitizers, which make each ten to forty times as slow. What
// those look for shows in any case that takes the same path; the release build runs all of them.
#pragma once

#include <cstdint>

namespace troupe::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// Orders of events to try out of `all`. They are drawn, and run on one thread, where ThreadSanitizer finds nothing.
constexpr std::uint64_t orders(std::uint64_t all) {
#if defined(__SANITIZE_THREAD__)
  constexpr std::uint64_t few = 1;
#else
  constexpr std::uint64_t few = 4;
#endif
  return sanitized && all > few ? few : all;
}

} // namespace troupe::test
