// The fastest this machine can multiply and add: what every GFLOP/s figure is compared with. Measured, not looked up,
// since clock rates and vector units differ.
#pragma once

#include <chrono>
#include <ctime>

namespace troupe::benchmarks {

/// The CPU time of the calling thread: what a rate of one thread is measured in, so that other programs on the machine
/// do not lower it.
struct thread_cpu_clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<thread_cpu_clock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept {
    timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return time_point(std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec));
  }
};

/// GFLOP/s (a fused multiply-add counts two) of `threads` threads together, each running independent chains of float
/// FMAs in the widest vectors of this build: the best of ten windows that last `seconds` in all, by the clock on the
/// wall.
double measure_fma_peak(int threads, double seconds);

/// The peak of one thread in GFLOP per second of CPU time, measured on the first call.
double single_thread_peak();

} // namespace troupe::benchmarks
