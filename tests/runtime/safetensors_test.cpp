#include "model/error.hpp"
#include "runtime/digest.hpp"
#include "runtime/safetensors.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/scratch_directory.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <bit>
#include <cstring>
#include <sys/stat.h>
#include <utility>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;

namespace {

tensor make(tensor_pool& pool, const shape& extents, std::vector<float> values) {
  tensor made = pool.make(extents);
  std::ranges::copy(values, made.data());
  return made;
}

/// A file by hand: eight bytes of length, the header, the data.
std::string file_bytes(const std::string& header, const std::string& data = {}) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8)
    bytes += static_cast<char>(header.size() >> shift);
  return bytes + header + data;
}

std::string refusal_of(const std::string& bytes) {
  const scratch_directory scratch;
  write_bytes(scratch / "x.safetensors", bytes);
  std::string text = error_text<checkpoint_error>([&] { safetensors_file(scratch / "x.safetensors"); });
  CHECK_THAT(text, Catch::StartsWith((scratch / "x.safetensors").string() + ": "));
  CHECK(text.find('\n') == std::string::npos);
  return text;
}

std::string one_tensor(const std::string& fields) {
  return R"({"a":{)" + fields + "}}";
}

/// A second reader of the format, from its description, that shares nothing with ours.
std::vector<float> read_independently(const std::string& bytes, const std::string& name) {
  std::size_t header_size = 0;
  for (int at = 7; at >= 0; --at)
    header_size = header_size * 256 + static_cast<unsigned char>(bytes[static_cast<std::size_t>(at)]);
  const nlohmann::json entry = nlohmann::json::parse(bytes.substr(8, header_size)).at(name);
  const std::size_t begin = entry.at("data_offsets").at(0);
  const std::size_t end = entry.at("data_offsets").at(1);
  std::vector<float> values;
  for (std::size_t at = 8 + header_size + begin; at < 8 + header_size + end; at += 4) {
    std::uint32_t bits = 0;
    for (std::size_t byte = 0; byte < 4; ++byte)
      bits |= std::uint32_t{static_cast<unsigned char>(bytes[at + byte])} << (8 * byte);
    values.push_back(std::bit_cast<float>(bits));
  }
  return values;
}

} // namespace

TEST_CASE("a safetensors file is the format to the byte") {
  const scratch_directory scratch;
  tensor_pool pool;
  const std::vector<named_tensor> tensors = {{"b", make(pool, {2}, {1.0F, -2.0F})}, {"a", make(pool, {1, 1}, {0.5F})}};
  const written_file written = write_safetensors(scratch / "x.safetensors", tensors, {{"format", "pt"}});

  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}}   )";
  REQUIRE(header.size() % 8 == 0);
  const std::string data("\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x00\x00\x3f", 12);
  const std::string expected = file_bytes(header, data);
  CHECK(read_bytes(scratch / "x.safetensors") == expected);
  CHECK(written.bytes == expected.size());
  CHECK(written.sha256 == to_hex(sha256(std::as_bytes(std::span(expected)))));
}

TEST_CASE("what is written is read back to the bit, names, shapes and metadata included") {
  const scratch_directory scratch;
  tensor_pool pool;
  const auto nan = std::bit_cast<float>(0x7fc01234U);
  const std::vector<named_tensor> tensors = {
      {"odd \"name\"", make(pool, {2, 1, 3}, {-0.0F, nan, 1e-45F, 3.4e38F, 0.1F, 1.0F})},
      {"nothing", make(pool, {0, 7}, {})},
      {"four", make(pool, {1, 2, 1, 1}, {5.0F, 6.0F})}};
  write_safetensors(scratch / "x.safetensors", tensors, {{"k", "v\n"}});

  const safetensors_file file(scratch / "x.safetensors");
  CHECK(file.metadata() == std::map<std::string, std::string>{{"k", "v\n"}});
  REQUIRE(file.entries().size() == 3);
  for (const named_tensor& one : tensors) {
    tensor read = pool.make_filled(one.values.extents(), -1.0F);
    file.read(one.name, read);
    CHECK(std::memcmp(read.data(), one.values.data(), read.bytes()) == 0);
  }
}

TEST_CASE("an independent reader finds the same numbers") {
  const scratch_directory scratch;
  tensor_pool pool;
  write_safetensors(scratch / "x.safetensors",
                    {{"w", make(pool, {2, 2}, {1.5F, 0.1F, -3.0F, 1e-30F})}, {"v", make(pool, {1}, {7.0F})}}, {});
  const std::string bytes = read_bytes(scratch / "x.safetensors");
  CHECK(read_independently(bytes, "w") == std::vector{1.5F, 0.1F, -3.0F, 1e-30F});
  CHECK(read_independently(bytes, "v") == std::vector{7.0F});
}

TEST_CASE("tensors of another writer may come in any order of the header") {
  const scratch_directory scratch;
  tensor_pool pool;
  write_bytes(scratch / "x.safetensors", file_bytes(R"({"z":{"shape":[1],"data_offsets":[4,8],"dtype":"F32"},)"
                                                    R"("y":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}}   )",
                                                    std::string("\x00\x00\x80\x3f\x00\x00\x00\x40", 8)));
  tensor out = pool.make({1});
  const safetensors_file file(scratch / "x.safetensors");
  file.read("z", out);
  CHECK(*out.data() == 2.0F);
  file.read("y", out);
  CHECK(*out.data() == 1.0F);
}

TEST_CASE("a tensor that is missing or of another shape is refused with both shapes") {
  const scratch_directory scratch;
  tensor_pool pool;
  write_safetensors(scratch / "x.safetensors", {{"w", make(pool, {1, 2}, {1.0F, 2.0F})}}, {});
  const safetensors_file file(scratch / "x.safetensors");
  tensor out = pool.make({2});
  CHECK_THAT(error_text<checkpoint_error>([&] { file.read("w", out); }),
             Contains("tensor \"w\": found shape [1, 2], expected [2]"));
  CHECK_THAT(error_text<checkpoint_error>([&] { file.read("v", out); }),
             Contains("tensor \"v\": found no such tensor in the file, expected shape [2]"));
}

TEST_CASE("a file that shrinks after it was opened is refused") {
  const scratch_directory scratch;
  tensor_pool pool;
  write_safetensors(scratch / "x.safetensors", {{"w", make(pool, {2}, {1.0F, 2.0F})}}, {});
  const safetensors_file file(scratch / "x.safetensors");
  std::filesystem::resize_file(scratch / "x.safetensors", file.entries()[0].offset + 4);
  tensor out = pool.make({2});
  CHECK_THAT(error_text<checkpoint_error>([&] { file.read("w", out); }), Contains("expected 4 more bytes"));
}

TEST_CASE("each kind of malformed safetensors header is refused with its own message") {
  const std::string four(4, '\0');
  const std::string fine = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "found 0 bytes, expected at least 8"},
      {"1234567", "found 7 bytes, expected at least 8"},
      {std::string("\x00\xe1\xf5\x05\x00\x00\x00\x00", 8) + "{}",
       "header length: found 100000000, expected at most the 2"},
      {std::string("\x01\xe1\xf5\x05\x00\x00\x00\x00", 8) + "{}",
       "header length: found 100000001, expected at most 100000000"},
      {std::string(8, '\xff') + "{}", "header length: found 18446744073709551615, expected at most 100000000"},
      {file_bytes(""), "header: found no valid JSON at byte 1"},
      {file_bytes("{"), "header: found no valid JSON at byte 2"},
      {file_bytes("{}x"), "header: found no valid JSON at byte 3"},
      {file_bytes("[1]"), "header: found \"[1]\", expected a JSON object"},
      {file_bytes(R"({"a":)" + std::string(100000, '[')), "nested too deeply"},
      {file_bytes(R"({"a":{)" + fine + R"(},"a":{)" + fine + "}}", four), "header: found key \"a\" twice"},
      {file_bytes(one_tensor(fine + R"(,"dtype":"F32")"), four), "header: found key \"dtype\" twice"},
      {file_bytes(R"({"__metadata__":[]})"), "__metadata__: found \"[]\", expected an object of strings"},
      {file_bytes(R"({"__metadata__":{"k":1}})"), "__metadata__ \"k\": found \"1\", expected a string"},
      {file_bytes(R"({"a":3})"), "tensor \"a\": found \"3\", expected an object of dtype, shape and data_offsets"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[1])"), four),
       "expected an object of dtype, shape and data_offsets"},
      {file_bytes(one_tensor(fine + R"(,"more":1)"), four), "expected an object of dtype, shape and data_offsets"},
      {file_bytes(one_tensor(R"("dtype":"BF16","shape":[2],"data_offsets":[0,4])"), four),
       R"(tensor "a": dtype: found ""BF16"", expected "F32")"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[],"data_offsets":[0,4])"), four), "expected a list of 1 to 4"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[1,1,1,1,1],"data_offsets":[0,4])"), four),
       "shape: found \"[1,1,1,1,1]\", expected a list of 1 to 4"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), four),
       "found \"[-1]\", expected whole"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])"), four), "expected whole extents"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":["1"],"data_offsets":[0,4])"), four), "expected whole extents"},
      // 2^64 + 1: in 64 bits the product is 1.
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[274177,67280421310721],"data_offsets":[0,4])"), four),
       "at most 2^40 elements"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[1099511627776,2],"data_offsets":[0,4])"), four), "at most 2^40"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), four), "expected [begin, end]"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), four), "expected [begin, end]"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[-4,0])"), four), "expected [begin, end]"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), four),
       "found 4 bytes, expected 8 for shape [2]"},
      {file_bytes(one_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), four + four),
       "found begin 4, expected 0"},
      {file_bytes(R"({"a":{)" + fine + R"(},"b":{)" + fine + "}}", four),
       "tensor \"b\": data_offsets: found begin 0, expected 4"},
      {file_bytes(one_tensor(fine)), "found end 4, expected at most the 0 bytes of data"},
      {file_bytes(one_tensor(fine), four + "x"), "found 5 bytes of data, expected 4 for all tensors"},
      {file_bytes("{\"a\\nb\":1}"), "tensor \"a?b\": found"}};
  for (const auto& [bytes, message] : cases) {
    INFO(message);
    CHECK_THAT(refusal_of(bytes), Contains(message));
  }
}

TEST_CASE("a directory or a pipe in the place of a safetensors file is refused at once") {
  const scratch_directory scratch;
  REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
  CHECK_THAT(error_text<checkpoint_error>([&] { safetensors_file{scratch / "pipe"}; }),
             Contains("expected a regular file"));
  CHECK_THAT(error_text<checkpoint_error>([&] { safetensors_file{scratch / "."}; }),
             Contains("expected a regular file"));
  CHECK_THAT(error_text<checkpoint_error>([&] { safetensors_file{scratch / "none"}; }),
             Contains("none: No such file or directory"));
}

TEST_CASE("a safetensors file that cannot be created names path and reason") {
  CHECK_THAT(error_text<checkpoint_error>([&] { write_safetensors("/nowhere/x.safetensors", {}, {}); }),
             Contains("/nowhere/x.safetensors: cannot create: No such file or directory"));
}
