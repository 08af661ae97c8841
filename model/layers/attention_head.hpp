// One head of attention over one sequence: the blocks of attention.cpp's passes.
#pragma once

#include "model/gemm.hpp"
#include "model/layers/attention.hpp"
#include "model/layers/dropout_mask.hpp"

#include <array>
#include <cstdint>

namespace troupe {

/// block x block floats; a row is always a whole block wide.
struct alignas(64) attention_tile {
  static constexpr std::size_t size = std::size_t{attention::block} * attention::block;
  std::array<float, size> values{};

  float* row(std::int64_t index) { return values.data() + index * attention::block; }
  const_matrix view(std::int64_t rows, std::int64_t columns) const {
    return {values.data(), rows, columns, attention::block};
  }
  matrix view(std::int64_t rows, std::int64_t columns) { return {values.data(), rows, columns, attention::block}; }
};

/// Some columns of a matrix of one row a token: those of one head.
template <class Pointer>
struct head_columns {
  Pointer data = nullptr;  ///< of the sequence's first token
  std::int64_t stride = 0; ///< from a token to the next

  Pointer row(std::int64_t token) const { return data + token * stride; }
};

/// One head over one sequence.
struct attention_head {
  std::int64_t tokens = 0; ///< T
  std::int64_t width = 0;  ///< columns of a head
  float scale = 0.0F;      ///< 1 / sqrt(width), of the scores
  head_columns<const float*> q, k, v;
  const dropout_mask* mask = nullptr; ///< null: no dropout
  std::uint64_t index = 0;            ///< sequence * heads + head, the mask's coordinate

  /// The output and the log-sum-exp of each row.
  void forward(head_columns<float*> output, float* log_sums) const;

  struct kept {
    head_columns<const float*> output;
    const float* log_sums = nullptr;
  };
  struct gradients {
    head_columns<float*> q, k, v;
  };
  /// Writes all of `into`, which need not be cleared. `dots` has room for T floats.
  void backward(const kept& from, head_columns<const float*> output_gradient, const gradients& into, float* dots) const;

private:
  /// Queries from `first` on against keys from `key` on; the block on the diagonal is masked.
  struct block_pair {
    std::int64_t first, rows, key, columns;
    /// Columns of row `row` that are not masked.
    std::int64_t visible(std::int64_t row) const { return key == first ? row + 1 : attention::block; }
  };
  block_pair pair_at(std::int64_t first, std::int64_t key) const;

  template <class Pointer>
  auto view(const head_columns<Pointer>& columns, std::int64_t first, std::int64_t rows) const;

  void score(const block_pair& at, attention_tile& scores) const;
  void mask_factors(const block_pair& at, std::int64_t row, float* factors) const;
  void weigh(const block_pair& at, attention_tile& scores, head_columns<float*> output, float* largest,
             float* sums) const;
  void differentiate(const block_pair& at, const float* log_sums, const float* dots, attention_tile& scores,
                     attention_tile& gradient) const;
};

} // namespace troupe
