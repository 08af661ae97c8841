#include "model/gemm.hpp"

#include <array>

namespace troupe {

void warm_up_gemm() {
  constexpr std::int64_t size = 8;
  const std::array<float, size * size> zeros{};
  std::array<float, size * size> result{};
  const const_matrix operand{zeros.data(), size, size, size};
  gemm(operand, transpose::no, operand, transpose::no, {result.data(), size, size, size}, accumulate::no);
}

} // namespace troupe
