#include "runtime/recovery/stall_watch.hpp"

#include <catch2/catch.hpp>

using namespace troupe;

TEST_CASE("a run is stalled when nothing has happened between two looks") {
  stall_watch watch;
  CHECK_FALSE(watch.stalled_at(3));
  CHECK(watch.stalled_at(3));
  CHECK(watch.stalled_at(3));
  CHECK_FALSE(watch.stalled_at(4));
}

TEST_CASE(
    "patience is four of the longest steps, at least half a second, and grows with every look in vain up to 32 times") {
  stall_watch watch;
  CHECK(watch.patience(0.1) == 0.5);
  CHECK(watch.patience(3.0) == 12.0);
  watch.stalled_at(1);
  watch.stalled_at(1);
  CHECK(watch.patience(0.1) == 1.0);
  for (int look = 0; look < 20; ++look)
    watch.stalled_at(1);
  CHECK(watch.patience(0.1) == 16.0);
  watch.stalled_at(2);
  CHECK(watch.patience(0.1) == 0.5);
}
