#include "runtime/recovery/restart_policy.hpp"

#include <catch2/catch.hpp>

using namespace troupe;

TEST_CASE("a rank is restarted up to the limit within the window, and again once the window has moved on",
          "[recovery]") {
  restart_policy policy(1, 3, 10.0);
  CHECK(policy.allows(0, 100.0));
  CHECK(policy.allows(0, 104.0));
  CHECK(policy.allows(0, 104.0)); // twice at one moment are two
  CHECK_FALSE(policy.allows(0, 109.0));
  CHECK_FALSE(policy.allows(0, 110.0)); // the first one is just as old as the window
  CHECK(policy.allows(0, 110.5));
  CHECK_FALSE(policy.allows(0, 113.0));
  CHECK(policy.allows(0, 114.5));
  CHECK(policy.allows(0, 114.5));
  CHECK_FALSE(policy.allows(0, 120.0));
  CHECK(policy.allows(0, 1000.0));
}

TEST_CASE("a restart that was refused does not count", "[recovery]") {
  restart_policy policy(1, 1, 10.0);
  CHECK(policy.allows(0, 0.0));
  for (int now = 1; now <= 10; ++now)
    CHECK_FALSE(policy.allows(0, now));
  CHECK(policy.allows(0, 10.5));
}

TEST_CASE("each rank's restarts are counted apart", "[recovery]") {
  restart_policy policy(3, 2, 60.0);
  CHECK(policy.allows(2, 0.0));
  CHECK(policy.allows(2, 0.0));
  CHECK_FALSE(policy.allows(2, 0.0));
  CHECK(policy.allows(0, 0.0));
  CHECK(policy.allows(1, 0.0));
  CHECK(policy.allows(1, 0.0));
  CHECK_FALSE(policy.allows(1, 0.0));
  CHECK(policy.allows(0, 0.0));
}

TEST_CASE("with no restarts allowed the first death ends the run", "[recovery]") {
  restart_policy policy(2, 0, 60.0);
  CHECK_FALSE(policy.allows(1, 5.0));
  CHECK(policy.refusal(1, "out of memory") ==
        "rank 1 died 1 time within 60 s, expected at most 0 (faults.max_restarts); last cause: out of memory");
}

TEST_CASE("giving up names the rank, how often it died, the limit's field and the last cause", "[recovery]") {
  restart_policy policy(3, 5, 60.0);
  CHECK(policy.allows(2, 0.0));
  for (int now = 70; now < 75; ++now) // the first one is past the window by then
    REQUIRE(policy.allows(2, now));
  REQUIRE_FALSE(policy.allows(2, 80.0));
  CHECK(policy.refusal(2, "the layer gave up") == "rank 2 died 6 times within 60 s, expected at most 5 "
                                                  "(faults.max_restarts); last cause: the layer gave up");
  restart_policy short_window(1, 1, 0.25);
  CHECK(short_window.allows(0, 1.0));
  CHECK_FALSE(short_window.allows(0, 1.125));
  CHECK(short_window.refusal(0, "x") ==
        "rank 0 died 2 times within 0.25 s, expected at most 1 (faults.max_restarts); last cause: x");
}
