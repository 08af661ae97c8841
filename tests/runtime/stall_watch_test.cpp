#include "runtime/recovery/stall_watch.hpp"

#include <catch2/catch.hpp>

using namespace troupe;

TEST_CASE("a run is stalled when nothing has happened between two looks") {
  stall_watch watch;
  CHECK_FALSE(watch.stalled_at(3));
  CHECK(watch.stalled_at(3));
  CHECK(watch.stalled_at(3));
  CHECK(watch.still_stalled(3));
  CHECK_FALSE(watch.still_stalled(4));
  CHECK_FALSE(watch.stalled_at(4));
  CHECK_FALSE(watch.still_stalled(4));
}

TEST_CASE("patience is four of the longest steps, at least half a second") {
  stall_watch watch;
  CHECK(watch.patience(0.1) == 0.5);
  CHECK(watch.patience(3.0) == 12.0);
}

TEST_CASE("patience doubles with every look in vain, and is a quarter after every other one") {
  stall_watch watch;
  watch.stalled_at(1);
  double expected = 0.5;
  for (int look = 0; look < 10; ++look, expected *= 2.0) {
    CHECK(watch.patience(0.1) == expected);
    watch.stalled_at(1);
  }
  for (std::uint64_t progress = 2; progress < 7; ++progress, expected /= 4.0) {
    CHECK(watch.patience(0.1) == expected);
    watch.stalled_at(progress);
  }
  CHECK(watch.patience(0.1) == 0.5);
  watch.stalled_at(20);
  CHECK(watch.patience(0.1) == 0.5);
  for (int look = 0; look < 100; ++look)
    watch.stalled_at(20);
  CHECK(watch.patience(0.1) == 3600.0);
  CHECK(watch.patience(1000.0) == 4000.0);
}

TEST_CASE(
    "a run that loses messages again and again, each of which is made good by sending all again, stays impatient") {
  stall_watch watch;
  std::uint64_t progress = 1;
  watch.stalled_at(progress);
  for (int loss = 0; loss < 1000; ++loss) {
    if (loss % 5 == 0) // what is sent again is lost, too
      watch.stalled_at(progress);
    CHECK(watch.stalled_at(progress));
    CHECK(watch.patience(0.1) <= 2.0);
    CHECK_FALSE(watch.stalled_at(++progress));
  }
}
