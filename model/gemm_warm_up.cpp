#include "model/gemm.hpp"

#include <array>

namespace troupe {

void warm_up_gemm() {
  constexpr std::int64_t size = 8;
  const std::array<float, size * size> zeros{};
  std::array<float, size * size> result{};
  const const_matrix operand{zeros.data(), size, size, size};
  for (const transpose a : {transpose::no, transpose::yes})
    for (const transpose b : {transpose::no, transpose::yes})
      gemm(operand, a, operand, b, {result.data(), size, size, size}, accumulate::no);
}

} // namespace troupe
