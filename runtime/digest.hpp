// SHA-256 of training state. One digest per parameter, so that ranks hash their own; the run's hash is the hash of the
// digests.
#pragma once

#include "runtime/traffic.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

using sha256_digest = std::array<std::uint8_t, 32>;

/// SHA-256 (FIPS 180-4) of bytes that come in pieces.
class sha256_stream {
public:
  sha256_stream();
  sha256_stream(const sha256_stream&) = delete;
  sha256_stream& operator=(const sha256_stream&) = delete;
  ~sha256_stream();
  void add(std::span<const std::byte> bytes);
  /// The digest of all bytes added; the stream takes no more.
  sha256_digest finish();

private:
  struct context;
  std::unique_ptr<context> context_;
};

sha256_digest sha256(std::span<const std::byte> bytes);
std::string to_hex(const sha256_digest& digest);

/// Digests of a parameter's value and of its optimizer state tensors one after the other, as little-endian float bytes.
parameter_digest digest_of(const std::string& name, const tensor& value, std::span<const tensor> state);

/// The run's hashes: SHA-256 over the 32-byte digests of all parameters in layer order. `layers` may come in any order,
/// each once.
struct state_hashes {
  std::string weights_sha256;
  std::string optimizer_sha256;
};
state_hashes combine(std::vector<layer_digests> layers);

} // namespace troupe
