// The interpreter of schedules against the reference, and the asynchronous schedules against their formulas.
#include "model/error.hpp"
#include "runtime/digest.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/reference_trainer.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/training_state.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <fstream>

using namespace troupe;
using namespace troupe::test;

namespace {

/// Values of all parameters of the model, in order.
using weights = std::vector<tensor>;

/// Trains the whole model by the formula W(v+1) = W(v) - update(grad f(W(version of v))), all versions in memory:
/// plain loops that know nothing of schedules.
class formula {
public:
  explicit formula(const run_spec& spec)
      : spec_(spec), data_(spec), family_(find_family(spec.model.family)),
        state_(spec, family_, {0, family_.layer_count(spec.model)}, nullptr, pool_) {
    versions_.push_back(present());
  }

  /// One update from microbatches [first, first + count) of a step, whose gradient is taken at W(version).
  void update(std::uint64_t step, std::uint32_t first, std::uint32_t count, std::uint64_t version) {
    set(versions_.at(version));
    for (std::uint32_t microbatch = first; microbatch < first + count; ++microbatch) {
      const microbatch_data cut = data_.sample({step, pass_mode::train}, microbatch);
      const pass_context at{.seed = spec_.training.seed,
                            .step = step,
                            .microbatch = microbatch,
                            .microbatches = count,
                            .sequences = spec_.training.microbatch_size,
                            .sequence_length = spec_.model.sequence_length,
                            .tokens = *cut.tokens,
                            .targets = *cut.targets,
                            .pool = &pool_};
      state_.model().forward({}, at);
      state_.model().backward({}, at);
    }
    set(versions_.back());
    state_.apply({versions_.size() - 1, learning_rate_at(spec_.optimizer, step), 1.0}, pool_);
    versions_.push_back(present());
  }

  std::string weights_sha256() const { return combine(state_.digests()).weights_sha256; }
  std::string optimizer_sha256() const { return combine(state_.digests()).optimizer_sha256; }

private:
  weights present() {
    weights copied;
    for (const parameter* p : state_.model().parameters())
      copied.push_back(pool_.copy(p->value));
    return copied;
  }
  void set(const weights& values) {
    for (std::size_t i = 0; i < values.size(); ++i)
      state_.model().parameters()[i]->value = pool_.copy(values[i]);
  }

  run_spec spec_;
  made_up_data data_;
  const model_family& family_;
  tensor_pool pool_;
  stage_state state_;
  std::deque<weights> versions_;
};

run_report one_thread(const run_spec& spec, const run_options& options = {}) {
  return run_one_thread(spec, made_up_data(spec), options);
}

run_spec asynchronous_spec(const std::string& schedule) {
  run_spec spec = tiny_spec();
  spec.pipeline.schedule = schedule;
  spec.training.steps = 6;
  spec.model.dropout = 0.1;
  return spec;
}

} // namespace

TEST_CASE("the interpreter gives the reference's bits for every synchronous schedule", "[one-thread]") {
  constexpr std::uint32_t ranks = 2;
  run_spec spec = tiny_spec();
  spec.model.layers = 10;
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  spec.training.microbatches = 6;
  for (const std::string& name : schedule_names()) {
    const schedule plan = generate_schedule({.name = name, .ranks = ranks, .microbatches = 6});
    if (plan.asynchronous)
      continue;
    spec.pipeline.schedule = name;
    spec.pipeline.stages = ranks;
    for (const std::uint32_t groups : plan.copies() > 1 ? std::vector{2U} : std::vector{1U, 2U, 6U}) {
      spec.training.gradient_groups = groups;
      INFO(name << ", " << groups << " gradient groups");
      check_same_result(one_thread(spec), run_reference(spec, made_up_data(spec), {}));
    }
  }
}

TEST_CASE("2bw is plain descent delayed by one step: W(t+1) = W(t) - lr * grad f(W(t-1))", "[one-thread]") {
  run_spec spec = asynchronous_spec("pipedream-2bw");
  spec.optimizer.kind = GENERATE("sgd", "adamw");
  formula expected(spec);
  for (std::uint64_t step = 0; step < spec.training.steps; ++step)
    expected.update(step, 0, spec.training.microbatches, step == 0 ? 0 : step - 1);
  for (const std::uint32_t stages : {1U, 2U, 4U}) {
    spec.pipeline.stages = stages;
    INFO(stages << " stages");
    CHECK(one_thread(spec).weights_sha256 == expected.weights_sha256());
    CHECK(one_thread(spec).optimizer_sha256 == expected.optimizer_sha256());
  }
}

TEST_CASE("with vertical sync each microbatch's gradient is that of the weights p - 1 updates before", "[one-thread]") {
  run_spec spec = asynchronous_spec("pipedream-vertical-sync");
  spec.pipeline.stages = GENERATE(1U, 2U, 4U);
  formula expected(spec);
  std::uint64_t updates = 0;
  for (std::uint64_t step = 0; step < spec.training.steps; ++step)
    for (std::uint32_t microbatch = 0; microbatch < spec.training.microbatches; ++microbatch, ++updates)
      expected.update(step, microbatch, 1, updates < spec.pipeline.stages ? 0 : updates - (spec.pipeline.stages - 1));
  CHECK(one_thread(spec).weights_sha256 == expected.weights_sha256());
}

TEST_CASE("pipedream without vertical sync differs from it, but not on one rank", "[one-thread]") {
  run_spec spec = asynchronous_spec("pipedream");
  run_spec sync = asynchronous_spec("pipedream-vertical-sync");
  CHECK(one_thread(spec).weights_sha256 == one_thread(sync).weights_sha256);
  spec.pipeline.stages = sync.pipeline.stages = 3;
  CHECK(one_thread(spec).weights_sha256 != one_thread(sync).weights_sha256);
}

TEST_CASE("validation does not change an asynchronous run", "[one-thread]") {
  run_spec spec = asynchronous_spec(GENERATE("pipedream", "pipedream-2bw"));
  spec.pipeline.stages = 3;
  const run_report with = one_thread(spec);
  CHECK(with.validations.size() == 3);
  spec.validation.every = 0;
  const run_report without = one_thread(spec);
  CHECK(without.weights_sha256 == with.weights_sha256);
  CHECK(bits_of(without.losses) == bits_of(with.losses));
}

TEST_CASE("an asynchronous run that is stopped and resumed has the bits of one that was not", "[one-thread]") {
  const scratch_directory scratch;
  run_spec spec = asynchronous_spec(GENERATE("pipedream", "pipedream-vertical-sync", "pipedream-2bw"));
  spec.pipeline.stages = 3;
  const run_report whole = one_thread(spec);
  run_spec first = spec;
  first.training.stop_after = GENERATE(1U, 2U, 5U);
  first.checkpoint.directory = (scratch.path() / "checkpoints").string();
  one_thread(first);
  std::vector<std::string> warnings;
  const checkpoint start = checkpoint::open_latest(first.checkpoint.directory, warnings);
  const run_report rest = one_thread(spec, {.resume = &start});
  INFO(spec.pipeline.schedule << " stopped after " << first.training.stop_after);
  CHECK(rest.weights_sha256 == whole.weights_sha256);
  CHECK(rest.optimizer_sha256 == whole.optimizer_sha256);
}

TEST_CASE("a checkpoint of an asynchronous run is not resumed as another one", "[one-thread]") {
  const scratch_directory scratch;
  run_spec spec = asynchronous_spec("pipedream");
  spec.pipeline.stages = 3;
  spec.training.stop_after = 2;
  spec.checkpoint.directory = (scratch.path() / "checkpoints").string();
  one_thread(spec);
  std::vector<std::string> warnings;
  const checkpoint start = checkpoint::open_latest(spec.checkpoint.directory, warnings);
  run_spec rest = spec;
  rest.training.stop_after = 0;
  const auto refusal = [&] { return error_text<checkpoint_error>([&] { one_thread(rest, {.resume = &start}); }); };
  const auto refusing = [&](const std::string& found) {
    return start.path().string() + ": pipeline.schedule: found " + found +
           " in this run, expected 'an update every 1 microbatches, weights 2/1/0 microbatches old on stages of 2/2/2 "
           "layers' as in the checkpoint";
  };
  rest.pipeline.schedule = "1f1b";
  CHECK(refusal() == refusing("a synchronous schedule"));
  rest.pipeline.schedule = "pipedream-2bw";
  CHECK(refusal() == refusing("'an update every 4 microbatches, weights 4 microbatches old'"));
  rest.pipeline.schedule = "pipedream";
  rest.pipeline.stages = 2;
  CHECK(refusal() ==
        refusing("'an update every 1 microbatches, weights 1/0 microbatches old on stages of 3/3 layers'"));
  rest.pipeline.stages = 3;
  rest.pipeline.partition = "1,2,3";
  CHECK(refusal() ==
        refusing("'an update every 1 microbatches, weights 2/1/0 microbatches old on stages of 1/2/3 layers'"));
  rest.pipeline.partition = "";
  CHECK(refusal().empty());
  CHECK(error_text<checkpoint_error>([&] { run_reference(rest, made_up_data(rest), {.resume = &start}); }) != "");
}

TEST_CASE("what a schedule file says now decides whether a checkpoint may be resumed, not its name", "[one-thread]") {
  const scratch_directory scratch;
  const std::string file = (scratch.path() / "own.csv").string();
  const auto write = [&](const std::string& name) {
    std::ofstream(file) << to_csv(generate_schedule({.name = name, .ranks = 3, .microbatches = 4}));
  };
  run_spec spec = asynchronous_spec("pipedream");
  spec.pipeline.stages = 3;
  const std::string whole = one_thread(spec).weights_sha256;
  run_spec first = spec;
  first.training.stop_after = 2;
  first.checkpoint.directory = (scratch.path() / "checkpoints").string();
  one_thread(first);
  std::vector<std::string> warnings;
  const checkpoint start = checkpoint::open_latest(first.checkpoint.directory, warnings);
  spec.pipeline.schedule = file;
  write("pipedream");
  CHECK(one_thread(spec, {.resume = &start}).weights_sha256 == whole);
  for (const std::string name : {"pipedream-vertical-sync", "pipedream-2bw", "1f1b"}) {
    write(name);
    CHECK(error_text<checkpoint_error>([&] { one_thread(spec, {.resume = &start}); }) != "");
  }
}

TEST_CASE("2bw may be resumed over another number of stages", "[one-thread]") {
  const scratch_directory scratch;
  run_spec spec = asynchronous_spec("pipedream-2bw");
  spec.pipeline.stages = 4;
  const run_report whole = one_thread(spec);
  run_spec first = spec;
  first.training.stop_after = 3;
  first.checkpoint.directory = (scratch.path() / "checkpoints").string();
  one_thread(first);
  std::vector<std::string> warnings;
  const checkpoint start = checkpoint::open_latest(first.checkpoint.directory, warnings);
  spec.pipeline.stages = 2;
  CHECK(one_thread(spec, {.resume = &start}).weights_sha256 == whole.weights_sha256);
}

TEST_CASE("clipping and a tied head are refused where stages update without waiting for each other", "[one-thread]") {
  run_spec spec = asynchronous_spec("pipedream-2bw");
  spec.optimizer.clip = 1.0;
  CHECK(error_text<spec_error>([&] { one_thread(spec); }) ==
        "optimizer.clip: found 1, expected 0 (no clipping by the norm of all gradients), because the stages of "
        "'pipedream-2bw' update without waiting for each other");
  spec.optimizer.clip = 0.0;
  spec.model.tied_head = true;
  CHECK(error_text<spec_error>([&] { one_thread(spec); }) ==
        "model.tied_head: found true, expected false, because the stages of 'pipedream-2bw' update without waiting for "
        "each other");
}
