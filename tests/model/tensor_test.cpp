#include "model/error.hpp"
#include "model/tensor.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

using namespace troupe;

namespace {

/// Hands tensors from one thread to another, in order.
class hand_over {
public:
  void put(tensor one) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(one));
    filled_.notify_one();
  }
  tensor take() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return !waiting_.empty(); });
    tensor one = std::move(waiting_.front());
    waiting_.pop_front();
    return one;
  }

private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<tensor> waiting_;
};

bool holds_only(const tensor& one, float value) {
  return std::ranges::all_of(one.values(), [=](float x) { return x == value; });
}

} // namespace

TEST_CASE("a shape knows its rows, columns and size") {
  const shape cube{2, 3, 4};
  CHECK(cube.rank() == 3);
  CHECK(cube.size() == 24);
  CHECK(cube.rows() == 6);
  CHECK(cube.columns() == 4);
  CHECK(to_string(cube) == "[2, 3, 4]");
  CHECK(shape{5}.rows() == 1);
  CHECK(shape{}.size() == 0);
  CHECK(to_string(shape{}) == "[]");
  CHECK(shape{3, 0}.rows() == 0);
  CHECK(shape{2, 3} != shape{3, 2});
  CHECK(shape{2, 3} != shape{2, 3, 1});
}

TEST_CASE("a shape with a negative extent or too many elements is refused with its extents") {
  constexpr std::int64_t limit = std::int64_t{1} << 40;
  CHECK(shape{limit}.size() == limit);
  CHECK(shape{1 << 20, 1 << 20}.size() == limit);
  CHECK_THROWS_AS((shape{limit, 2}), spec_error);
  CHECK_THROWS_AS(shape{limit + 1}, spec_error);
  CHECK_THROWS_AS((shape{1 << 20, 1 << 20, 1 << 20, 1 << 20}), spec_error); // 2^80 is 0 in 64 bits
  CHECK_THROWS_AS((shape{INT64_MAX, INT64_MAX}), spec_error);
  CHECK_THROWS_WITH((shape{3, -4}), Catch::Contains("[3, -4]"));
}

TEST_CASE("a tensor's elements are aligned to 64 bytes whatever its size") {
  tensor_pool pool;
  std::vector<tensor> held;
  for (std::int64_t size = 1; size < 100; ++size) {
    held.push_back(pool.make({size}));
    const auto address = reinterpret_cast<std::uintptr_t>(held.back().data()); // NOLINT(*-cast): for its low bits
    CHECK(address % 64 == 0);
  }
}

TEST_CASE("rows lie one after the other") {
  tensor_pool pool;
  tensor one = pool.make({2, 3, 4});
  CHECK(one.row(5) - one.data() == 20);
  CHECK(one.values().size() == 24);
  CHECK(one.bytes() == 96);
}

TEST_CASE("a dropped tensor's memory serves the next tensor of its size") {
  tensor_pool pool;
  const float* first = pool.make({10, 10}).data();
  CHECK(pool.make({100}).data() == first);
  CHECK(pool.make({5, 20}).data() == first);
  CHECK(pool.statistics().allocations == 1);
  const tensor held = pool.make({100});
  const tensor other = pool.make({100});
  CHECK(other.data() != held.data());
  CHECK(pool.statistics().allocations == 2);
}

TEST_CASE("the pool counts what it reserved and what is in use") {
  tensor_pool pool;
  std::optional<tensor> small = pool.make({16}); // one cache line
  std::optional<tensor> large = pool.make({17}); // two
  CHECK(pool.statistics().bytes_in_use == 192);
  CHECK(pool.statistics().bytes_reserved == 192);
  std::optional<tensor> shared = large;
  large.reset();
  CHECK(pool.statistics().bytes_in_use == 192);
  shared.reset();
  CHECK(pool.statistics().bytes_in_use == 64);
  small.reset();
  CHECK(pool.statistics().bytes_in_use == 0);
  CHECK(pool.statistics().bytes_reserved == 192);
  CHECK(pool.statistics().allocations == 2);
}

TEST_CASE("a copied handle shares elements, a copied tensor does not") {
  tensor_pool pool;
  tensor one = pool.make_filled({4}, 1.0F);
  CHECK(one.unique());
  const tensor shared = one;
  const tensor separate = pool.copy(one);
  CHECK_FALSE(one.unique());
  CHECK(separate.unique());
  one.fill(2.0F);
  CHECK(holds_only(shared, 2.0F));
  CHECK(holds_only(separate, 1.0F));
}

TEST_CASE("assignment and move leave as many holders as handles") {
  tensor_pool pool;
  tensor one = pool.make({4});
  tensor two = pool.make({8});
  two = one;
  CHECK(pool.statistics().bytes_in_use == 64);
  CHECK_FALSE(one.unique());
  tensor& alias = two;
  two = alias;
  CHECK_FALSE(one.unique());
  const tensor moved = std::move(two);
  CHECK(two.empty());     // NOLINT(bugprone-use-after-move,*.Move): a moved-from tensor is empty
  CHECK(two.size() == 0); // NOLINT(*.Move): likewise
  one = {};
  CHECK(moved.unique());
}

TEST_CASE("the empty tensor has no elements and copies to the empty tensor") {
  tensor_pool pool;
  const tensor none;
  CHECK(none.empty());
  CHECK(none.data() == nullptr);
  CHECK(none.values().empty());
  CHECK_FALSE(none.unique());
  CHECK(pool.copy(none).empty());
  CHECK_FALSE(pool.make({0, 3}).empty());
}

TEST_CASE("tensors outlive their pool") {
  tensor survivor;
  {
    tensor_pool pool;
    survivor = pool.make_filled({1000}, 3.0F);
    pool.make({1000});
  }
  const tensor shared = survivor;
  survivor = {};
  CHECK(shared.unique());
  CHECK(holds_only(shared, 3.0F));
}

TEST_CASE("threads may share a pool and hand tensors to each other") {
  constexpr int rounds = 2000;
  constexpr std::size_t ring = 4;
  tensor_pool pool;
  std::vector<hand_over> inboxes(ring);
  std::vector<int> damaged(ring, 0);
  std::vector<std::thread> threads;
  // Each thread sends its neighbour a tensor that it keeps a handle of, so that either may be the last to drop it.
  for (std::size_t self = 0; self < ring; ++self)
    threads.emplace_back([&, self] {
      for (int round = 0; round < rounds; ++round) {
        const tensor sent = pool.make_filled({1 + round % 3 * 20}, static_cast<float>(round));
        inboxes[(self + 1) % ring].put(sent);
        const tensor received = inboxes[self].take();
        damaged[self] += holds_only(received, static_cast<float>(round)) ? 0 : 1;
        damaged[self] += holds_only(sent, static_cast<float>(round)) ? 0 : 1;
      }
    });
  for (std::thread& one : threads)
    one.join();
  CHECK(damaged == std::vector<int>(ring, 0));
  CHECK(pool.statistics().bytes_in_use == 0);
  // A thread is at most `ring` rounds ahead of another and holds at most two tensors of each round.
  CHECK(pool.statistics().allocations <= std::uint64_t{3} * 2 * ring * ring);
}
