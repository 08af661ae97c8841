// The check of a run spec: what makes no sense is refused here, before any file is opened or any actor starts.
#include "model/error.hpp"
#include "model/gemm.hpp"
#include "runtime/emulation.hpp"
#include "runtime/faults/chaos.hpp"
#include "runtime/nearest.hpp"
#include "runtime/plan.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/run_spec_ranges.hpp"
#include "runtime/schedule/csv.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace troupe {

namespace {

// As the bounds of run_spec_ranges.hpp: far beyond any run that makes sense, and far from overflow.
constexpr std::int64_t most_elements = std::int64_t{1} << 40U; ///< of one tensor, and of all parameters together
constexpr std::int64_t most_tokens = std::int64_t{1} << 31U;   ///< of one step

[[noreturn]] void refuse(const std::string& field, const std::string& found, const std::string& expected) {
  throw spec_error(fmt::format("{}: found {}, expected {}", field, found, expected));
}

template <class Whole>
void expect_in_range(const std::string& field, Whole found) {
  const whole_range range = range_of(field);
  if (std::cmp_less(found, range.least) || std::cmp_greater(found, range.most))
    refuse(field, std::to_string(found), fmt::format("{} to {}", range.least, range.most));
}

enum class upper_end { included, excluded };

/// NaN fails every comparison, so the condition is written as what must hold.
void expect_number(const std::string& field, double found, double least, double most,
                   upper_end end = upper_end::included) {
  const bool below = end == upper_end::included ? found <= most : found < most;
  if (!(std::isfinite(found) && found >= least && below))
    refuse(field, fmt::format("{}", found),
           fmt::format("{} to {}{}", least, most, end == upper_end::included ? "" : ", itself excluded"));
}

void expect_word(const std::string& field, const std::string& found, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), found) == known.end())
    refuse(field, "'" + found + "'", fmt::format("one of {}{}", fmt::join(known, ", "), did_you_mean(found, known)));
}

/// A product of sizes, in double: exact far beyond the limits it is compared with, and it cannot overflow.
struct product {
  std::string field; ///< to blame
  std::string text;  ///< "training.microbatch_size x model.sequence_length"
  double value = 0.0;
  std::int64_t most = 0;
};

void expect_products(const std::vector<product>& all) {
  for (const product& one : all)
    if (one.value > static_cast<double>(one.most))
      refuse(one.field, fmt::format("{} = {:.0f}", one.text, one.value), fmt::format("at most {}", one.most));
}

void check_model(const model_spec& model) {
  expect_in_range("model.layers", model.layers);
  expect_in_range("model.width", model.width);
  expect_in_range("model.heads", model.heads);
  expect_in_range("model.vocabulary", model.vocabulary);
  expect_in_range("model.sequence_length", model.sequence_length);
  expect_in_range("model.embedding_width", model.embedding_width);
  expect_number("model.dropout", model.dropout, 0.0, 1.0, upper_end::excluded);
}

void check_data(const run_spec& spec) {
  const std::string& hash = spec.data.sha256;
  if (!hash.empty() && (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != std::string::npos))
    refuse("data.sha256", "'" + hash + "'", "64 hexadecimal digits in lower case, or nothing");
  expect_number("data.validation_fraction", spec.data.validation_fraction, 0.0, 1.0, upper_end::excluded);
  if (spec.validation.every > 0 && spec.data.validation_fraction == 0.0)
    refuse("data.validation_fraction", "0", fmt::format("more, since validation.every is {}", spec.validation.every));
  const std::int64_t vocabulary = spec.model.vocabulary;
  if (spec.data.tokens == token_format::bytes && vocabulary < 256)
    refuse("model.vocabulary", std::to_string(vocabulary), "at least 256, since data.tokens is bytes");
  if (spec.data.tokens == token_format::uint16 && vocabulary > 65536)
    refuse("model.vocabulary", std::to_string(vocabulary), "at most 65536, since data.tokens is uint16");
}

void check_training(const training_spec& training) {
  expect_in_range("training.steps", training.steps);
  expect_in_range("training.microbatches", training.microbatches);
  expect_in_range("training.microbatch_size", training.microbatch_size);
  if (training.stop_after > training.steps)
    refuse("training.stop_after", std::to_string(training.stop_after),
           fmt::format("0 to training.steps ({})", training.steps));
  if (training.gradient_groups > 0 && training.microbatches % training.gradient_groups != 0)
    refuse("training.gradient_groups", std::to_string(training.gradient_groups),
           fmt::format("0, or a number that divides training.microbatches ({})", training.microbatches));
}

void check_optimizer(const optimizer_spec& optimizer) {
  expect_word("optimizer.kind", optimizer.kind, {"adamw", "sgd"});
  expect_number("optimizer.learning_rate", optimizer.learning_rate, 0.0, 1e6);
  expect_number("optimizer.minimum_learning_rate", optimizer.minimum_learning_rate, 0.0, optimizer.learning_rate);
  expect_in_range("optimizer.warmup_steps", optimizer.warmup_steps);
  expect_in_range("optimizer.decay_steps", optimizer.decay_steps);
  if (optimizer.decay_steps > 0 && optimizer.decay_steps <= optimizer.warmup_steps)
    refuse("optimizer.decay_steps", std::to_string(optimizer.decay_steps),
           fmt::format("0, or more than optimizer.warmup_steps ({})", optimizer.warmup_steps));
  expect_number("optimizer.beta1", optimizer.beta1, 0.0, 1.0, upper_end::excluded);
  expect_number("optimizer.beta2", optimizer.beta2, 0.0, 1.0, upper_end::excluded);
  expect_number("optimizer.epsilon", optimizer.epsilon, 1e-30, 1.0); // at least 1e-30 so that it is no zero as a float
  expect_number("optimizer.weight_decay", optimizer.weight_decay, 0.0, 1e6);
  expect_number("optimizer.momentum", optimizer.momentum, 0.0, 1.0, upper_end::excluded);
  expect_number("optimizer.clip", optimizer.clip, 0.0, 1e12);
}

void check_pipeline(const pipeline_spec& pipeline) {
  expect_in_range("pipeline.stages", pipeline.stages);
  expect_in_range("pipeline.chunks", pipeline.chunks);
  expect_in_range("pipeline.group_size", pipeline.group_size);
  expect_in_range("pipeline.waves", pipeline.waves);
  expect_in_range("pipeline.memory_limit", pipeline.memory_limit);
  if (!is_csv(pipeline.schedule)) {
    std::vector<std::string> known = schedule_names();
    known.emplace_back(searched_schedule_name);
    known.emplace_back("reference");
    known.emplace_back("FILE.csv");
    expect_word("pipeline.schedule", pipeline.schedule, known);
  }
  const auto most_threads = static_cast<std::uint32_t>(max_gemm_threads());
  if (pipeline.threads_per_stage < 1 || pipeline.threads_per_stage > most_threads)
    refuse("pipeline.threads_per_stage", std::to_string(pipeline.threads_per_stage),
           fmt::format("1 to {}, the limit of {}", most_threads, gemm_library()));
}

/// What needs a schedule, and what emulated passes cannot give.
void check_dispatch_and_emulation(const run_spec& spec) {
  const pipeline_spec& pipeline = spec.pipeline;
  const bool reference = pipeline.schedule == "reference";
  if (pipeline.dispatch == dispatch_mode::reactive && reference)
    refuse("pipeline.dispatch", "reactive", "static, since pipeline.schedule is reference, which has no lists");
  if (!pipeline.emulated())
    return;
  parse_emulation(pipeline.emulate, "pipeline.emulate");
  if (reference)
    refuse("pipeline.emulate", "'" + pipeline.emulate + "'", "nothing, since pipeline.schedule is reference");
  if (!spec.checkpoint.directory.empty())
    refuse("checkpoint.directory", "'" + spec.checkpoint.directory + "'",
           "none, since pipeline.emulate leaves no weights to be saved");
  if (spec.validation.every > 0)
    refuse("validation.every", std::to_string(spec.validation.every),
           "0, since pipeline.emulate leaves no loss to be measured");
}

void check_validation_and_checkpoint(const run_spec& spec) {
  expect_in_range("validation.every", spec.validation.every);
  expect_in_range("validation.microbatches", spec.validation.microbatches);
  expect_in_range("checkpoint.every", spec.checkpoint.every);
  expect_in_range("checkpoint.keep", spec.checkpoint.keep);
  if (spec.checkpoint.every > 0 && spec.checkpoint.directory.empty())
    refuse("checkpoint.directory", "none", fmt::format("one, since checkpoint.every is {}", spec.checkpoint.every));
}

void check_faults(const run_spec& spec) {
  const faults_spec& faults = spec.faults;
  expect_in_range("faults.snapshot_every", faults.snapshot_every);
  expect_in_range("faults.max_restarts", faults.max_restarts);
  expect_number("faults.restart_window", faults.restart_window_seconds, 0.0, 1e6);
  const bool reference = spec.pipeline.schedule == "reference";
  if (!faults.snapshot_directory.empty() && (reference || faults.snapshot_every == 0))
    refuse("faults.snapshot_directory", "'" + faults.snapshot_directory + "'",
           reference ? "none, since pipeline.schedule is reference, which takes no snapshots"
                     : "none, since faults.snapshot_every is 0, so that there are no snapshots");
  const std::vector<chaos_order> orders = parse_chaos(faults.chaos);
  if (!orders.empty() && reference)
    refuse("faults.chaos", "'" + faults.chaos + "'",
           "nothing, since pipeline.schedule is reference, which has no ranks");
  expect_possible(orders, chaos_run_of(spec));
}

/// A step's tokens, and the largest activations of a microbatch; the sizes of weights are the family's business.
void check_sizes(const run_spec& spec) {
  const auto number = [](auto value) { return static_cast<double>(value); };
  const double B = number(spec.training.microbatch_size);
  const double T = number(spec.model.sequence_length);
  const std::string rows = "training.microbatch_size x model.sequence_length";
  std::vector<product> all = {
      {"training.microbatches", "training.microbatches x " + rows, number(spec.training.microbatches) * B * T,
       most_tokens},
      {"validation.microbatches", "validation.microbatches x " + rows, number(spec.validation.microbatches) * B * T,
       most_tokens},
      {"model.width", "4 x model.width x " + rows, 4.0 * number(spec.model.width) * B * T, most_elements},
      {"model.vocabulary", "model.vocabulary x " + rows, number(spec.model.vocabulary) * B * T, most_elements}};
  if (spec.model.family == "gpt")
    all.push_back({"model.sequence_length", "model.heads x model.sequence_length x " + rows,
                   number(spec.model.heads) * T * B * T, most_elements});
  if (spec.model.family == "mlp")
    all.push_back({"model.embedding_width", "model.embedding_width x " + rows,
                   number(spec.model.embedding_width) * B * T, most_elements});
  expect_products(all);
}

/// The reference trainer does not cut the model, unless what crosses a cut is rounded: then any partition will do, as
/// it has no ranks to share the stages out to. A file says itself how many stages it has, which make_plan compares.
void check_partition(const run_spec& spec, const model_family& family) {
  const pipeline_spec& pipeline = spec.pipeline;
  const bool reference = pipeline.schedule == "reference";
  if (reference ? pipeline.wire == wire_precision::fp32 : is_csv(pipeline.schedule) && pipeline.chunks == 0)
    return;
  const std::int64_t layers = family.layer_count(spec.model);
  const std::uint32_t chunks = reference ? std::max(pipeline.chunks, 1U) : least_chunks(spec);
  const std::uint32_t stages = pipeline.stages * chunks; // each at most 4096
  if (stages > layers)
    refuse(
        "pipeline.stages",
        chunks == 1 ? std::to_string(stages) : fmt::format("{} x {} chunks", pipeline.stages, chunks),
        fmt::format("at most {} stages, one for each layer that model.layers = {} makes", layers, spec.model.layers));
  if (!pipeline.partition.empty())
    parse_partition(pipeline.partition, layers, reference ? stages_in(pipeline.partition) : stages);
}

} // namespace

std::int64_t parameter_count(const model_spec& spec, const model_family& family) {
  std::int64_t total = 0;
  for (std::int64_t index = 0; index < family.layer_count(spec); ++index) {
    const layer_ptr one = family.make_layer(spec, index);
    for (const parameter* p : parameters_of(*one))
      total += p->replica_of.empty() ? p->extents.size() : 0;
  }
  return total;
}

void validate(const run_spec& spec, const model_family& family) {
  check_model(spec.model);
  check_data(spec);
  check_training(spec.training);
  check_optimizer(spec.optimizer);
  check_pipeline(spec.pipeline);
  check_validation_and_checkpoint(spec);
  check_faults(spec);
  check_dispatch_and_emulation(spec);
  check_sizes(spec);
  family.validate(spec.model);
  check_partition(spec, family);
  const std::int64_t parameters = parameter_count(spec.model, family);
  if (parameters > most_elements)
    refuse("model.layers", fmt::format("{} parameters in all", parameters), fmt::format("at most {}", most_elements));
}

void validate(const run_spec& spec) {
  expect_word("model.family", spec.model.family, family_names());
  validate(spec, find_family(spec.model.family));
}

} // namespace troupe
