#include "runtime/weight_history.hpp"

#include <catch2/catch.hpp>

using namespace troupe;

namespace {

parameter with_value(tensor_pool& pool, float value) {
  parameter p;
  p.name = "p";
  p.extents = {2};
  p.value = pool.make_filled(p.extents, value);
  return p;
}

} // namespace

TEST_CASE("all versions can be used again", "[weights]") {
  tensor_pool pool;
  parameter p = with_value(pool, 1.0F);
  weight_history history({&p}, 5);
  for (const float value : {2.0F, 3.0F}) {
    p.value = pool.make_filled(p.extents, value);
    history.add_newest();
  }
  CHECK(history.oldest() == 5);
  CHECK(history.newest() == 7);
  for (std::uint64_t version = 5; version <= 7; ++version) {
    history.use(version);
    CHECK(p.value.data()[1] == static_cast<float>(version) - 4.0F);
  }
}

TEST_CASE("dropped versions give their memory back, and the newest one stays", "[weights]") {
  tensor_pool pool;
  parameter p = with_value(pool, 1.0F);
  weight_history history({&p}, 0);
  for (int i = 0; i < 3; ++i) {
    p.value = pool.make_filled(p.extents, 2.0F);
    history.add_newest();
  }
  const std::size_t all = pool.statistics().bytes_in_use;
  history.drop_before(2);
  CHECK(history.oldest() == 2);
  CHECK(pool.statistics().bytes_in_use == all / 2);
  history.drop_before(100);
  CHECK(history.oldest() == 3);
  CHECK(history.newest() == 3);
}

TEST_CASE("older versions are put back one by one after a restart", "[weights]") {
  tensor_pool pool;
  parameter p = with_value(pool, 3.0F);
  weight_history history({&p}, 9);
  history.add_older({pool.make_filled(p.extents, 2.0F)});
  history.add_older({pool.make_filled(p.extents, 1.0F)});
  CHECK(history.oldest() == 7);
  history.use(7);
  CHECK(p.value.data()[0] == 1.0F);
  history.use(9);
  CHECK(p.value.data()[0] == 3.0F);
}
