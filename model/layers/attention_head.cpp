#include "model/layers/attention_head.hpp"

#include "model/layers/packs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace troupe {

namespace {

constexpr std::int64_t block = attention::block;
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
using block_row = std::array<float, static_cast<std::size_t>(block)>;

accumulate after(bool is_first) {
  return is_first ? accumulate::no : accumulate::yes;
}

} // namespace

attention_head::block_pair attention_head::pair_at(std::int64_t first, std::int64_t key) const {
  return {first, std::min(block, tokens - first), key, std::min(block, tokens - key)};
}

template <class Pointer>
auto attention_head::view(const head_columns<Pointer>& columns, std::int64_t first, std::int64_t rows) const {
  if constexpr (std::is_same_v<Pointer, float*>)
    return matrix{columns.row(first), rows, width, columns.stride};
  else
    return const_matrix{columns.row(first), rows, width, columns.stride};
}

void attention_head::score(const block_pair& at, attention_tile& scores) const {
  gemm(view(q, at.first, at.rows), transpose::no, view(k, at.key, at.columns), transpose::yes,
       scores.view(at.rows, at.columns), accumulate::no);
}

/// The mask's factors for one row of a block. A row of the T x T matrix starts a new block of random words.
void attention_head::mask_factors(const block_pair& at, std::int64_t row, float* factors) const {
  static_assert(block % dropout_mask::block_size == 0);
  const auto per_row = static_cast<std::uint64_t>((tokens + dropout_mask::block_size - 1) / dropout_mask::block_size);
  const std::uint64_t line = index * static_cast<std::uint64_t>(tokens) + static_cast<std::uint64_t>(at.first + row);
  mask->draw(line * per_row + static_cast<std::uint64_t>(at.key / dropout_mask::block_size), at.visible(row), factors);
}

/// Turns scores into weights relative to the largest score of the row so far, and brings the row's sum and output,
/// which are relative to the largest before, to the same scale.
void attention_head::weigh(const block_pair& at, attention_tile& scores, head_columns<float*> output, float* largest,
                           float* sums) const {
  block_row factors{};
  for (std::int64_t row = 0; row < at.rows; ++row) {
    float* const weights = scores.row(row);
    std::fill(weights + at.visible(row), weights + block, minus_infinity);
    const float before = largest[row];
    largest[row] = std::max(before, scale * max_packs(weights, block));
    exp_packs(weights, weights, block, scale, largest[row]);
    const float sum = sum_packs(weights, block);
    if (at.key == 0) {
      sums[row] = sum;
    } else {
      const float correction = std::exp(before - largest[row]);
      sums[row] = sums[row] * correction + sum;
      float* const out = output.row(at.first + row);
      map_packs(
          out, width, [=](const auto& y) { return y * correction; }, out);
    }
    if (mask != nullptr) {
      mask_factors(at, row, factors.data());
      map_packs(
          weights, block, [](const auto& p, const auto& f) { return p * f; }, weights, factors.data());
    }
  }
}

void attention_head::forward(head_columns<float*> output, float* log_sums) const {
  attention_tile scores;
  for (std::int64_t first = 0; first < tokens; first += block) {
    block_row largest;
    block_row sums;
    largest.fill(minus_infinity);
    for (std::int64_t key = 0; key <= first; key += block) {
      const block_pair at = pair_at(first, key);
      score(at, scores);
      weigh(at, scores, output, largest.data(), sums.data());
      gemm(std::as_const(scores).view(at.rows, at.columns), transpose::no, view(v, key, at.columns), transpose::no,
           view(output, first, at.rows), after(key == 0));
    }
    for (std::int64_t token = first; token < std::min(first + block, tokens); ++token) {
      const auto row = static_cast<std::size_t>(token - first);
      float* const out = output.row(token);
      map_packs(
          out, width, [inverse = 1.0F / sums[row]](const auto& y) { return y * inverse; }, out);
      log_sums[token] = largest[row] + std::log(sums[row]);
    }
  }
}

/// From scores and the gradient of the (dropped) weights: the dropped weights, in place of the scores, and the gradient
/// of the scores, in place of that of the weights.
void attention_head::differentiate(const block_pair& at, const float* log_sums, const float* dots,
                                   attention_tile& scores, attention_tile& gradient) const {
  block_row factors{};
  for (std::int64_t row = 0; row < at.rows; ++row) {
    float* const p = scores.row(row);
    float* const d = gradient.row(row);
    const float dot = dots[at.first + row];
    exp_packs(p, p, block, scale, log_sums[at.first + row]);
    if (mask == nullptr) {
      map_packs(
          d, block, [=, this](const auto& dp, const auto& w) { return w * (dp - dot) * scale; }, d, p);
    } else {
      mask_factors(at, row, factors.data());
      map_packs(
          d, block, [=, this](const auto& dp, const auto& w, const auto& f) { return w * (dp * f - dot) * scale; }, d,
          p, factors.data());
      map_packs(
          p, block, [](const auto& w, const auto& f) { return w * f; }, p, factors.data());
    }
    std::fill(p + at.visible(row), p + block, 0.0F);
    std::fill(d + at.visible(row), d + block, 0.0F);
  }
}

void attention_head::backward(const kept& from, head_columns<const float*> output_gradient, const gradients& into,
                              float* dots) const {
  for (std::int64_t token = 0; token < tokens; ++token)
    dots[token] = sum_packs(
        width, [](const auto& dy, const auto& y) { return dy * y; }, output_gradient.row(token),
        from.output.row(token));
  attention_tile scores;
  attention_tile gradient;
  for (std::int64_t key = 0; key < tokens; key += block) {
    for (std::int64_t first = key; first < tokens; first += block) {
      const block_pair at = pair_at(first, key);
      const const_matrix dy = view(output_gradient, first, at.rows);
      score(at, scores);
      gemm(dy, transpose::no, view(v, key, at.columns), transpose::yes, gradient.view(at.rows, at.columns),
           accumulate::no);
      differentiate(at, from.log_sums, dots, scores, gradient);
      const const_matrix p = std::as_const(scores).view(at.rows, at.columns);
      const const_matrix ds = std::as_const(gradient).view(at.rows, at.columns);
      gemm(p, transpose::yes, dy, transpose::no, view(into.v, key, at.columns), after(first == key));
      gemm(ds, transpose::yes, view(q, first, at.rows), transpose::no, view(into.k, key, at.columns),
           after(first == key));
      gemm(ds, transpose::no, view(k, key, at.columns), transpose::no, view(into.q, first, at.rows), after(key == 0));
    }
  }
}

} // namespace troupe
