#include "runtime/digest.hpp"

#include "model/error.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>

namespace troupe {

static_assert(std::endian::native == std::endian::little, "hashes are over little-endian floats as they lie in memory");

struct sha256_stream::context {
  struct deleter {
    void operator()(EVP_MD_CTX* released) const { EVP_MD_CTX_free(released); }
  };
  std::unique_ptr<EVP_MD_CTX, deleter> handle{EVP_MD_CTX_new()};
};

sha256_stream::sha256_stream() : context_(std::make_unique<context>()) {
  if (!context_->handle || EVP_DigestInit_ex(context_->handle.get(), EVP_sha256(), nullptr) != 1)
    throw run_error("SHA-256: OpenSSL gave none, which it does when memory is short");
}

/// OpenSSL keeps an error queue for each thread until the thread's own end, which for an actor's thread may come after
/// that of the program: it is given back here, and made again when next needed.
sha256_stream::~sha256_stream() {
  context_.reset();
  OPENSSL_thread_stop();
}

void sha256_stream::add(std::span<const std::byte> bytes) {
  TROUPE_CHECK(EVP_DigestUpdate(context_->handle.get(), bytes.data(), bytes.size()) == 1, "the stream is not finished");
}

sha256_digest sha256_stream::finish() {
  sha256_digest digest{};
  TROUPE_CHECK(EVP_DigestFinal_ex(context_->handle.get(), digest.data(), nullptr) == 1, "the stream is finished once");
  return digest;
}

sha256_digest sha256(std::span<const std::byte> bytes) {
  sha256_stream stream;
  stream.add(bytes);
  return stream.finish();
}

std::string to_hex(const sha256_digest& digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

parameter_digest digest_of(const std::string& name, const tensor& value, std::span<const tensor> state) {
  sha256_stream of_state;
  for (const tensor& one : state)
    of_state.add(std::as_bytes(one.values()));
  return {.name = name, .weights = sha256(std::as_bytes(value.values())), .state = of_state.finish()};
}

state_hashes combine(std::vector<layer_digests> layers) {
  std::ranges::sort(layers, {}, &layer_digests::layer);
  sha256_stream weights;
  sha256_stream state;
  for (std::size_t index = 0; index < layers.size(); ++index) {
    TROUPE_CHECK(std::cmp_equal(layers[index].layer, index), "each layer is hashed by one rank");
    for (const parameter_digest& one : layers[index].parameters) {
      weights.add(std::as_bytes(std::span(one.weights)));
      state.add(std::as_bytes(std::span(one.state)));
    }
  }
  return {.weights_sha256 = to_hex(weights.finish()), .optimizer_sha256 = to_hex(state.finish())};
}

} // namespace troupe
