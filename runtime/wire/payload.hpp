// Blocks: the tensors and tokens of a message, between their memory and their bytes on the wire, little-endian. Whole
// elements of 4 bytes, or with bf16 the upper half of each.
#pragma once

#include "model/tensor.hpp"
#include "runtime/traffic.hpp"
#include "runtime/wire/wire_message.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

namespace troupe {

constexpr std::uint64_t bytes_per_element(wire_precision form) {
  return form == wire_precision::fp32 ? 4 : 2;
}

/// A block on its way out; holds it by handle.
class block_source {
public:
  block_source(tensor values, wire_precision form);
  explicit block_source(token_block tokens);

  /// What a header says of it: the tensor's extents, or the number of tokens.
  const std::vector<std::uint64_t>& extents() const { return extents_; }
  std::uint64_t bytes() const { return elements_ * bytes_per_element(form_); }
  /// Appends `bytes` bytes from `offset` on. Both are whole elements.
  void append(std::uint64_t offset, std::uint64_t bytes, std::vector<char>& out) const;

private:
  std::vector<std::uint64_t> extents_;
  const void* data_;
  std::uint64_t elements_;
  wire_precision form_ = wire_precision::fp32;
  std::variant<tensor, token_block> holder_; ///< of what data_ points to
};

/// A block's memory on the way in; someone else holds it. Bytes come in pieces of any size.
class block_sink {
public:
  block_sink(void* data, std::uint64_t elements, wire_precision form);

  std::uint64_t missing() const { return bytes_ - written_; }
  /// At most `missing` bytes.
  void write(std::span<const std::byte> piece);

private:
  void widen();

  std::byte* data_;
  std::uint64_t bytes_; ///< on the wire
  std::uint64_t written_ = 0;
  wire_precision form_;
};

/// The blocks of one incoming message: all sizes are checked before the first is allocated.
class incoming_blocks {
public:
  /// Throws protocol_error unless the shapes make sense, keep `limits`, and add up to `block_bytes`.
  incoming_blocks(std::vector<std::vector<std::uint64_t>> extents, std::uint64_t block_bytes, const wire_limits& limits,
                  wire_precision form, tensor_pool& pool);

  std::size_t left() const { return extents_.size() - taken_; }
  /// The next block; its elements are filled in later, through the sinks. Throws protocol_error when there is none.
  tensor take_tensor();
  token_block take_tokens();
  /// Throws protocol_error unless all were taken.
  std::vector<block_sink> sinks() &&;

private:
  const std::vector<std::uint64_t>& next();

  std::vector<std::vector<std::uint64_t>> extents_;
  std::size_t taken_ = 0;
  wire_precision form_;
  tensor_pool& pool_;
  std::vector<block_sink> sinks_;
};

} // namespace troupe
