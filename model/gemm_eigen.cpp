#include "model/gemm.hpp"

#include <Eigen/Core>

namespace troupe {

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using const_map = Eigen::Map<const row_major, Eigen::Unaligned, Eigen::OuterStride<>>;
using mutable_map = Eigen::Map<row_major, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class Product>
void assign(mutable_map out, const Product& product, accumulate mode) {
  if (mode == accumulate::yes)
    out.noalias() += product;
  else
    out.noalias() = product;
}

} // namespace

void gemm(const const_matrix& a, transpose transpose_a, const const_matrix& b, transpose transpose_b, const matrix& c,
          accumulate mode) {
  const const_map left(a.data, a.rows, a.columns, Eigen::OuterStride<>(a.stride));
  const const_map right(b.data, b.rows, b.columns, Eigen::OuterStride<>(b.stride));
  const mutable_map out(c.data, c.rows, c.columns, Eigen::OuterStride<>(c.stride));
  if (transpose_a == transpose::no && transpose_b == transpose::no)
    assign(out, left * right, mode);
  else if (transpose_a == transpose::no)
    assign(out, left * right.transpose(), mode);
  else if (transpose_b == transpose::no)
    assign(out, left.transpose() * right, mode);
  else
    assign(out, left.transpose() * right.transpose(), mode);
}

void set_gemm_threads(int) {} // Eigen is built without OpenMP here.

int max_gemm_threads() {
  return 1;
}

std::string gemm_library() {
  return "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
         std::to_string(EIGEN_MINOR_VERSION);
}

std::string gemm_instruction_set() {
  return Eigen::SimdInstructionSetsInUse();
}

} // namespace troupe
