#include "model/layers/packs.hpp"
#include "tests/support/layer_checks.hpp"

#include <cmath>
#include <limits>

using namespace troupe;

namespace {

constexpr std::int64_t longest = 70;

struct results {
  std::vector<float> exponentials;
  float sum, largest;
  friend bool operator==(const results&, const results&) = default;
};

results compute(const float* values, std::int64_t count) {
  results out{std::vector<float>(static_cast<std::size_t>(count)), sum_packs(values, count), max_packs(values, count)};
  exp_packs(values, out.exponentials.data(), count, 0.7F, 0.1F);
  return out;
}

} // namespace

TEST_CASE("a row gives the same bits at every address") {
  tensor_pool pool;
  const tensor values = test::random_tensor(pool, {longest}, 1);
  tensor shifted = pool.make({longest + 16});
  for (std::int64_t count = 1; count <= longest; ++count) {
    const results expected = compute(values.data(), count);
    for (std::int64_t offset = 1; offset < 16; ++offset) {
      std::copy_n(values.data(), count, shifted.data() + offset);
      REQUIRE(compute(shifted.data() + offset, count) == expected);
    }
  }
}

TEST_CASE("an element's exponential does not depend on its place in the row") {
  tensor_pool pool;
  const tensor values = test::random_tensor(pool, {longest}, 2);
  const results whole = compute(values.data(), longest);
  for (std::int64_t first = 0; first < longest; ++first) {
    const results part = compute(values.data() + first, longest - first);
    REQUIRE(std::equal(part.exponentials.begin(), part.exponentials.end(), whole.exponentials.begin() + first));
  }
}

TEST_CASE("sums, maxima and exponentials are right for every length") {
  tensor_pool pool;
  const tensor values = test::random_tensor(pool, {longest}, 3);
  for (std::int64_t count = 1; count <= longest; ++count) {
    const results found = compute(values.data(), count);
    double sum = 0.0;
    float largest = values.data()[0];
    for (std::int64_t i = 0; i < count; ++i) {
      const float v = values.data()[i];
      sum += static_cast<double>(v);
      largest = std::max(largest, v);
      const double exponential = std::exp(0.7 * static_cast<double>(v) - 0.1);
      REQUIRE(found.exponentials[static_cast<std::size_t>(i)] == Approx(exponential).epsilon(1e-6));
    }
    REQUIRE(found.sum == Approx(sum).margin(1e-5));
    REQUIRE(found.largest == largest);
  }
}

TEST_CASE("exponentials keep a NaN and are never subnormal") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> values(20, -200.0F);
  values[3] = std::numeric_limits<float>::quiet_NaN();
  values[4] = -infinity;
  values[17] = std::numeric_limits<float>::quiet_NaN();
  values[18] = -87.8F;
  exp_packs(values.data(), values.data(), 20, 1.0F, 0.0F);
  REQUIRE(std::isnan(values[3]));
  REQUIRE(std::isnan(values[17]));
  for (const std::size_t i : {0U, 4U, 16U, 18U})
    REQUIRE(values[i] == 0.0F);
}
