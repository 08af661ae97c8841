#include "model/error.hpp"
#include "model/random.hpp"
#include "runtime/data.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/scratch_directory.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <sys/stat.h>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;

namespace {

using tokens = std::vector<std::int32_t>;

/// T = 4, B = 3, over a file of `size` bytes, half of it held out. Validation: 2 microbatches.
run_spec small_spec(const scratch_directory& scratch, const std::string& content) {
  write_bytes(scratch / "data", content);
  run_spec spec;
  spec.model.sequence_length = 4;
  spec.data.path = (scratch / "data").string();
  spec.data.validation_fraction = 0.5;
  spec.training.microbatch_size = 3;
  spec.training.seed = 11;
  spec.validation = {.every = 1, .microbatches = 2};
  return spec;
}

/// Byte i is i modulo 256, so that a token tells where it came from.
std::string counting(std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i)
    bytes += static_cast<char>(i);
  return bytes;
}

/// "a b" as little-endian uint16.
std::string little_endian(const tokens& values) {
  std::string bytes;
  for (const std::int32_t value : values) {
    bytes += static_cast<char>(value & 0xff);
    bytes += static_cast<char>(value >> 8);
  }
  return bytes;
}

tokens row(const token_block& block, std::size_t index, std::size_t columns) {
  const auto start = block->begin() + static_cast<std::ptrdiff_t>(index * columns);
  return {start, start + static_cast<std::ptrdiff_t>(columns)};
}

tokens from(std::int32_t start, std::size_t count) {
  tokens result;
  for (std::size_t i = 0; i < count; ++i)
    result.push_back(start + static_cast<std::int32_t>(i));
  return result;
}

std::string refusal(const run_spec& spec) {
  return error_text<data_error>([&] { file_data(spec, spec.model.sequence_length); });
}

} // namespace

TEST_CASE("a training window starts at the drawn word's share of the possible starts") {
  const scratch_directory scratch;
  const run_spec spec = small_spec(scratch, counting(200));
  const file_data data(spec, 4);
  REQUIRE(data.training_tokens() == 100);
  const microbatch_data found = data.sample({.step = 7}, 2);
  REQUIRE(found.tokens->size() == 12);
  for (std::size_t b = 0; b < 3; ++b) {
    // In long double: 64 bits of mantissa hold the word exactly. Windows of 5 tokens in 100 start at 0..95.
    const random_stream drawn{.seed = 11, .purpose = random_purpose::data, .x = 7, .y = 2};
    const long double share = static_cast<long double>(drawn.word64(b)) / std::ldexp(1.0L, 64);
    const auto start = static_cast<std::int32_t>(std::floor(share * 96.0L));
    CHECK(row(found.tokens, b, 4) == from(start, 4));
    CHECK(row(found.targets, b, 4) == from(start + 1, 4));
  }
}

TEST_CASE("a model that predicts once a sequence gets the token after each window") {
  const scratch_directory scratch;
  const run_spec spec = small_spec(scratch, counting(200));
  const microbatch_data every = file_data(spec, 4).sample({.step = 1}, 0);
  const microbatch_data once = file_data(spec, 1).sample({.step = 1}, 0);
  CHECK(*once.tokens == *every.tokens);
  CHECK(*once.targets == tokens{every.targets->at(3), every.targets->at(7), every.targets->at(11)});
}

TEST_CASE("training windows depend on seed, step and microbatch, and on nothing else") {
  const scratch_directory scratch;
  run_spec spec = small_spec(scratch, counting(250));
  const auto sampled = [&](std::uint64_t step, std::uint32_t microbatch) {
    return *file_data(spec, 4).sample({.step = step}, microbatch).tokens;
  };
  const tokens first = sampled(3, 1);
  CHECK(sampled(3, 1) == first);
  CHECK(sampled(4, 1) != first);
  CHECK(sampled(3, 2) != first);
  spec.training.microbatches = 99;
  spec.pipeline.stages = 4;
  CHECK(sampled(3, 1) == first);
  spec.training.seed = 12;
  CHECK(sampled(3, 1) != first);
}

TEST_CASE("no held-out token is ever in a training window, and each possible start is drawn") {
  const scratch_directory scratch;
  run_spec spec = small_spec(scratch, counting(40)); // 20 for training: windows start at 0..15
  const file_data data(spec, 4);
  std::set<std::int32_t> starts;
  for (std::uint64_t step = 0; step < 200; ++step) {
    const microbatch_data found = data.sample({.step = step}, 0);
    for (std::size_t b = 0; b < 3; ++b) {
      REQUIRE(found.targets->at(4 * b + 3) < 20);
      starts.insert(found.tokens->at(4 * b));
    }
  }
  CHECK(starts.size() == 16);
  CHECK(*starts.begin() == 0);
  CHECK(*starts.rbegin() == 15);
}

TEST_CASE("validation windows are spread evenly over the held-out end, the same at each step") {
  const scratch_directory scratch;
  const run_spec spec = small_spec(scratch, counting(80)); // 40 held out, from token 40: 36 starts for 6 windows
  const file_data data(spec, 4);
  CHECK(data.training_tokens() == 40);
  CHECK(data.validation_tokens() == 40);
  for (const std::uint64_t step : {0U, 5U}) {
    const step_id at{.step = step, .mode = pass_mode::evaluate};
    for (std::uint32_t m = 0; m < 2; ++m)
      for (std::size_t b = 0; b < 3; ++b) {
        const auto start = static_cast<std::int32_t>(40 + 6 * (3 * std::size_t{m} + b));
        CHECK(row(data.sample(at, m).tokens, b, 4) == from(start, 4));
        CHECK(row(data.sample(at, m).targets, b, 4) == from(start + 1, 4));
      }
  }
}

TEST_CASE("uint16 tokens are read low byte first") {
  const scratch_directory scratch;
  run_spec spec = small_spec(scratch, little_endian({0x0102, 0x0304, 0xff00, 0x00ff, 0xfffe}));
  spec.data.tokens = token_format::uint16;
  spec.data.validation_fraction = 0.0;
  spec.validation.every = 0;
  spec.model.vocabulary = 65536;
  const microbatch_data found = file_data(spec, 4).sample({}, 0); // one possible start
  CHECK(row(found.tokens, 0, 4) == tokens{0x0102, 0x0304, 0xff00, 0x00ff});
  CHECK(row(found.targets, 2, 4) == tokens{0x0304, 0xff00, 0x00ff, 0xfffe});
}

TEST_CASE("a token beyond the vocabulary is refused with its place") {
  const scratch_directory scratch;
  run_spec spec = small_spec(scratch, little_endian({1, 2, 500, 3, 4}));
  spec.data.tokens = token_format::uint16;
  spec.data.validation_fraction = 0.0;
  spec.validation.every = 0;
  spec.model.vocabulary = 501;
  CHECK_NOTHROW(file_data(spec, 4).sample({}, 0));
  spec.model.vocabulary = 500;
  const file_data data(spec, 4);
  CHECK(error_text<data_error>([&] { data.sample({}, 0); }) ==
        spec.data.path + ": token 2 is 500, expected less than model.vocabulary (500)");
}

TEST_CASE("a part that holds no window is refused, and one window is enough") {
  const scratch_directory scratch;
  CHECK(refusal(small_spec(scratch, counting(10))).empty());
  CHECK_THAT(refusal(small_spec(scratch, counting(9))),
             Contains("found 4 tokens held out for validation, expected at least 5 (model.sequence_length + 1)"));
  run_spec spec = small_spec(scratch, counting(9));
  spec.validation.every = 0;
  CHECK(refusal(spec).empty());
  spec = small_spec(scratch, counting(8));
  CHECK_THAT(refusal(spec), Contains("found 4 tokens for training, expected at least 5"));
}

TEST_CASE("what is no file of tokens is refused by its path") {
  const scratch_directory scratch;
  run_spec spec = small_spec(scratch, "");
  CHECK(refusal(spec) == spec.data.path + ": found an empty file, expected tokens");
  spec = small_spec(scratch, counting(41));
  spec.data.tokens = token_format::uint16;
  CHECK_THAT(refusal(spec), Contains("found 41 bytes, expected an even number"));
  spec.data.path = (scratch / "missing").string();
  CHECK_THAT(refusal(spec), Contains("missing: No such file or directory"));
  spec.data.path = scratch.path().string();
  CHECK_THAT(refusal(spec), Contains("found a directory, expected a regular file"));
  spec.data.path = "/dev/zero";
  CHECK_THAT(refusal(spec), Contains("/dev/zero: found a device"));
  REQUIRE(::mkfifo((scratch / "fifo").c_str(), 0600) == 0);
  spec.data.path = (scratch / "fifo").string();
  CHECK_THAT(refusal(spec), Contains("found a FIFO"));
}
