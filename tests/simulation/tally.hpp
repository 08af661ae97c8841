// What was simulated, in numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace troupe::test {

/// Each is a sum over seeds.
enum class counted : std::uint8_t {
  seeds,
  events,
  rank_deaths,
  scheduler_deaths,
  process_deaths,
  interrupts,
  lost,
  duplicated,
  overtaken,
  stalls,
  disk_failures,
  commits,
  failed_checkpoints,
  resumes,
  reshaped,
  given_up,
  poisoned,
  forgeries,
  stale,
  // of runs over several processes
  worker_deaths,
  coordinator_deaths,
  freezes,
  broken_connections,
  stalled_connections,
  rank_recoveries,
  held_starts,
  returns,
  failed_starts,
  bytes,
  end_
};

/// Plain numbers, which a process can send another one.
struct tally {
  std::array<std::uint64_t, static_cast<std::size_t>(counted::end_)> numbers{};

  std::uint64_t& operator[](counted what) { return numbers[static_cast<std::size_t>(what)]; }
  std::uint64_t operator[](counted what) const { return numbers[static_cast<std::size_t>(what)]; }
  void add(const tally& other) {
    for (std::size_t i = 0; i < numbers.size(); ++i)
      numbers[i] += other.numbers[i];
  }
};

} // namespace troupe::test
