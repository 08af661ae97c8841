#include "model/random.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cmath>
#include <numbers>
#include <set>
#include <vector>

using namespace troupe;

namespace {

random_stream stream_of(const std::array<std::uint64_t, 2>& key, const std::array<std::uint64_t, 4>& counter) {
  return {.seed = key[0], .purpose = random_purpose{key[1]}, .x = counter[1], .y = counter[2], .z = counter[3]};
}

std::vector<float> normals(const random_stream& stream, std::size_t size, double standard_deviation = 1.0) {
  std::vector<float> drawn(size);
  fill_normal(drawn, stream, standard_deviation);
  return drawn;
}

} // namespace

TEST_CASE("the generator gives the known answers of Random123 for Philox4x64-10") {
  struct known_answer {
    std::array<std::uint64_t, 4> counter;
    std::array<std::uint64_t, 2> key;
    std::array<std::uint64_t, 4> result;
  };
  constexpr std::uint64_t ones = ~std::uint64_t{0};
  // tests/kat_vectors of Random123; the third takes the digits of pi.
  const std::vector<known_answer> answers = {
      {{0, 0, 0, 0}, {0, 0}, {0x16554d9eca36314c, 0xdb20fe9d672d0fdc, 0xd7e772cee186176b, 0x7e68b68aec7ba23b}},
      {{ones, ones, ones, ones},
       {ones, ones},
       {0x87b092c3013fe90b, 0x438c3c67be8d0224, 0x9cc7d7c69cd777b6, 0xa09caebf594f0ba0}},
      {{0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89},
       {0x452821e638d01377, 0xbe5466cf34e90c6c},
       {0xa528f45403e61d95, 0x38c72dbd566e9788, 0xa5a1610e72fd18b5, 0x57bd43b5e52b7fe6}}};
  for (const known_answer& answer : answers) {
    const auto words = stream_of(answer.key, answer.counter).words(answer.counter[0]);
    for (std::size_t i = 0; i < 4; ++i)
      CHECK((words[2 * i] | std::uint64_t{words[2 * i + 1]} << 32U) == answer.result[i]);
  }
}

TEST_CASE("the words of a stream are numbered through all blocks") {
  const random_stream stream{.seed = 7, .purpose = random_purpose::data, .x = 1, .y = 2, .z = 3};
  for (std::uint64_t index = 0; index < 20; ++index) {
    const auto words = stream.words(index / 4);
    const std::uint64_t expected = words[index % 4 * 2] | std::uint64_t{words[index % 4 * 2 + 1]} << 32U;
    CHECK(stream.word64(index) == expected);
    CHECK(stream.uniform(index) == std::ldexp(static_cast<double>(expected >> 11U), -53));
  }
}

TEST_CASE("a number does not depend on what was drawn before it") {
  const random_stream stream{.seed = 11, .purpose = random_purpose::sampling};
  std::vector<std::uint64_t> upwards(50), downwards(50);
  for (std::size_t i = 0; i < 50; ++i)
    upwards[i] = stream.word64(i);
  for (std::size_t i = 50; i-- > 0;)
    downwards[i] = stream.word64(i);
  CHECK(upwards == downwards);
}

TEST_CASE("a normal value does not depend on how many are drawn") {
  const random_stream stream{.seed = 5, .x = 9};
  const std::vector<float> all = normals(stream, 100);
  for (const std::size_t size : {0U, 1U, 2U, 3U, 5U, 99U})
    CHECK(normals(stream, size) == std::vector<float>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size)));
}

TEST_CASE("normal values 2n and 2n+1 are the Box-Muller pair of the stream's words 2n and 2n+1") {
  const random_stream stream{.seed = 21, .x = 1, .y = 2};
  const std::vector<float> drawn = normals(stream, 10, 0.5);
  for (std::size_t i = 0; i < 10; i += 2) {
    const double radius = 0.5 * std::sqrt(-2.0 * std::log(1.0 - stream.uniform(i)));
    const double angle = 2.0 * std::numbers::pi * stream.uniform(i + 1);
    CHECK(drawn[i] == Approx(radius * std::cos(angle)).epsilon(1e-6));
    CHECK(drawn[i + 1] == Approx(radius * std::sin(angle)).epsilon(1e-6));
  }
}

TEST_CASE("normal values have the moments of the normal distribution") {
  constexpr std::size_t count = 400000;
  const std::vector<float> drawn = normals({.seed = 3}, count, 2.0);
  double mean = 0.0, square = 0.0, cube = 0.0, fourth = 0.0, within_one = 0.0, lagged = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(drawn[i]) / 2.0;
    mean += x / count;
    square += x * x / count;
    cube += x * x * x / count;
    fourth += x * x * x * x / count;
    within_one += (std::abs(x) < 1.0 ? 1.0 : 0.0) / count;
    if (i > 0)
      lagged += x * static_cast<double>(drawn[i - 1]) / 2.0 / count;
  }
  // Five standard errors of each estimate: sqrt(1, 2, 15, 96, 0.217, 1 over count).
  CHECK(mean == Approx(0.0).margin(0.008));
  CHECK(square == Approx(1.0).margin(0.0112));
  CHECK(cube == Approx(0.0).margin(0.031));
  CHECK(fourth == Approx(3.0).margin(0.078));
  CHECK(within_one == Approx(0.6827).margin(0.0037));
  CHECK(lagged == Approx(0.0).margin(0.008));
}

TEST_CASE("uniform values fill the unit interval evenly") {
  const random_stream stream{.seed = 1, .purpose = random_purpose::dropout};
  constexpr std::size_t count = 100000;
  std::array<int, 10> bins{};
  for (std::uint64_t i = 0; i < count; ++i) {
    const double u = stream.uniform(i);
    REQUIRE((u >= 0.0 && u < 1.0));
    ++bins[static_cast<std::size_t>(u * 10.0)];
  }
  for (const int in_bin : bins) // five standard deviations of a binomial count
    CHECK(std::abs(in_bin - 10000) < 475);
}

TEST_CASE("streams that differ in seed, purpose or any coordinate share no number") {
  const random_stream base{.seed = 1, .purpose = random_purpose::weights, .x = 1, .y = 1, .z = 1};
  std::vector<random_stream> streams(6, base);
  streams[1].seed = 2;
  streams[2].purpose = random_purpose::dropout;
  streams[3].x = 2;
  streams[4].y = 2;
  streams[5].z = 2;
  std::set<std::uint64_t> seen;
  for (const random_stream& stream : streams)
    for (std::uint64_t i = 0; i < 1000; ++i)
      seen.insert(stream.word64(i));
  CHECK(seen.size() == 6000);
}
