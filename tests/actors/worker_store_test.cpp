// A worker's store and the coordinator's, which talk through queues of the test: a checkpoint through the coordinator.
#include "actors/network/peers.hpp"
#include "actors/network/worker_store.hpp"
#include "actors/shell.hpp"
#include "actors/store.hpp"
#include "runtime/checkpoint.hpp"
#include "tests/support/rank_snapshots.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// One worker hosts both ranks of a run.
class two_stores {
public:
  explicit two_stores(const std::string& directory) {
    run_spec spec = tiny_spec();
    spec.pipeline.stages = 2;
    spec.checkpoint.directory = directory;
    data_ = std::make_unique<made_up_data>(spec);
    const setup_ptr setup = make_setup(spec, data_.get(), options_, 1);
    snapshots_ = rank_snapshots(spec, setup->pipeline, 2, pool_);
    const auto watcher = caf::actor_cast<observer>(watcher_);
    here_ = system_.spawn(store, setup, checkpoint_route::coordinator, watcher);
    there_ = system_.spawn(worker_store, setup, checkpoint_route::coordinator, handle(from_worker_), watcher);
    company everyone;
    everyone.scheduler = caf::actor_cast<scheduler_actor>(handle(side_));
    everyone.recorder = caf::actor_cast<recorder_actor>(handle(side_));
    everyone.ranks.assign(2, caf::actor_cast<stage_actor>(handle(from_coordinator_)));
    tell(here_, introduction{std::make_shared<const company>(everyone)});
    run();
  }
  two_stores(const two_stores&) = delete;
  two_stores& operator=(const two_stores&) = delete;
  ~two_stores() {
    caf::anon_send_exit(here_, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(there_, caf::exit_reason::user_shutdown);
    run();
  }

  void hand_out(std::uint32_t rank, incarnation life) {
    rank_snapshot taken = snapshots_[rank];
    taken.source_incarnation = life;
    taken.purpose = take_snapshot::to_checkpoint;
    tell(there_, std::move(taken));
    run();
  }
  std::size_t on_the_way_up() const { return up_.size(); }
  std::size_t on_the_way_down() const { return down_.size(); }
  /// One message arrives at the coordinator's store, or at the worker's.
  void deliver_up() { deliver<layer_part, part_written>(up_, here_); }
  void deliver_down() { deliver<layer_part_taken>(down_, there_); }
  std::string failure() {
    std::string text;
    while (!watcher_->mailbox().empty())
      watcher_->receive([&](const failure_message& in) { text = in.text; });
    return text;
  }

private:
  static caf::actor handle(caf::scoped_actor& one) { return caf::actor_cast<caf::actor>(one); }

  void run() {
    dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()).run();
    collect(from_worker_, up_);
    collect(from_coordinator_, down_);
  }
  static void collect(caf::scoped_actor& said, std::deque<wire_message>& way) {
    while (!said->mailbox().empty())
      said->receive([&](const tell_peer& in) {
        const handler_scope scope(mailbox_of(said));
        way.push_back(in.what);
      });
  }
  template <class... Messages>
  void deliver(std::deque<wire_message>& way, const store_actor& to) {
    (deliver_if<Messages>(way.front(), to), ...);
    way.pop_front();
    run();
  }

  template <class Message>
  static void deliver_if(wire_message& one, const store_actor& to) {
    if (auto* const message = std::get_if<Message>(&one))
      tell(to, std::move(*message));
  }

  run_options options_;
  tensor_pool pool_;
  std::unique_ptr<made_up_data> data_;
  std::vector<rank_snapshot> snapshots_;
  deterministic_config config_;
  caf::actor_system system_{config_};
  caf::scoped_actor from_worker_{system_};
  caf::scoped_actor from_coordinator_{system_};
  caf::scoped_actor side_{system_};
  caf::scoped_actor watcher_{system_};
  store_actor here_;
  store_actor there_;
  std::deque<wire_message> up_;
  std::deque<wire_message> down_;
};

/// Rank 1 dies, and its next life hands out the same, before message `death` arrives anywhere. Of messages both ways
/// the bits of `order` tell which one arrives first. Returns how many have arrived.
int save_while_dying(const std::string& directory, int death, unsigned order) {
  two_stores stores(directory);
  stores.hand_out(1, 1);
  stores.hand_out(0, 1);
  int arrived = 0;
  for (; stores.on_the_way_up() + stores.on_the_way_down() > 0; ++arrived) {
    if (arrived == death)
      stores.hand_out(1, 2);
    const bool up_first = ((order >> (arrived % 8)) & 1U) != 0;
    if (stores.on_the_way_down() == 0 || (up_first && stores.on_the_way_up() > 0))
      stores.deliver_up();
    else
      stores.deliver_down();
  }
  CHECK(stores.failure().empty());
  return arrived;
}

/// By name, all files of the newest checkpoint but its manifest.
std::map<std::string, std::string> saved_in(const std::string& directory) {
  std::vector<std::string> warnings;
  const checkpoint found = checkpoint::open_latest(directory, warnings);
  CHECK(warnings.empty());
  std::map<std::string, std::string> files;
  for (const std::string& name : found.files())
    files[name] = read_bytes(found.path() / name);
  return files;
}

} // namespace

TEST_CASE("a rank may die whenever its part of a checkpoint is on its way, and its next life send it, too",
          "[actors][restart]") {
  const scratch_directory scratch(place_in_memory());
  const std::string calm = scratch.path("calm");
  const int messages = save_while_dying(calm, -1, 0);
  const auto expected = saved_in(calm);
  REQUIRE_FALSE(expected.empty());
  const std::string stormy = scratch.path("stormy");
  for (int death = 0; death < messages; ++death)
    for (unsigned order = 0; order < 256; order += sanitized ? 85 : 5) {
      INFO("before message " << death << ", order " << order);
      std::filesystem::remove_all(stormy);
      save_while_dying(stormy, death, order);
      CHECK(saved_in(stormy) == expected);
    }
}
