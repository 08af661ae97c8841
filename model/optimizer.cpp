#include "model/optimizer.hpp"

#include "model/error.hpp"
#include "model/optimizers/adamw.hpp"
#include "model/optimizers/sgd.hpp"

#include <array>
#include <cmath>

namespace troupe {

namespace {

// Part of the arithmetic: another number of lanes gives other bits.
constexpr std::int64_t lanes = 16;

} // namespace

double sum_of_squares(const tensor& gradient) {
  const float* g = gradient.data();
  const std::int64_t size = gradient.size();
  const std::int64_t whole = size / lanes * lanes;
  // A float's square is exact in double, so it makes no difference whether the compiler fuses the multiply and the add.
  std::array<double, lanes> partial{};
  for (std::int64_t i = 0; i < whole; i += lanes)
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const auto x = static_cast<double>(g[i + lane]);
      partial[static_cast<std::size_t>(lane)] += x * x;
    }
  for (std::int64_t i = whole; i < size; ++i) {
    const auto x = static_cast<double>(g[i]);
    partial[static_cast<std::size_t>(i - whole)] += x * x;
  }
  double total = 0.0;
  for (const double one : partial)
    total += one;
  return total;
}

// PyTorch's clip_grad_norm_ scales by clip / (norm + 1e-6), which leaves the norm a little below clip; here the clipped
// norm is clip itself.
clip_decision clip_gradients(std::span<const double> squares, double clip) {
  double total = 0.0;
  for (const double one : squares)
    total += one;
  const double norm = std::sqrt(total);
  return {.norm = norm, .scale = clip > 0.0 && norm > clip ? clip / norm : 1.0};
}

std::unique_ptr<optimizer> make_optimizer(const optimizer_spec& spec) {
  if (spec.kind == "adamw")
    return std::make_unique<adamw>(spec);
  if (spec.kind == "sgd")
    return std::make_unique<sgd>(spec);
  throw spec_error("optimizer.kind: found '" + spec.kind + "', expected adamw or sgd");
}

} // namespace troupe
