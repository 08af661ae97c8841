#include "runtime/digest.hpp"

#include <catch2/catch.hpp>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

using namespace troupe;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string raw_sha256(const std::string& bytes) {
  const std::vector<unsigned char> message(bytes.begin(), bytes.end());
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(message.data(), message.size(), digest.data());
  return {digest.begin(), digest.end()};
}

std::string hex(const std::string& raw) {
  sha256_digest digest{};
  std::memcpy(digest.data(), raw.data(), digest.size());
  return to_hex(digest);
}

tensor make(tensor_pool& pool, std::vector<float> values) {
  tensor made = pool.make({static_cast<std::int64_t>(values.size())});
  std::ranges::copy(values, made.data());
  return made;
}

} // namespace

TEST_CASE("SHA-256 gives the known answers of FIPS 180-4") {
  CHECK(to_hex(sha256(bytes_of("abc"))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(sha256({})) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("pieces hash as the whole does") {
  sha256_stream stream;
  stream.add(bytes_of("a"));
  stream.add({});
  stream.add(bytes_of("bc"));
  CHECK(to_hex(stream.finish()) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("a parameter's digests cover its little-endian floats, the state tensors one after the other") {
  tensor_pool pool;
  const std::vector<tensor> state = {make(pool, {1.0F}), make(pool, {-2.0F})};
  const parameter_digest digest = digest_of("w", make(pool, {0.5F, 1.0F}), state);
  CHECK(digest.name == "w");
  CHECK(to_hex(digest.weights) == hex(raw_sha256(std::string("\x00\x00\x00\x3f\x00\x00\x80\x3f", 8))));
  CHECK(to_hex(digest.state) == hex(raw_sha256(std::string("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8))));
}

TEST_CASE("the run's hash is that of all digests in layer order, whatever order they come in") {
  tensor_pool pool;
  const auto parameter = [&](float value) {
    return digest_of("p", make(pool, {value}), std::vector<tensor>{make(pool, {value + 100.0F})});
  };
  const std::vector<layer_digests> layers = {{.layer = 0, .parameters = {parameter(1.0F), parameter(2.0F)}},
                                             {.layer = 1, .parameters = {}},
                                             {.layer = 2, .parameters = {parameter(3.0F)}}};

  std::string weights;
  std::string states;
  const auto append = [](std::string& to, float value) {
    std::string raw(sizeof value, '\0');
    std::memcpy(raw.data(), &value, sizeof value);
    to += raw_sha256(raw);
  };
  for (const float value : {1.0F, 2.0F, 3.0F}) {
    append(weights, value);
    append(states, value + 100.0F);
  }

  for (const auto& order : {std::array{0, 1, 2}, std::array{2, 0, 1}, std::array{1, 2, 0}}) {
    std::vector<layer_digests> mixed;
    mixed.reserve(order.size());
    for (const int index : order)
      mixed.push_back(layers[static_cast<std::size_t>(index)]);
    const state_hashes hashes = combine(mixed);
    CHECK(hashes.weights_sha256 == hex(raw_sha256(weights)));
    CHECK(hashes.optimizer_sha256 == hex(raw_sha256(states)));
  }
}
