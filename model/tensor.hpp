// Tensor: a row-major array of float, 64-byte aligned, reference-counted, whose memory comes from a pool.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace troupe {

/// The extents of a tensor, outermost first; at most four. An empty shape belongs to the empty tensor.
class shape {
public:
  static constexpr std::size_t max_rank = 4;

  shape() = default;
  /// Throws spec_error when an extent is negative, or the number of elements overflows 2^40.
  shape(std::initializer_list<std::int64_t> extents);

  std::size_t rank() const noexcept { return rank_; }
  std::int64_t operator[](std::size_t axis) const noexcept { return extents_[axis]; }
  /// Number of elements; 0 for the empty shape.
  std::int64_t size() const noexcept { return size_; }
  /// The last extent, the length of one contiguous row.
  std::int64_t columns() const noexcept { return rank_ == 0 ? 0 : extents_[rank_ - 1]; }
  /// The product of all extents but the last.
  std::int64_t rows() const noexcept { return columns() == 0 ? 0 : size_ / columns(); }

  friend bool operator==(const shape&, const shape&) = default;

private:
  std::array<std::int64_t, max_rank> extents_{};
  std::size_t rank_ = 0;
  std::int64_t size_ = 0;
};

/// "[512, 256]"
std::string to_string(const shape& extents);

struct tensor_block;

/// A handle to shared memory: copying a tensor shares its elements. Whoever writes must be the only holder; a tensor
/// that was sent to another actor is read-only from then on. Handles may be copied and dropped from any thread.
class tensor { // NOLINT(*-special-member-functions): its one operator= copies and moves
public:
  tensor() = default;
  tensor(const tensor& other) noexcept;
  tensor(tensor&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)), shape_(std::exchange(other.shape_, {})) {}
  tensor& operator=(tensor other) noexcept {
    std::swap(block_, other.block_);
    std::swap(shape_, other.shape_);
    return *this;
  }
  ~tensor();

  bool empty() const noexcept { return block_ == nullptr; }
  const shape& extents() const noexcept { return shape_; }
  std::int64_t size() const noexcept { return shape_.size(); }
  std::int64_t rows() const noexcept { return shape_.rows(); }
  std::int64_t columns() const noexcept { return shape_.columns(); }
  std::size_t bytes() const noexcept { return static_cast<std::size_t>(size()) * sizeof(float); }

  float* data() noexcept;
  const float* data() const noexcept;
  float* row(std::int64_t index) noexcept { return data() + index * columns(); }
  const float* row(std::int64_t index) const noexcept { return data() + index * columns(); }
  std::span<float> values() noexcept { return {data(), static_cast<std::size_t>(size())}; }
  std::span<const float> values() const noexcept { return {data(), static_cast<std::size_t>(size())}; }

  /// True when no other handle shares the elements.
  bool unique() const noexcept;
  /// Sets every element.
  void fill(float value) noexcept;

private:
  friend class tensor_pool;
  tensor(tensor_block* block, const shape& extents) noexcept : block_(block), shape_(extents) {}

  tensor_block* block_ = nullptr;
  shape shape_;
};

/// What a pool has done so far.
struct pool_statistics {
  std::uint64_t allocations = 0;  ///< blocks asked of the system; constant once warm
  std::size_t bytes_reserved = 0; ///< held by the pool, used or not
  std::size_t bytes_in_use = 0;   ///< held by live tensors
};

/// Hands out tensor memory and takes it back for the next tensor of the same size. Safe to use from any thread; tensors
/// may outlive their pool.
class tensor_pool {
public:
  tensor_pool();
  tensor_pool(const tensor_pool&) = delete;
  tensor_pool& operator=(const tensor_pool&) = delete;
  ~tensor_pool();

  /// Elements are uninitialised. Throws std::bad_alloc.
  tensor make(const shape& extents);
  tensor make_filled(const shape& extents, float value);
  /// A new tensor with the same shape and elements.
  tensor copy(const tensor& source);
  /// Where new elements in the place of those of `present` may be written: its own memory when no other handle shares
  /// it, else new memory of the same shape, so that whoever shares it keeps the elements as they are.
  tensor successor_of(const tensor& present);

  pool_statistics statistics() const;

private:
  struct core;
  friend struct tensor_block;
  friend class tensor;
  std::shared_ptr<core> core_;
};

} // namespace troupe
