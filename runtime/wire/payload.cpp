#include "runtime/wire/payload.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>

namespace troupe {

static_assert(std::endian::native == std::endian::little, "elements travel as they lie in memory");

namespace {

/// Elements that are converted in one go: enough for vector instructions, and they stay in the first cache.
constexpr std::uint64_t strip = 1024;
constexpr unsigned half_bits = 16;

void narrow(const float* from, std::uint64_t count, char* to) {
  std::array<std::uint16_t, strip> halves; // NOLINT(*-member-init): written below
  for (std::uint64_t done = 0; done < count; done += strip) {
    const std::uint64_t now = std::min(strip, count - done);
    for (std::uint64_t i = 0; i < now; ++i)
      halves[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(from[done + i]) >> half_bits);
    std::memcpy(to + 2 * done, halves.data(), 2 * now);
  }
}

std::vector<std::uint64_t> extents_of(const shape& of) {
  std::vector<std::uint64_t> extents;
  for (std::size_t axis = 0; axis < of.rank(); ++axis)
    extents.push_back(static_cast<std::uint64_t>(of[axis]));
  return extents;
}

shape to_shape(const std::vector<std::uint64_t>& extents) {
  const auto at = [&](std::size_t axis) { return static_cast<std::int64_t>(extents[axis]); };
  switch (extents.size()) {
  case 1:
    return {at(0)};
  case 2:
    return {at(0), at(1)};
  case 3:
    return {at(0), at(1), at(2)};
  default:
    return {at(0), at(1), at(2), at(3)};
  }
}

/// Elements of a block; throws when they are more than `most`, however far the product overflows.
std::uint64_t count_elements(const std::vector<std::uint64_t>& extents, std::uint64_t most) {
  if (extents.empty())
    return 0;
  if (extents.size() > shape::max_rank)
    throw protocol_error(
        fmt::format("wire: found a tensor of {} axes, expected at most {}", extents.size(), shape::max_rank));
  // With a 0 among the extents the others could be anything, but none needs to be large.
  std::uint64_t product = 1;
  for (const std::uint64_t extent : extents) {
    if (extent > most || (extent > 0 && product > most / extent))
      throw protocol_error(
          fmt::format("wire: found a tensor of shape [{}], expected at most {} elements in the message",
                      fmt::join(extents, ", "), most));
    product *= std::max<std::uint64_t>(extent, 1);
  }
  return std::ranges::find(extents, 0U) == extents.end() ? product : 0;
}

} // namespace

block_source::block_source(tensor values, wire_precision form)
    : extents_(extents_of(values.extents())), data_(std::as_const(values).data()),
      elements_(static_cast<std::uint64_t>(values.size())), form_(form), holder_(std::move(values)) {}

block_source::block_source(token_block tokens)
    : extents_{tokens == nullptr ? 0 : tokens->size()}, data_(tokens == nullptr ? nullptr : tokens->data()),
      elements_(extents_.front()), holder_(std::move(tokens)) {}

void block_source::append(std::uint64_t offset, std::uint64_t bytes, std::vector<char>& out) const {
  const std::uint64_t size = bytes_per_element(form_);
  TROUPE_CHECK(offset % size == 0 && bytes % size == 0 && offset + bytes <= this->bytes(), "whole elements");
  if (form_ == wire_precision::bf16) {
    const std::size_t place = out.size();
    out.resize(place + bytes);
    narrow(static_cast<const float*>(data_) + offset / size, bytes / size, out.data() + place);
  } else if (bytes > 0) { // not by resize, which would first write zeros
    const char* const from = static_cast<const char*>(data_) + offset;
    out.insert(out.end(), from, from + bytes);
  }
}

/// Halves are gathered in the upper half of the block's own memory, and widened from there when all have come.
block_sink::block_sink(void* data, std::uint64_t elements, wire_precision form)
    : data_(static_cast<std::byte*>(data)), bytes_(elements * bytes_per_element(form)), form_(form) {}

void block_sink::write(std::span<const std::byte> piece) {
  TROUPE_CHECK(piece.size() <= missing(), "a piece belongs to one block");
  if (piece.empty())
    return;
  std::memcpy(data_ + (form_ == wire_precision::bf16 ? bytes_ : 0) + written_, piece.data(), piece.size());
  written_ += piece.size();
  if (missing() == 0 && form_ == wire_precision::bf16)
    widen();
}

/// Of n halves, number i lies at byte 2n + 2i and goes to byte 4i. Strips ascend, and each is read as a whole before it
/// is written, so none is overwritten before it is read: 4(i + strip) <= 2n + 2(i + strip) for all but the last.
void block_sink::widen() {
  const std::uint64_t count = bytes_ / 2;
  std::array<std::uint16_t, strip> halves; // NOLINT(*-member-init): written below
  std::array<std::uint32_t, strip> whole;  // NOLINT(*-member-init): written below
  for (std::uint64_t done = 0; done < count; done += strip) {
    const std::uint64_t now = std::min(strip, count - done);
    std::memcpy(halves.data(), data_ + bytes_ + 2 * done, 2 * now);
    for (std::uint64_t i = 0; i < now; ++i)
      whole[i] = std::uint32_t{halves[i]} << half_bits;
    std::memcpy(data_ + 4 * done, whole.data(), 4 * now);
  }
}

incoming_blocks::incoming_blocks(std::vector<std::vector<std::uint64_t>> extents, std::uint64_t block_bytes,
                                 const wire_limits& limits, wire_precision form, tensor_pool& pool)
    : extents_(std::move(extents)), form_(form), pool_(pool) {
  if (extents_.size() > limits.tensors)
    throw protocol_error(
        fmt::format("wire: found {} tensors in a message, expected at most {}", extents_.size(), limits.tensors));
  constexpr std::uint64_t most_elements = std::uint64_t{1} << 40; // of a shape
  std::uint64_t left = std::min(limits.message_bytes / sizeof(float), most_elements);
  std::uint64_t elements = 0;
  for (const std::vector<std::uint64_t>& one : extents_) {
    const std::uint64_t count = count_elements(one, left);
    left -= count;
    elements += count;
  }
  if (elements * bytes_per_element(form) != block_bytes)
    throw protocol_error(fmt::format("wire: found {} bytes of tensors, expected {}, which is what their shapes need",
                                     block_bytes, elements * bytes_per_element(form)));
}

const std::vector<std::uint64_t>& incoming_blocks::next() {
  if (left() == 0)
    throw protocol_error(fmt::format("wire: found {} tensors in a message, expected more", extents_.size()));
  return extents_[taken_++];
}

tensor incoming_blocks::take_tensor() {
  const std::vector<std::uint64_t>& extents = next();
  if (extents.empty())
    return {};
  tensor made = pool_.make(to_shape(extents));
  sinks_.emplace_back(made.data(), static_cast<std::uint64_t>(made.size()), form_);
  return made;
}

token_block incoming_blocks::take_tokens() {
  const std::vector<std::uint64_t>& extents = next();
  if (extents.size() != 1)
    throw protocol_error(fmt::format("wire: found tokens of {} axes, expected 1", extents.size()));
  auto tokens = std::make_shared<std::vector<std::int32_t>>(extents.front());
  sinks_.emplace_back(tokens->data(), extents.front(), wire_precision::fp32);
  return tokens;
}

std::vector<block_sink> incoming_blocks::sinks() && {
  if (left() != 0)
    throw protocol_error(
        fmt::format("wire: found {} tensors in a message, expected {}", extents_.size(), extents_.size() - left()));
  return std::move(sinks_);
}

} // namespace troupe
