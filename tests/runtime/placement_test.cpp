// Who hosts and keeps what, and who takes over.
#include "model/error.hpp"
#include "runtime/network/placement.hpp"
#include "runtime/recovery/snapshot_places.hpp"
#include "tests/support/error_text.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

using ranks = std::vector<std::uint32_t>;

/// Ranks 0 and 1 on worker 0, 2 on worker 1, 3 on worker 2; each keeps its own snapshots.
placement three_workers() {
  placement made{.workers = {{"a:1", {0, 1}}, {"b:2", {2}}, {"c:3", {3}}}, .ranks = {}};
  for (std::uint32_t rank = 0; rank < 4; ++rank)
    made.ranks.push_back({.replica = worker_of(made, rank)});
  return made;
}

ranks replicas_of(const placement& where) {
  ranks found;
  for (const rank_care& one : where.ranks)
    found.push_back(one.replica);
  return found;
}

} // namespace

TEST_CASE("ranks are placed evenly and in order, and workers beyond them are spares") {
  CHECK(place_ranks(5, 2) == std::vector<ranks>{{0, 1, 2}, {3, 4}});
  CHECK(place_ranks(4, 2) == std::vector<ranks>{{0, 1}, {2, 3}});
  CHECK(place_ranks(6, 4) == std::vector<ranks>{{0, 1}, {2}, {3, 4}, {5}});
  CHECK(place_ranks(4, 4) == std::vector<ranks>{{0}, {1}, {2}, {3}});
  CHECK(place_ranks(2, 4) == std::vector<ranks>{{0}, {1}, {}, {}});
}

TEST_CASE("a worker that has not taken its assignment is shown to itself alone") {
  placement where = three_workers();
  where.workers.push_back({"d:4", {}, worker_standing::invited});
  where.workers.push_back({"e:5", {}, worker_standing::invited});
  const placement to_member = shown_to(0, where);
  CHECK(to_member.workers[3].standing == worker_standing::gone);
  CHECK(to_member.workers[4].standing == worker_standing::gone);
  const placement to_first = shown_to(3, where);
  CHECK(to_first.workers[3].standing == worker_standing::joining);
  CHECK(to_first.workers[4].standing == worker_standing::gone);
  where.workers[4].standing = worker_standing::joining; // it has taken it
  CHECK(shown_to(3, where).workers[4].standing == worker_standing::joining);
  CHECK(shown_to(0, three_workers()) == three_workers());
}

TEST_CASE("a life of a rank has its home where it lives, as long as it does") {
  placement where = three_workers();
  CHECK(home_of(where, 2, 1) == 1);
  CHECK_FALSE(home_of(where, 2, 2)); // not known to live there yet
  where.ranks[2].life = 3;
  CHECK_FALSE(home_of(where, 2, 1));
  CHECK(home_of(where, 2, 3) == 1);
  where.workers[1].standing = worker_standing::gone;
  CHECK_FALSE(home_of(where, 2, 3));
}

TEST_CASE("a rank lives again where it lived, else on a spare, else where fewest live") {
  placement where = three_workers();
  CHECK(hosts_of(where) == ranks{0, 0, 1, 2});
  CHECK(choose_host(where, 1) == 0); // just its actor has died
  where.workers[0].standing = worker_standing::gone;
  CHECK(choose_host(where, 0) == 1);
  move_rank(where, 0, 1);
  CHECK(choose_host(where, 1) == 2);
  move_rank(where, 1, 2);
  CHECK(where.workers[1].ranks == ranks{0, 2});
  CHECK(where.workers[2].ranks == ranks{1, 3});
  where.workers.push_back({"d:4", {}, worker_standing::joining});
  where.workers[1].standing = worker_standing::gone;
  CHECK(choose_host(where, 2) == 2); // one that is joining cannot host yet
  where.workers[3].standing = worker_standing::member;
  CHECK(choose_host(where, 2) == 3);
}

TEST_CASE("without a member there is nobody to host a rank") {
  placement where = three_workers();
  for (worker_place& one : where.workers)
    one.standing = worker_standing::gone;
  CHECK(error_text<run_error>([&] { choose_host(where, 2); }) ==
        "rank 2: found no worker that is left to host it, expected one");
}

TEST_CASE(
    "snapshots are kept by another worker than the rank's own, as evenly as can be, and move only when they must") {
  placement where = three_workers();
  CHECK(choose_replicas(where).size() == 4);
  CHECK(replicas_of(where) == ranks{1, 2, 0, 1}); // one each, and the second of one of those that host less
  const ranks before = replicas_of(where);
  CHECK(choose_replicas(where).empty());
  CHECK(replicas_of(where) == before);

  where.workers[2].standing = worker_standing::gone;
  const ranks moved = choose_replicas(where);
  for (std::uint32_t rank = 0; rank < 4; ++rank) {
    const bool had_to = before[rank] == 2;
    CHECK((std::ranges::count(moved, rank) == 1) == had_to);
    CHECK((where.ranks[rank].replica == before[rank]) == !had_to);
    CHECK(where.ranks[rank].replica != 2);
  }
}

TEST_CASE("a rank's snapshots are kept by another worker even where that one has more to do") {
  placement where{.workers = {{"a:1", {0}}, {"b:2", {1, 2, 3}}},
                  .ranks = {{.replica = 0}, {.replica = 1}, {.replica = 1}, {.replica = 1}}};
  CHECK(choose_replicas(where) == ranks{0, 1, 2, 3});
  CHECK(replicas_of(where) == ranks{1, 0, 0, 0});
}

TEST_CASE("a worker that is alone keeps its own ranks' snapshots, until another one joins") {
  placement where{.workers = {{"a:1", {0, 1}}}, .ranks = {{.replica = 0}, {.replica = 0}}};
  CHECK(choose_replicas(where).empty());
  where.workers.push_back({"b:2", {}, worker_standing::joining});
  CHECK(choose_replicas(where).empty());
  where.workers[1].standing = worker_standing::member;
  CHECK(choose_replicas(where) == ranks{0, 1});
  CHECK(replicas_of(where) == ranks{1, 1});
}

TEST_CASE("a snapshot is found where it is kept, and no more when that place is gone or it is older than the line") {
  snapshot_places places;
  places.note(3, 10, 1);
  places.note(3, 10, 2);
  places.note(3, 11, 1);
  CHECK(places.find(3, 10, 2) == 2U);
  CHECK(places.find(3, 10, 0) == 1U);
  CHECK(places.find(3, 12, 1) == std::nullopt);
  CHECK(places.find(2, 10, 1) == std::nullopt);
  places.forget(1);
  CHECK(places.find(3, 10, 1) == 2U);
  CHECK(places.find(3, 11, 1) == std::nullopt);
  places.trim(11);
  CHECK(places.find(3, 10, 2) == std::nullopt);
}
