// What the microbenchmarks share: the shapes of the reference model (a small GPT, one microbatch of 4 sequences of 128
// tokens), and how they report rates.
#pragma once

#include "benchmarks/fma_peak.hpp"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>

namespace troupe::benchmarks {

constexpr std::int64_t B = 4, T = 128, C = 256, V = 256, heads = 4;

/// Seconds of CPU time that `act` took on the calling thread.
template <class Action>
double seconds_of(const Action& act) {
  const auto begin = thread_cpu_clock::now();
  act();
  return std::chrono::duration<double>(thread_cpu_clock::now() - begin).count();
}

/// Adds GFLOP/s, and their share of one core's peak.
inline void report_flops(benchmark::State& state, double flops_per_iteration, double total_seconds) {
  const double gflops = flops_per_iteration * static_cast<double>(state.iterations()) / total_seconds / 1e9;
  state.counters["GFLOP/s"] = gflops;
  state.counters["of_peak"] = gflops / single_thread_peak();
}

} // namespace troupe::benchmarks
