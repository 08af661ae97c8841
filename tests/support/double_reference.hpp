// The layers' mathematics once more, in double precision and plain loops with full Jacobians: what the tests compare
// the real layers with. Nothing here is shared with the code under test.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

namespace reference {

/// A row-major matrix of double.
struct matrix {
  std::size_t rows = 0, columns = 0;
  std::vector<double> values = {};

  matrix() = default;
  matrix(std::size_t row_count, std::size_t column_count)
      : rows(row_count), columns(column_count), values(row_count * column_count) {}
  double& operator()(std::size_t row, std::size_t column) { return values[row * columns + column]; }
  double operator()(std::size_t row, std::size_t column) const { return values[row * columns + column]; }
};

inline matrix transposed(const matrix& a) {
  matrix out(a.columns, a.rows);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < a.columns; ++j)
      out(j, i) = a(i, j);
  return out;
}

inline matrix product(const matrix& a, const matrix& b) {
  matrix out(a.rows, b.columns);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t k = 0; k < a.columns; ++k)
      for (std::size_t j = 0; j < b.columns; ++j)
        out(i, j) += a(i, k) * b(k, j);
  return out;
}

inline matrix sum(matrix a, const matrix& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i)
    a.values[i] += b.values[i];
  return a;
}

/// [1, columns]: the sum of the rows.
inline matrix column_sums(const matrix& a) {
  matrix out(1, a.columns);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < a.columns; ++j)
      out(0, j) += a(i, j);
  return out;
}

/// `bias` is one row.
inline matrix linear(const matrix& x, const matrix& weight, const matrix& bias) {
  matrix out = product(x, weight);
  for (std::size_t i = 0; i < out.rows; ++i)
    for (std::size_t j = 0; j < out.columns; ++j)
      out(i, j) += bias(0, j);
  return out;
}

inline matrix gelu(matrix x) {
  const double slope = std::sqrt(2.0 / std::numbers::pi);
  for (double& v : x.values)
    v = 0.5 * v * (1.0 + std::tanh(slope * (v + 0.044715 * v * v * v)));
  return x;
}

inline matrix gelu_backward(const matrix& x, matrix dy) {
  const double slope = std::sqrt(2.0 / std::numbers::pi);
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const double v = x.values[i];
    const double cosh = std::cosh(slope * (v + 0.044715 * v * v * v));
    const double cdf = 0.5 * (1.0 + std::tanh(slope * (v + 0.044715 * v * v * v)));
    dy.values[i] *= cdf + 0.5 * v / (cosh * cosh) * slope * (1.0 + 3.0 * 0.044715 * v * v);
  }
  return dy;
}

/// A row's mean and 1 / standard deviation.
inline std::pair<double, double> moments(const matrix& x, std::size_t row) {
  double mean = 0.0;
  for (std::size_t j = 0; j < x.columns; ++j)
    mean += x(row, j) / static_cast<double>(x.columns);
  double variance = 0.0;
  for (std::size_t j = 0; j < x.columns; ++j)
    variance += (x(row, j) - mean) * (x(row, j) - mean) / static_cast<double>(x.columns);
  return {mean, 1.0 / std::sqrt(variance + 1e-5)};
}

inline matrix normalised(const matrix& x) {
  matrix out(x.rows, x.columns);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const auto [mean, scale] = moments(x, i);
    for (std::size_t j = 0; j < x.columns; ++j)
      out(i, j) = (x(i, j) - mean) * scale;
  }
  return out;
}

inline matrix layer_norm(const matrix& x, const matrix& gamma, const matrix& beta) {
  matrix out = normalised(x);
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.columns; ++j)
      out(i, j) = out(i, j) * gamma(0, j) + beta(0, j);
  return out;
}

struct layer_norm_gradients {
  matrix x, gamma, beta;
};

/// With the whole Jacobian of a row: dn_i / dx_j = scale * (i == j) - scale / C - scale * n_i n_j / C.
inline layer_norm_gradients layer_norm_backward(const matrix& x, const matrix& gamma, const matrix& dy) {
  const matrix n = normalised(x);
  const auto width = static_cast<double>(x.columns);
  layer_norm_gradients out{matrix(x.rows, x.columns), matrix(1, x.columns), column_sums(dy)};
  for (std::size_t r = 0; r < x.rows; ++r) {
    const double scale = moments(x, r).second;
    for (std::size_t i = 0; i < x.columns; ++i) {
      out.gamma(0, i) += dy(r, i) * n(r, i);
      for (std::size_t j = 0; j < x.columns; ++j)
        out.x(r, j) += dy(r, i) * gamma(0, i) * scale * ((i == j ? 1.0 : 0.0) - (1.0 + n(r, i) * n(r, j)) / width);
    }
  }
  return out;
}

/// Attention over one sequence. `masks`, if given, holds one T x T matrix of dropout factors for each head.
struct attention_problem {
  matrix q, k, v; ///< [T, C] each
  std::size_t heads = 1;
  std::vector<matrix> masks = {};

  std::size_t width() const { return q.columns / heads; }
  double factor(std::size_t head, std::size_t i, std::size_t j) const {
    return masks.empty() ? 1.0 : masks[head](i, j);
  }
};

/// [T, T]: the probabilities of one head, by a full softmax.
inline matrix probabilities(const attention_problem& on, std::size_t head) {
  const std::size_t T = on.q.rows;
  const std::size_t d = on.width();
  matrix p(T, T);
  for (std::size_t i = 0; i < T; ++i) {
    double total = 0.0;
    for (std::size_t j = 0; j <= i; ++j) {
      double score = 0.0;
      for (std::size_t c = head * d; c < (head + 1) * d; ++c)
        score += on.q(i, c) * on.k(j, c);
      p(i, j) = std::exp(score / std::sqrt(static_cast<double>(d)));
      total += p(i, j);
    }
    for (std::size_t j = 0; j <= i; ++j)
      p(i, j) /= total;
  }
  return p;
}

inline matrix attention(const attention_problem& on) {
  matrix out(on.q.rows, on.q.columns);
  for (std::size_t head = 0; head < on.heads; ++head) {
    const matrix p = probabilities(on, head);
    for (std::size_t i = 0; i < p.rows; ++i)
      for (std::size_t j = 0; j <= i; ++j)
        for (std::size_t c = head * on.width(); c < (head + 1) * on.width(); ++c)
          out(i, c) += p(i, j) * on.factor(head, i, j) * on.v(j, c);
  }
  return out;
}

struct attention_gradients {
  matrix q, k, v;
};

/// With the whole Jacobian of a row's softmax: dp_a / ds_b = p_a * ((a == b) - p_b).
inline attention_gradients attention_backward(const attention_problem& on, const matrix& dy) {
  const std::size_t T = on.q.rows;
  const std::size_t C = on.q.columns;
  attention_gradients out{matrix(T, C), matrix(T, C), matrix(T, C)};
  for (std::size_t head = 0; head < on.heads; ++head) {
    const matrix p = probabilities(on, head);
    const std::size_t begin = head * on.width();
    const std::size_t end = begin + on.width();
    for (std::size_t i = 0; i < T; ++i) {
      std::vector<double> dp(i + 1);
      for (std::size_t j = 0; j <= i; ++j)
        for (std::size_t c = begin; c < end; ++c) {
          dp[j] += dy(i, c) * on.v(j, c) * on.factor(head, i, j);
          out.v(j, c) += p(i, j) * on.factor(head, i, j) * dy(i, c);
        }
      for (std::size_t b = 0; b <= i; ++b) {
        double ds = 0.0;
        for (std::size_t a = 0; a <= i; ++a)
          ds += dp[a] * p(i, a) * ((a == b ? 1.0 : 0.0) - p(i, b));
        ds /= std::sqrt(static_cast<double>(on.width()));
        for (std::size_t c = begin; c < end; ++c) {
          out.q(i, c) += ds * on.k(b, c);
          out.k(b, c) += ds * on.q(i, c);
        }
      }
    }
  }
  return out;
}

/// Splits [T, 3C] into q, k and v.
inline attention_problem split_heads(const matrix& qkv, std::size_t heads) {
  const std::size_t C = qkv.columns / 3;
  attention_problem out{matrix(qkv.rows, C), matrix(qkv.rows, C), matrix(qkv.rows, C), heads};
  for (std::size_t i = 0; i < qkv.rows; ++i)
    for (std::size_t c = 0; c < C; ++c) {
      out.q(i, c) = qkv(i, c);
      out.k(i, c) = qkv(i, C + c);
      out.v(i, c) = qkv(i, 2 * C + c);
    }
  return out;
}

/// Rows first .. first + count - 1.
inline matrix slice_rows(const matrix& a, std::size_t first, std::size_t count) {
  matrix out(count, a.columns);
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < a.columns; ++j)
      out(i, j) = a(first + i, j);
  return out;
}

/// softmax of each row
inline matrix softmax(const matrix& logits) {
  matrix out(logits.rows, logits.columns);
  for (std::size_t i = 0; i < logits.rows; ++i) {
    double largest = logits(i, 0);
    for (std::size_t j = 0; j < logits.columns; ++j)
      largest = std::max(largest, logits(i, j));
    double total = 0.0;
    for (std::size_t j = 0; j < logits.columns; ++j)
      total += std::exp(logits(i, j) - largest);
    for (std::size_t j = 0; j < logits.columns; ++j)
      out(i, j) = std::exp(logits(i, j) - largest) / total;
  }
  return out;
}

inline double cross_entropy(const matrix& logits, std::span<const std::int32_t> targets) {
  const matrix p = softmax(logits);
  double loss = 0.0;
  for (std::size_t i = 0; i < logits.rows; ++i)
    loss -= std::log(p(i, static_cast<std::size_t>(targets[i]))) / static_cast<double>(logits.rows);
  return loss;
}

} // namespace reference
