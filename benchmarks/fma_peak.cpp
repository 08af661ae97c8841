#include "benchmarks/fma_peak.hpp"

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace troupe::benchmarks {

namespace {

#if defined(__AVX512F__)
constexpr std::size_t vector_bytes = 64;
#elif defined(__AVX__)
constexpr std::size_t vector_bytes = 32;
#else
constexpr std::size_t vector_bytes = 16;
#endif
constexpr std::size_t lanes = vector_bytes / sizeof(float);
using vector_of_floats [[gnu::vector_size(vector_bytes)]] = float;

// Enough chains to hide the latency of an FMA (4 or 5 cycles on two units), few enough for 16 registers.
constexpr std::size_t chains = 12;
constexpr std::int64_t rounds = 100000;
constexpr double flops_per_call = 2.0 * static_cast<double>(chains * lanes) * static_cast<double>(rounds);

/// Runs `rounds` FMAs in each chain. The values approach 1, so they never become slow denormal or infinite numbers.
float run_chains(float start) {
  const vector_of_floats factor = vector_of_floats{} + 0.999F;
  const vector_of_floats term = vector_of_floats{} + 0.001F;
  std::array<vector_of_floats, chains> x{};
  for (std::size_t i = 0; i < chains; ++i)
    x[i] = vector_of_floats{} + start * static_cast<float>(i);
  for (std::int64_t round = 0; round < rounds; ++round)
    for (vector_of_floats& one : x)
      one = one * factor + term;
  vector_of_floats total{};
  for (const vector_of_floats& one : x)
    total += one;
  return total[0];
}

/// FLOP/s of the calling thread in one window.
template <class Clock>
double measure_window(double seconds) {
  const auto begin = Clock::now();
  std::chrono::duration<double> elapsed{};
  double flops = 0.0;
  volatile float sink = 0.5F;
  while (elapsed.count() < seconds) {
    sink = run_chains(sink);
    flops += flops_per_call;
    elapsed = Clock::now() - begin;
  }
  return flops / elapsed.count();
}

constexpr std::size_t windows = 10; // the first ones also bring the clock rate up

} // namespace

double measure_fma_peak(int threads, double seconds) {
  std::barrier start_line(threads);
  std::vector<std::array<double, windows>> rates(static_cast<std::size_t>(threads));
  {
    std::vector<std::jthread> running;
    running.reserve(rates.size());
    for (std::array<double, windows>& mine : rates)
      running.emplace_back([&] {
        for (double& rate : mine) {
          start_line.arrive_and_wait();
          rate = measure_window<std::chrono::steady_clock>(seconds / windows);
        }
      });
  }
  double best = 0.0;
  for (std::size_t window = 0; window < windows; ++window) {
    double together = 0.0;
    for (const auto& of_thread : rates)
      together += of_thread[window];
    best = std::max(best, together);
  }
  return best / 1e9;
}

double single_thread_peak() {
  static const double peak = [] {
    double best = 0.0;
    for (std::size_t window = 0; window < windows; ++window)
      best = std::max(best, measure_window<thread_cpu_clock>(0.05));
    return best / 1e9;
  }();
  return peak;
}

} // namespace troupe::benchmarks
