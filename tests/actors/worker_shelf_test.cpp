// A worker's shelf by itself: when snapshots of its ranks leave for who keeps them.
#include "actors/network/peers.hpp"
#include "actors/network/worker_shelf.hpp"
#include "actors/run.hpp"
#include "actors/shell.hpp"
#include "actors/system.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <cstdint>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// The shelf of a worker that hosts ranks 0 and 1: another worker keeps the snapshots of rank 0, the shelf itself those
/// of rank 1. Whoever it talks to is played by the test.
class lone_shelf {
public:
  lone_shelf() : replica_(system_), coordinator_(system_), owner_(system_) {
    const run_spec spec = tiny_spec();
    setup_ = make_setup(spec, nullptr, options_, 1);
    shelf_ = system_.spawn(worker_shelf, handle(coordinator_), handle(owner_), snapshot_shelf(), setup_ptr(setup_),
                           handle(owner_));
    tell(shelf_, snapshot_routes{{handle(replica_), caf::actor()}});
  }
  lone_shelf(const lone_shelf&) = delete;
  lone_shelf& operator=(const lone_shelf&) = delete;
  ~lone_shelf() { caf::anon_send_exit(shelf_, caf::exit_reason::user_shutdown); }

  template <class Message>
  void say(Message message) {
    tell(shelf_, std::move(message));
  }
  /// Steps done in the snapshots that were sent to the replica by now, a layer each.
  std::vector<std::uint64_t> sent() {
    tell(shelf_, hand_over{});
    owner_->receive([&](const shelf_content&) { const handler_scope scope(mailbox_of(owner_)); }); // all is done
    std::vector<std::uint64_t> steps;
    while (!replica_->mailbox().empty())
      replica_->receive([&](const tell_peer& in) {
        const handler_scope scope(mailbox_of(replica_));
        steps.push_back(std::get<snapshot_part>(in.what).steps_done);
      });
    return steps;
  }
  bool said_kept() { return !coordinator_->mailbox().empty(); }

private:
  static caf::actor handle(caf::scoped_actor& one) { return caf::actor_cast<caf::actor>(one); }

  run_options options_;
  std::shared_ptr<run_setup> setup_;
  run_config config_{1};
  caf::actor_system system_{config_};
  caf::scoped_actor replica_;
  caf::scoped_actor coordinator_;
  caf::scoped_actor owner_;
  caf::actor shelf_;
};

rank_snapshot snapshot_of(std::uint32_t rank, std::uint64_t steps_done, incarnation life = 1) {
  return {
      .rank = rank, .source_incarnation = life, .steps_done = steps_done, .layers = {{.layer = 0, .parameters = {}}}};
}

} // namespace

TEST_CASE("a snapshot leaves for another worker when its rank waits, and at the latest with the next one") {
  using steps = std::vector<std::uint64_t>;
  lone_shelf shelf;
  shelf.say(snapshot_of(0, 1));
  CHECK(shelf.sent().empty());
  shelf.say(rank_waits{1});
  CHECK(shelf.sent().empty());
  shelf.say(rank_waits{0});
  CHECK(shelf.sent() == steps{1});
  shelf.say(rank_waits{0});
  CHECK(shelf.sent().empty());
  shelf.say(snapshot_of(0, 2));
  shelf.say(snapshot_of(0, 3));
  CHECK(shelf.sent() == steps{2});
  shelf.say(snapshot_of(0, 3, 2)); // of its successor
  CHECK(shelf.sent().empty());
  shelf.say(rank_waits{0});
  CHECK(shelf.sent() == steps{3});
  CHECK_FALSE(shelf.said_kept());
}

TEST_CASE("a snapshot that the worker keeps itself waits for nobody") {
  lone_shelf shelf;
  shelf.say(snapshot_of(1, 1));
  CHECK(shelf.sent().empty());
  CHECK(shelf.said_kept());
}
