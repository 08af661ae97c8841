// GEMM: the one matrix product that all layers use. Two implementations, chosen when building: oneDNN and Eigen.
#pragma once

#include "model/tensor.hpp"

#include <cstdint>
#include <string>

namespace troupe {

/// A row-major matrix somewhere in memory; `stride` elements lie between the starts of two rows.
struct const_matrix {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;
};

struct matrix {
  float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;
};

/// The tensor as a matrix of rows() x columns().
inline const_matrix as_matrix(const tensor& x) {
  return {x.data(), x.rows(), x.columns(), x.columns()};
}
inline matrix as_matrix(tensor& x) {
  return {x.data(), x.rows(), x.columns(), x.columns()};
}

enum class transpose { no, yes };
enum class accumulate { no, yes };

/// c = a b, or c += a b, each operand transposed first if asked. The number of threads is the calling thread's
/// (set_gemm_threads). For one build, machine and number of threads the result is the same bits each time. A signal's
/// handler that may interrupt this needs a stack of its own (docs/decisions/0001-onednn-with-eigen-fallback.md).
void gemm(const const_matrix& a, transpose transpose_a, const const_matrix& b, transpose transpose_b, const matrix& c,
          accumulate mode);

/// The library compiles its kernels when a process first uses them, which takes oneDNN some 25 ms. A process that
/// others may have to wait for has that behind it once it has called this.
void warm_up_gemm();

/// How many threads gemm uses when called from this thread; part of the definition of a run, since it may change bits.
void set_gemm_threads(int threads);

/// The most threads that set_gemm_threads accepts: 1 where the library was built without threads.
int max_gemm_threads();

/// Name and version of the library behind gemm, such as "oneDNN 2.6.3".
std::string gemm_library();

/// The instruction set that gemm uses on this machine, such as "AVX512".
std::string gemm_instruction_set();

} // namespace troupe
