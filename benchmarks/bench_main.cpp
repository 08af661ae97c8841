// troupe_bench: runs the microbenchmarks on one thread, in CPU time. The peak that "of_peak" refers to is in the header
// of the output.
#include "benchmarks/fma_peak.hpp"
#include "model/gemm.hpp"

#include <benchmark/benchmark.h>

#include <string>

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 2;
  troupe::set_gemm_threads(1);
  benchmark::AddCustomContext("gemm_library", troupe::gemm_library());
  benchmark::AddCustomContext("fma_peak_gflops", std::to_string(troupe::benchmarks::single_thread_peak()));
  benchmark::RunSpecifiedBenchmarks();
}
