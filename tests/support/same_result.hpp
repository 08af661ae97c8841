// What "the same result" means: equal bits of weights, optimizer state, losses, norms and validation losses.
#pragma once

#include "runtime/report.hpp"

#include <catch2/catch.hpp>

#include <bit>
#include <cstdint>
#include <vector>

namespace troupe::test {

inline std::vector<std::uint64_t> bits_of(const std::vector<double>& values) {
  std::vector<std::uint64_t> bits;
  bits.reserve(values.size());
  for (const double value : values)
    bits.push_back(std::bit_cast<std::uint64_t>(value));
  return bits;
}

inline std::vector<double> validation_losses(const run_report& report) {
  std::vector<double> losses;
  for (const validation_point& point : report.validations)
    losses.push_back(point.loss);
  return losses;
}

inline void check_same_result(const run_report& found, const run_report& expected) {
  CHECK(found.weights_sha256 == expected.weights_sha256);
  CHECK(found.optimizer_sha256 == expected.optimizer_sha256);
  CHECK(bits_of(found.losses) == bits_of(expected.losses));
  CHECK(bits_of(found.gradient_norms) == bits_of(expected.gradient_norms));
  CHECK(bits_of(validation_losses(found)) == bits_of(validation_losses(expected)));
}

} // namespace troupe::test
