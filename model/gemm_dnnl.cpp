#include "model/error.hpp"
#include "model/gemm.hpp"

#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <new>
#include <omp.h>

namespace troupe {

void gemm(const const_matrix& a, transpose transpose_a, const const_matrix& b, transpose transpose_b, const matrix& c,
          accumulate mode) {
  const std::int64_t depth = transpose_a == transpose::no ? a.columns : a.rows;
  if (c.rows == 0 || c.columns == 0)
    return;
  if (depth == 0) { // which oneDNN refuses
    if (mode == accumulate::no)
      for (std::int64_t row = 0; row < c.rows; ++row)
        std::fill_n(c.data + row * c.stride, c.columns, 0.0F);
    return;
  }
  const dnnl_status_t status = dnnl_sgemm(
      transpose_a == transpose::no ? 'N' : 'T', transpose_b == transpose::no ? 'N' : 'T', c.rows, c.columns, depth,
      1.0F, a.data, a.stride, b.data, b.stride, mode == accumulate::yes ? 1.0F : 0.0F, c.data, c.stride);
  if (status == dnnl_out_of_memory)
    throw std::bad_alloc();
  TROUPE_CHECK(status == dnnl_success, "oneDNN refused a matrix product of " + std::to_string(c.rows) + " x " +
                                           std::to_string(c.columns) + " x " + std::to_string(depth));
}

void set_gemm_threads(int threads) {
  omp_set_dynamic(0); // OpenMP must not choose fewer: the number of threads is part of the arithmetic
  omp_set_num_threads(threads);
}

int max_gemm_threads() {
  return std::min(1024, omp_get_thread_limit()); // the limit is OMP_THREAD_LIMIT's
}

std::string gemm_library() {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

std::string gemm_instruction_set() {
  switch (dnnl_get_effective_cpu_isa()) {
  case dnnl_cpu_isa_sse41:
    return "SSE4.1";
  case dnnl_cpu_isa_avx:
    return "AVX";
  case dnnl_cpu_isa_avx2:
    return "AVX2";
  case dnnl_cpu_isa_avx512_core:
    return "AVX512";
  default: // newer ones and rarities; the number tells them apart
    return "instruction set " + std::to_string(static_cast<int>(dnnl_get_effective_cpu_isa()));
  }
}

} // namespace troupe
