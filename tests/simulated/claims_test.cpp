// Runs that want the same workers at the same moment, in simulated processes: one gets them.
#include "actors/network/listener.hpp"
#include "actors/network/worker.hpp"
#include "runtime/recovery/run_log.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/simulation/simulated_coordinator.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;

namespace {

constexpr double peer_timeout = 1.0;
constexpr std::uint16_t first_port = 1000;
constexpr std::size_t seeds = orders(40);

/// Three workers, and coordinators that begin when they are told to.
class few_workers {
public:
  few_workers(std::uint64_t seed, run_spec spec)
      : spec_(std::move(spec)), data_(spec_),
        all_(seed, {.seconds_per_event = 1e-5, .in_order = seed % 2 == 0 ? 0.5 : 0.0, .cut = 0.1}, log_) {
    for (std::uint16_t place = 0; place < 3; ++place)
      start_worker(static_cast<std::uint16_t>(first_port + place));
  }
  few_workers(const few_workers&) = delete;
  few_workers& operator=(const few_workers&) = delete;
  ~few_workers() { all_.end(); }

  simulated_coordinator& begin(std::vector<network_address> workers, bool follows) {
    simulated_coordinator::setup how{.spec = spec_, .data = &data_, .follows = follows};
    how.workers.workers = std::move(workers);
    how.workers.peer_timeout = peer_timeout;
    const process_number who = all_.start("coordinator", 1.0);
    heads_.push_back(std::make_unique<simulated_coordinator>(all_, who, std::move(how)));
    return *heads_.back();
  }
  std::vector<network_address> workers() const { return addresses_; }

  void kill(const simulated_coordinator& head) { all_.kill(head.who(), process_death::told); }
  void kill_worker(std::size_t place) { all_.kill(workers_[place], process_death::told); }
  /// What happens while no coordinator's main thread has its turn.
  void happen_without_heads(int events) {
    for (int event = 0; event < events; ++event)
      all_.happen();
  }
  void happen() {
    all_.happen();
    for (const auto& head : heads_)
      if (all_.runs(head->who()))
        head->look();
  }

private:
  void start_worker(std::uint16_t port) {
    const process_number who = all_.start("worker", 1.0);
    workers_.push_back(who);
    addresses_.push_back({"127.0.0.1", port});
    all_.within(who, [&] {
      const worker_setup how{.tls = nullptr, .peer_timeout = peer_timeout, .on_event = {}, .outside = all_.around(who)};
      const caf::actor host = all_.system().spawn(worker, how, caf::actor_cast<observer>(all_.main_of(who)));
      listen(all_.system(), *all_.system().middleman().backend().new_tcp_doorman(port, "127.0.0.1", true),
             link_setup{.owner = host,
                        .tls = nullptr,
                        .side = tls_side::server,
                        .expected_host = {},
                        .peer_timeout = peer_timeout,
                        .clock = how.outside.clock});
    });
  }

  run_spec spec_;
  made_up_data data_;
  event_log log_;
  cluster all_;
  std::vector<process_number> workers_;
  std::vector<network_address> addresses_;
  std::vector<std::unique_ptr<simulated_coordinator>> heads_;
};

run_spec spec_of_three() {
  run_spec spec = tiny_spec();
  spec.data.tokens = token_format::uint16; // which may be few
  spec.pipeline.stages = 3;
  spec.pipeline.schedule = "1f1b";
  return spec;
}

/// Two runs that began at once, one with the workers in their order, the other one backwards, when they are over.
using two_runs = std::vector<const simulated_coordinator*>;
two_runs race(few_workers& place, bool follows) {
  std::vector<network_address> backwards = place.workers();
  std::ranges::reverse(backwards);
  const simulated_coordinator& one = place.begin(place.workers(), follows);
  const simulated_coordinator& other = place.begin(backwards, follows);
  while (!one.over() || !other.over())
    place.happen();
  return {&one, &other};
}

/// One of them has done its work, at least, and any other one was refused.
void expect_winner(const two_runs& both) {
  CHECK(std::ranges::any_of(both, [](const auto* one) { return one->report().has_value(); }));
  for (const simulated_coordinator* one : both)
    if (!one->report())
      CHECK_THAT(one->failure() ? one->failure()->text : "it goes on",
                 Contains("refuses: this worker is busy with run "));
}

} // namespace

TEST_CASE("of two runs that want the same workers at once one gets them, and the other is refused") {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    few_workers place(seed, spec_of_three());
    expect_winner(race(place, false));
  }
}

TEST_CASE("of two processes that go on with a run at once one has its workers, with all that they hold") {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const scratch_directory scratch(place_in_memory());
    run_spec spec = spec_of_three();
    spec.checkpoint.directory = scratch.path("run");
    const std::string expected = run_reference(spec_of_three(), made_up_data(spec), run_options{}).weights_sha256;
    few_workers place(seed, spec);
    const simulated_coordinator& first = place.begin(place.workers(), false);
    while (steps_decided(spec.checkpoint.directory).value_or(0) < 2)
      place.happen();
    place.kill(first);
    INFO("seed " << seed);
    const two_runs both = race(place, true);
    expect_winner(both);
    for (const simulated_coordinator* one : both)
      if (one->report()) {
        CHECK(one->report()->weights_sha256 == expected);
        CHECK(one->report()->resumed_from == "workers");
      }
  }
}

TEST_CASE("a worker that is lost when all are ready, before the run has begun, is lost by a run that goes on") {
  const std::string expected =
      run_reference(spec_of_three(), made_up_data(spec_of_three()), run_options{}).weights_sha256;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    few_workers place(seed, spec_of_three());
    const simulated_coordinator& only = place.begin(place.workers(), false);
    constexpr int until_ready = 2000; // events; then there are heartbeats only
    place.happen_without_heads(until_ready);
    place.kill_worker(seed % 3);
    place.happen_without_heads(100);
    while (!only.over())
      place.happen();
    INFO((only.failure() ? only.failure()->text : "no failure"));
    REQUIRE(only.report());
    CHECK(only.report()->weights_sha256 == expected);
    CHECK(only.returns() == 0);
    CHECK_FALSE(only.report()->recoveries.empty());
  }
}
