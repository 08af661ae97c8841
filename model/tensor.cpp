#include "model/tensor.hpp"

#include "model/error.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

namespace troupe {

namespace {

constexpr std::size_t alignment = 64;
constexpr std::int64_t max_elements = std::int64_t{1} << 40;

} // namespace

shape::shape(std::initializer_list<std::int64_t> extents) : rank_(extents.size()) {
  TROUPE_CHECK(extents.size() <= max_rank, "a tensor has at most four axes");
  std::copy(extents.begin(), extents.end(), extents_.begin());
  size_ = rank_ == 0 ? 0 : 1;
  for (const std::int64_t extent : extents) {
    if (extent < 0 || (extent > 0 && size_ > max_elements / extent))
      throw spec_error("tensor shape " + to_string(*this) +
                       ": expected extents that are not negative and at most 2^40 elements");
    size_ *= extent;
  }
}

std::string to_string(const shape& extents) {
  std::string text = "[";
  for (std::size_t axis = 0; axis < extents.rank(); ++axis)
    text += (axis == 0 ? "" : ", ") + std::to_string(extents[axis]);
  return text + "]";
}

/// The head of a piece of memory; the elements follow it, 64 bytes further on.
struct alignas(alignment) tensor_block {
  std::atomic<std::uint32_t> holders{1};
  std::size_t capacity = 0; ///< bytes of elements
  std::shared_ptr<tensor_pool::core> home;

  float* elements() noexcept { return static_cast<float*>(static_cast<void*>(this + 1)); }
  static void release(tensor_block* block) noexcept;
  static void destroy(tensor_block* block) noexcept {
    block->~tensor_block();
    ::operator delete (block, std::align_val_t{alignment});
  }
};
static_assert(sizeof(tensor_block) == alignment);

struct tensor_pool::core {
  mutable std::mutex mutex;
  bool closed = false; ///< the pool is gone: blocks go back to the system
  std::unordered_map<std::size_t, std::vector<tensor_block*>> free_blocks; ///< by capacity
  pool_statistics statistics;
};

void tensor_block::release(tensor_block* block) noexcept {
  if (block->holders.fetch_sub(1, std::memory_order_acq_rel) != 1)
    return;
  const std::shared_ptr<tensor_pool::core> home = std::move(block->home);
  const std::lock_guard lock(home->mutex);
  home->statistics.bytes_in_use -= block->capacity;
  if (home->closed)
    destroy(block);
  else
    home->free_blocks[block->capacity].push_back(block);
}

tensor::tensor(const tensor& other) noexcept : block_(other.block_), shape_(other.shape_) {
  if (block_ != nullptr)
    block_->holders.fetch_add(1, std::memory_order_relaxed);
}

tensor::~tensor() {
  if (block_ != nullptr)
    tensor_block::release(block_);
}

float* tensor::data() noexcept {
  return block_ == nullptr ? nullptr : block_->elements();
}
const float* tensor::data() const noexcept {
  return block_ == nullptr ? nullptr : block_->elements();
}
bool tensor::unique() const noexcept {
  return block_ != nullptr && block_->holders.load(std::memory_order_acquire) == 1;
}
void tensor::fill(float value) noexcept {
  std::fill_n(data(), size(), value);
}

tensor_pool::tensor_pool() : core_(std::make_shared<core>()) {}

tensor_pool::~tensor_pool() {
  const std::lock_guard lock(core_->mutex);
  core_->closed = true;
  for (auto& [capacity, blocks] : core_->free_blocks)
    std::for_each(blocks.begin(), blocks.end(), tensor_block::destroy);
  core_->free_blocks.clear();
}

tensor tensor_pool::make(const shape& extents) {
  const std::size_t bytes = static_cast<std::size_t>(extents.size()) * sizeof(float);
  const std::size_t capacity = (bytes + alignment - 1) / alignment * alignment;
  const std::lock_guard lock(core_->mutex);
  std::vector<tensor_block*>& blocks = core_->free_blocks[capacity];
  tensor_block* block = nullptr;
  if (blocks.empty()) {
    block = new (::operator new (sizeof(tensor_block) + capacity, std::align_val_t{alignment})) tensor_block;
    block->capacity = capacity;
    ++core_->statistics.allocations;
    core_->statistics.bytes_reserved += capacity;
  } else {
    block = blocks.back();
    blocks.pop_back();
    block->holders.store(1, std::memory_order_relaxed);
  }
  block->home = core_;
  core_->statistics.bytes_in_use += capacity;
  return {block, extents};
}

tensor tensor_pool::make_filled(const shape& extents, float value) {
  tensor made = make(extents);
  made.fill(value);
  return made;
}

tensor tensor_pool::copy(const tensor& source) {
  if (source.empty())
    return {};
  tensor made = make(source.extents());
  std::memcpy(made.data(), source.data(), source.bytes());
  return made;
}

tensor tensor_pool::successor_of(const tensor& present) {
  return present.unique() ? present : make(present.extents());
}

pool_statistics tensor_pool::statistics() const {
  const std::lock_guard lock(core_->mutex);
  return core_->statistics;
}

} // namespace troupe
