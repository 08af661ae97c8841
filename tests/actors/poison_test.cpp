// Losses and gradients that are not finite: every schedule does what the reference does, skipped or stopped.
#include "actors/run.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/generation.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/poisoned_family.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

using moment = poison_dose::moment;
using trainer = std::function<run_report(const run_spec&, const data_source&, const run_options&)>;

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Five steps of a gpt with layers 0 to 5, in two gradient groups, so that any schedule may run it.
run_spec poisoned_spec() {
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.5;
  spec.optimizer.decay_steps = 5;
  spec.training.steps = 5;
  spec.training.microbatches = 4;
  spec.training.gradient_groups = 2;
  spec.faults.on_nan = nan_rule::skip;
  return spec;
}

/// A schedule and its ranks.
struct pipeline_choice {
  std::string schedule;
  std::uint32_t stages;
};

std::vector<pipeline_choice> pipelines() {
  return {{"1f1b", 3}, {"1f1b", 6},  {"gpipe", 2},    {"zb-h1", 3},   {"interleaved-1f1b", 2},
          {"zb-v", 3}, {"naive", 1}, {"dualpipe", 2}, {"chimera", 2}, {"dualpipev", 2}};
}

run_spec with(run_spec spec, const pipeline_choice& choice) {
  spec.pipeline.schedule = choice.schedule;
  spec.pipeline.stages = choice.stages;
  return spec;
}

run_report run(const trainer& train, const run_spec& spec, const model_family& family,
               const checkpoint* resume = nullptr) {
  run_options options;
  options.family = &family;
  options.resume = resume;
  return train(spec, made_up_data(spec), options);
}

std::string error_of_run(const trainer& train, const run_spec& spec, const model_family& family) {
  return error_text<run_error>([&] { run(train, spec, family); });
}

/// Steps done of the checkpoints in a directory, newest first.
std::vector<std::uint64_t> generations(const std::filesystem::path& directory) {
  return std::filesystem::exists(directory) ? list_generations(directory).steps : std::vector<std::uint64_t>();
}

/// A step's why, without the value, which may be NaN.
struct skip {
  std::uint64_t step; ///< steps done after it
  poison_source source;
  std::uint32_t microbatch;
  std::int64_t layer;

  friend bool operator==(const skip&, const skip&) = default;
};

std::vector<skip> skips_of(const run_report& report) {
  std::vector<skip> all;
  for (const skipped_step& one : report.skipped_steps)
    all.push_back({one.step, one.why.source, one.why.microbatch, one.why.layer});
  return all;
}

struct dosed {
  std::vector<poison_dose> doses;
  std::vector<skip> skips;
};

/// Each with the steps that it must cost.
std::vector<dosed> all_dosed() {
  return {
      {{{moment::forward, 2, 1, 3}}, {{2, poison_source::loss, 3, 3}}}, // the next layer is the first to keep it
      {{{moment::forward, 0, 0, 1, infinity}}, {{1, poison_source::loss, 1, 1}}},
      {{{moment::loss, 5, 4, 0}}, {{5, poison_source::loss, 0, 5}}},
      {{{moment::backward_input, 3, 2, 2, infinity}}, {{3, poison_source::gradients, 0, 2}}},
      {{{moment::backward_weight, 4, 1, 0}}, {{2, poison_source::gradients, 0, 4}}},
      // Several at once: the first microbatch, and of that the first layer.
      {{{moment::forward, 1, 1, 2},
        {moment::forward, 4, 1, 2},
        {moment::forward, 3, 1, 1},
        {moment::backward_weight, 5, 1, 0},
        {moment::loss, 5, 3, 3, infinity},
        {moment::backward_input, 5, 3, 1}},
       {{2, poison_source::loss, 1, 4}, {4, poison_source::loss, 3, 5}}},
  };
}

} // namespace

TEST_CASE("a poisoned step is skipped by every schedule as by the reference, and named alike", "[poison]") {
  for (const dosed& one : all_dosed()) {
    const poisoned_family family(one.doses);
    const run_spec spec = poisoned_spec();
    const run_report reference = run(run_reference, spec, family);
    CHECK(skips_of(reference) == one.skips);
    std::size_t number = 0;
    for (const pipeline_choice& choice : pipelines()) {
      if (sanitized && number++ % 4 != 0)
        continue;
      INFO(choice.schedule << ", " << choice.stages << " ranks, skipped step " << one.skips.front().step);
      run_spec there = with(spec, choice);
      const run_report found = run(run_pipeline, there, family);
      check_same_result(found, reference);
      CHECK(skips_of(found) == one.skips);
      there.pipeline.recomputation = recompute::full;
      const run_report recomputed = run(run_one_thread, there, family);
      check_same_result(recomputed, reference);
      CHECK(skips_of(recomputed) == one.skips);
    }
  }
}

TEST_CASE("a skipped step leaves weights and optimizer state as they were", "[poison]") {
  run_spec spec = with(poisoned_spec(), {"1f1b", 3});
  const poisoned_family family({{moment::forward, 2, 2, 0}, {moment::backward_input, 4, 3, 1}});
  spec.training.stop_after = 2;
  const run_report before = run(run_pipeline, spec, family);
  CHECK(before.skipped_steps.empty());
  spec.training.stop_after = 4;
  const run_report after = run(run_pipeline, spec, family);
  CHECK(after.skipped_steps.size() == 2);
  CHECK(after.weights_sha256 == before.weights_sha256);
  CHECK(after.optimizer_sha256 == before.optimizer_sha256);
  spec.training.stop_after = 5;
  CHECK(run(run_pipeline, spec, family).weights_sha256 != before.weights_sha256);
}

TEST_CASE("the learning rate after a skipped step is that of the step's number", "[poison]") {
  const auto rates = [](const model_family& family) {
    std::vector<double> all;
    run_options options;
    options.family = &family;
    options.on_step = [&](const step_progress& at) { all.push_back(at.learning_rate); };
    const run_spec spec = with(poisoned_spec(), {"zb-h1", 2});
    run_pipeline(spec, made_up_data(spec), options);
    return all;
  };
  const std::vector<double> plain = rates(find_family("gpt"));
  CHECK(plain.size() == 5);
  CHECK(rates(poisoned_family({{moment::loss, 5, 1, 0}})) == plain);
}

TEST_CASE("the progress of a skipped step says why, that of another one nothing", "[poison]") {
  const poisoned_family family({{moment::forward, 2, 1, 3}});
  std::vector<std::string> told;
  run_options options;
  options.family = &family;
  options.on_step = [&](const step_progress& at) { told.push_back(at.skipped); };
  const run_spec spec = with(poisoned_spec(), {"1f1b", 2});
  run_pipeline(spec, made_up_data(spec), options);
  CHECK(told == std::vector<std::string>{
                    "", "step 2, microbatch 3: found a loss of nan (first seen in layer 3, block 2)", "", "", ""});
}

TEST_CASE("a validation loss that is not finite is reported and stops nothing", "[poison]") {
  class poisoned_validation : public layer {
  public:
    explicit poisoned_validation(layer_ptr inner) : inner_(std::move(inner)) {}
    tensor forward(const tensor& input, stash& kept, const pass_context& at) const override {
      tensor output = inner_->forward(input, kept, at);
      if (at.mode == pass_mode::evaluate && at.microbatch == 1)
        kept.loss = std::numeric_limits<double>::quiet_NaN();
      return output;
    }
    tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override {
      return inner_->backward_input(output_gradient, kept, at);
    }
    void backward_weight(stash& kept, const pass_context& at) override { inner_->backward_weight(kept, at); }
    void collect_parameters(std::vector<parameter*>& out) override { inner_->collect_parameters(out); }

  private:
    layer_ptr inner_;
  };
  const changed_family family([](std::int64_t index, layer_ptr made) -> layer_ptr {
    return index == 5 ? std::make_unique<poisoned_validation>(std::move(made)) : std::move(made);
  });
  run_spec spec = with(poisoned_spec(), {"1f1b", 3});
  spec.faults.on_nan = nan_rule::stop;
  const run_report plain = run(run_pipeline, spec, find_family("gpt"));
  for (const trainer& train : {trainer(run_pipeline), trainer(run_reference), trainer(run_one_thread)}) {
    const run_report report = run(train, spec, family);
    CHECK(report.weights_sha256 == plain.weights_sha256);
    REQUIRE(report.validations.size() == 2);
    CHECK(std::isnan(report.validations.front().loss));
  }
}

TEST_CASE("a poisoned step that stops the run is named alike by every schedule and the reference", "[poison]") {
  const poisoned_family loss({{moment::forward, 4, 2, 1}});
  const poisoned_family gradient({{moment::backward_weight, 3, 2, 1, infinity}});
  const std::string loss_text =
      "step 3, microbatch 1: found a loss of nan (first seen in layer 5, the head), expected a "
      "finite number (a lower learning rate may help)";
  const std::string gradient_text = "step 3: found a gradient norm of inf (first seen in layer 3, block 2), expected a "
                                    "finite number (a lower learning rate may help)";
  run_spec spec = poisoned_spec();
  spec.faults.on_nan = nan_rule::stop;
  CHECK(error_of_run(run_reference, spec, loss) == loss_text);
  CHECK(error_of_run(run_reference, spec, gradient) == gradient_text);
  for (const pipeline_choice& choice : pipelines()) {
    INFO(choice.schedule);
    for (const trainer& train : {trainer(run_pipeline), trainer(run_one_thread)}) {
      CHECK(error_of_run(train, with(spec, choice), loss) == loss_text);
      CHECK(error_of_run(train, with(spec, choice), gradient) == gradient_text);
    }
  }
}

TEST_CASE("a run that stops on poison leaves the last whole step, and goes on from there as one that skips",
          "[poison]") {
  const poisoned_family family({{moment::loss, 5, 3, 2}});
  run_spec skipping = poisoned_spec();
  const run_report whole = run(run_reference, skipping, family);
  run_spec stopped = skipping;
  stopped.training.stop_after = 3;
  const run_report before = run(run_reference, stopped, family);
  for (const std::uint64_t every : {0U, 2U, 3U})
    for (const trainer& train : {trainer(run_pipeline), trainer(run_reference), trainer(run_one_thread)}) {
      const scratch_directory scratch;
      run_spec spec = with(poisoned_spec(), {"1f1b", 3});
      spec.faults.on_nan = nan_rule::stop;
      spec.checkpoint.directory = (scratch / "run").string();
      spec.checkpoint.every = every;
      spec.checkpoint.keep = 10;
      INFO("a checkpoint every " << every);
      CHECK_FALSE(error_of_run(train, spec, family).empty());
      const std::vector<std::uint64_t> expected =
          every == 2 ? std::vector<std::uint64_t>{3, 2} : std::vector<std::uint64_t>{3};
      CHECK(generations(scratch / "run") == expected);
      std::vector<std::string> warnings;
      const checkpoint left = checkpoint::open_latest(scratch / "run", warnings);
      run_spec rest = with(skipping, {"gpipe", 2});
      const run_report resumed = run(run_pipeline, rest, family, &left);
      CHECK(resumed.weights_sha256 == whole.weights_sha256);
      CHECK(resumed.optimizer_sha256 == whole.optimizer_sha256);
      rest.training.stop_after = 3;
      CHECK(run(run_pipeline, rest, family, &left).weights_sha256 == before.weights_sha256);
    }
}

TEST_CASE("a run whose first step is poisoned stops and leaves no checkpoint", "[poison]") {
  const poisoned_family family({{moment::loss, 5, 0, 2}});
  for (const trainer& train : {trainer(run_pipeline), trainer(run_reference), trainer(run_one_thread)}) {
    const scratch_directory scratch;
    run_spec spec = with(poisoned_spec(), {"1f1b", 3});
    spec.faults.on_nan = nan_rule::stop;
    spec.checkpoint.directory = (scratch / "run").string();
    CHECK(error_of_run(train, spec, family).find("step 1, microbatch 2: found a loss of nan") == 0);
    CHECK(generations(scratch / "run").empty());
  }
}

TEST_CASE("messages in any order, some of them twice, skip the same step and stop with the same checkpoint",
          "[poison][actors]") {
  const poisoned_family family({{moment::forward, 2, 1, 2}, {moment::forward, 4, 1, 1}});
  run_options options;
  options.family = &family;
  run_spec spec = with(poisoned_spec(), {"1f1b", 3});
  const made_up_data data(spec);
  const run_report reference = run_reference(spec, data, options);
  for (const pipeline_choice& choice : {pipeline_choice{"1f1b", 3}, {"interleaved-1f1b", 2}, {"chimera", 2}})
    for (std::uint64_t seed = 0; seed < orders(15); ++seed) {
      INFO(choice.schedule << ", seed " << seed);
      const outcome seen = unruly_run(with(spec, choice), data, options, seed).play();
      REQUIRE(seen.report);
      check_same_result(*seen.report, reference);
      CHECK(skips_of(*seen.report) == std::vector<skip>{{2, poison_source::loss, 1, 5}});
      const scratch_directory scratch;
      run_spec stopping = with(spec, choice);
      stopping.faults.on_nan = nan_rule::stop;
      stopping.checkpoint.directory = (scratch / "run").string();
      const outcome stopped = unruly_run(stopping, data, options, seed).play();
      CHECK_FALSE(stopped.report);
      REQUIRE(stopped.failure);
      CHECK(stopped.failure->kind == error_kind::run);
      CHECK(stopped.failure->text.find("step 2, microbatch 1: found a loss of nan") == 0);
      CHECK(generations(scratch / "run") == std::vector<std::uint64_t>{1});
    }
}

TEST_CASE("an asynchronous schedule stops on poison as its one-thread yardstick does, and cannot skip", "[poison]") {
  const poisoned_family family({{moment::forward, 2, 2, 3}});
  for (const std::string schedule : {"pipedream", "pipedream-vertical-sync", "pipedream-2bw"}) {
    INFO(schedule);
    const scratch_directory scratch;
    run_spec spec = with(poisoned_spec(), {schedule, 3});
    spec.model.tied_head = false;
    spec.optimizer.clip = 0.0;
    spec.training.gradient_groups = 0;
    spec.checkpoint.directory = (scratch / "run").string();
    spec.checkpoint.every = 1;
    CHECK(error_text<spec_error>([&] { make_plan(spec, family); }) ==
          "faults.on_nan: found skip, expected stop, because the stages of '" + schedule +
              "' update without waiting for each other");
    spec.faults.on_nan = nan_rule::stop;
    const std::string text = error_of_run(run_pipeline, spec, family);
    CHECK(text.find("step 3, microbatch 3: found a loss of nan (first seen in layer 3, block 2)") == 0);
    CHECK(generations(scratch / "run") == std::vector<std::uint64_t>{2, 1});
    spec.checkpoint = {};
    CHECK(error_of_run(run_one_thread, spec, family) == text);
  }
}
