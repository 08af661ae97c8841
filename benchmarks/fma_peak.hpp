// The fastest this machine can multiply and add: what every GFLOP/s figure is compared with. Measured, not looked up,
// since clock rates and vector units differ.
#pragma once

namespace troupe::benchmarks {

/// GFLOP/s (a fused multiply-add counts two) of `threads` threads together, each running independent chains of float
/// FMAs in the widest vectors of this build: the best of ten windows that last `seconds` in all.
double measure_fma_peak(int threads, double seconds);

/// The peak of one thread in GFLOP/s, measured on the first call.
double single_thread_peak();

} // namespace troupe::benchmarks
