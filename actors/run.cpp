#include "actors/run.hpp"

#include "actors/recorder.hpp"
#include "actors/scheduler.hpp"
#include "actors/shell.hpp"
#include "actors/stage.hpp"
#include "actors/store.hpp"
#include "runtime/emulated_family.hpp"
#include "runtime/emulation.hpp"
#include "runtime/schedule/cost_text.hpp"
#include "runtime/training_state.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <system_error>
#include <thread>

namespace troupe {

namespace {

constexpr std::chrono::milliseconds interrupt_poll{50};

/// CAF for one run. No configuration file is read: what happens follows from the run spec alone.
struct run_config : caf::actor_system_config {
  explicit run_config(std::uint32_t threads) {
    add_message_types<caf::id_block::troupe>();
    // One queue for all threads: a rank that becomes ready is run by the next free thread, in the order of readiness.
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", static_cast<std::size_t>(threads));
    // A rank gives its thread back after each message, so that ranks take turns when there are more of them than
    // threads.
    set("scheduler.max-throughput", std::size_t{1});
    set("logger.verbosity", caf::atom("quiet"));
  }
};

std::vector<std::pair<caf::actor, std::string>> everyone_by_name(const company& everyone) {
  std::vector<std::pair<caf::actor, std::string>> named;
  for (std::size_t rank = 0; rank < everyone.ranks.size(); ++rank)
    named.emplace_back(caf::actor_cast<caf::actor>(everyone.ranks[rank]), "rank " + std::to_string(rank));
  named.emplace_back(caf::actor_cast<caf::actor>(everyone.scheduler), "the scheduler");
  named.emplace_back(caf::actor_cast<caf::actor>(everyone.recorder), "the recorder");
  named.emplace_back(caf::actor_cast<caf::actor>(everyone.store), "the store");
  return named;
}

/// The observer of a run: the thread that called run_pipeline.
class audience {
public:
  audience(caf::actor_system& system, const run_options& options) : self_(system), options_(options) {}

  observer handle() { return caf::actor_cast<observer>(self_); }

  /// Waits for the end of the run and of all its actors.
  run_report watch(const company& everyone) {
    for (const auto& [member, name] : everyone_by_name(everyone))
      self_->monitor(member);
    alive_ = everyone.ranks.size() + 3;
    while (!report_ && !failure_)
      receive_one(everyone);
    for (const auto& [member, name] : everyone_by_name(everyone))
      caf::anon_send_exit(member, caf::exit_reason::user_shutdown);
    while (alive_ > 0)
      receive_one(everyone);
    if (failure_)
      throw_error(failure_->kind, failure_->text);
    return *report_->report;
  }

private:
  void receive_one(const company& everyone) {
    const auto ordered = [this](auto act) {
      const handler_scope scope(mailbox_of(self_));
      act();
    };
    self_->receive([&](const run_finished& in) { ordered([&] { report_ = in; }); },
                   [&](const failure_message& in) { ordered([&] { note_failure(in); }); },
                   [&](const caf::down_msg& in) { note_down(everyone, in); },
                   caf::after(interrupt_poll) >> [&] { pass_on_interrupt(everyone); });
  }

  /// The first failure is the cause; others follow from it.
  void note_failure(const failure_message& in) {
    if (!failure_)
      failure_ = in;
  }

  void note_down(const company& everyone, const caf::down_msg& in) {
    --alive_;
    if (report_ || failure_) // An exception's own failure_message was sent before this one.
      return;
    const auto members = everyone_by_name(everyone);
    const auto lost =
        std::ranges::find_if(members, [&](const auto& member) { return member.first.address() == in.source; });
    note_failure({error_kind::run, (lost == members.end() ? "an actor" : lost->second) + " ended before the run did"});
  }

  void pass_on_interrupt(const company& everyone) {
    if (interrupt_sent_ || options_.interrupts == nullptr || *options_.interrupts == 0)
      return;
    interrupt_sent_ = true;
    tell(everyone.scheduler, interrupt_message{});
  }

  caf::scoped_actor self_;
  const run_options& options_;
  std::optional<run_finished> report_;
  std::optional<failure_message> failure_;
  std::size_t alive_ = 0;
  bool interrupt_sent_ = false;
};

/// The threads of a run besides those that run ranks: the recorder's, the store's, CAF's clock, CAF's printer and the
/// alarm clock.
constexpr std::size_t side_threads = 5;

/// Starts `count` threads at once and ends them. CAF cannot recover from a thread that does not start, so the system is
/// asked before.
void expect_threads(std::size_t count) {
  std::promise<void> all_started;
  const std::shared_future<void> until = all_started.get_future().share();
  std::vector<std::thread> threads;
  std::string problem;
  try {
    for (std::size_t i = 0; i < count; ++i)
      threads.emplace_back([until] { until.wait(); });
  } catch (const std::system_error& e) {
    problem = e.what();
  }
  all_started.set_value();
  for (std::thread& one : threads)
    one.join();
  if (!problem.empty())
    throw run_error("threads: found " + std::to_string(threads.size()) + " that could be started (" + problem +
                    "), expected " + std::to_string(count));
}

} // namespace

setup_ptr make_setup(const run_spec& spec, const data_source& data, const run_options& options,
                     std::uint32_t processors) {
  auto setup = std::make_shared<run_setup>();
  setup->spec = spec;
  setup->family = options.family != nullptr ? options.family : &find_family(spec.model.family);
  setup->pipeline = options.pipeline != nullptr ? *options.pipeline : make_plan(spec, *setup->family);
  if (options.resume != nullptr)
    expect_same_versions(*options.resume, versions_rule(setup->pipeline));
  setup->spec.training.gradient_groups = setup->pipeline.gradient_groups; // settled, for the report and checkpoints
  setup->data = &data;
  setup->options = &options;
  setup->processors = processors;
  if (spec.pipeline.emulated()) { // to wait takes no processor
    expect_stage_count(parse_emulation(spec.pipeline.emulate, "pipeline.emulate").costs, setup->pipeline.order.stages(),
                       "pipeline.emulate");
    setup->emulated = std::make_unique<emulated_family>(*setup->family);
    setup->family = setup->emulated.get();
    setup->processors = 0;
  }
  const auto start = std::chrono::steady_clock::now();
  setup->clock = [start] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  return setup;
}

company spawn_company(caf::actor_system& system, const setup_ptr& setup, const observer& watcher,
                      side_actors placement) {
  company everyone;
  for (std::uint32_t rank = 0; rank < setup->pipeline.ranks(); ++rank)
    everyone.ranks.push_back(system.spawn(stage, setup, rank, watcher));
  everyone.scheduler = system.spawn(scheduler, setup, watcher);
  if (placement == side_actors::own_threads) {
    everyone.recorder = system.spawn<caf::detached>(recorder, setup, watcher);
    everyone.store = system.spawn<caf::detached>(store, setup, watcher);
  } else {
    everyone.recorder = system.spawn(recorder, setup, watcher);
    everyone.store = system.spawn(store, setup, watcher);
  }
  return everyone;
}

void introduce(const company& everyone, const std::shared_ptr<const company>& seen_by_ranks,
               const std::shared_ptr<const company>& seen_by_others) {
  tell(everyone.recorder, introduction{seen_by_others});
  tell(everyone.store, introduction{seen_by_others});
  tell(everyone.scheduler, introduction{seen_by_others});
  for (const stage_actor& rank : everyone.ranks)
    tell(rank, introduction{seen_by_ranks});
}

std::uint32_t usable_processors() {
  return std::max(1U, std::thread::hardware_concurrency());
}

run_report run_pipeline(const run_spec& spec, const data_source& data, const run_options& options) {
  // Where passes are emulated the ranks do next to nothing, and a second thread only has to be woken.
  const std::uint32_t threads = spec.pipeline.emulated() ? 1 : usable_processors();
  const setup_ptr setup = make_setup(spec, data, options, threads);
  expect_threads(threads + side_threads);
  run_config config(threads);
  caf::actor_system system(config);
  audience watcher(system, options);
  alarm_clock alarm;
  company everyone = spawn_company(system, setup, watcher.handle(), side_actors::own_threads);
  everyone.alarm = &alarm;
  const auto shared = std::make_shared<const company>(everyone);
  introduce(everyone, shared, shared);
  return watcher.watch(everyone);
}

} // namespace troupe
