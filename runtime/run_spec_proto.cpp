#include "runtime/run_spec_proto.hpp"

#include "model/error.hpp"
#include "runtime/nearest.hpp"
#include "runtime/run_spec.pb.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace troupe {

namespace {

// In the order of the enumerators.
const std::vector<std::string> token_words = {"bytes", "uint16"};
const std::vector<std::string> recompute_words = {"none", "full"};
const std::vector<std::string> dispatch_words = {"static", "reactive"};
const std::vector<std::string> wire_words = {"fp32", "bf16"};
const std::vector<std::string> nan_words = {"stop", "skip"};

template <class Choice>
const std::string& to_word(Choice value, const std::vector<std::string>& words) {
  return words[static_cast<std::size_t>(value)];
}

template <class Choice>
Choice to_choice(const char* field, const std::string& word, const std::vector<std::string>& words) {
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end())
    throw spec_error(
        fmt::format("{}: found '{}', expected {}{}", field, word, fmt::join(words, " or "), did_you_mean(word, words)));
  return static_cast<Choice>(found - words.begin());
}

void write_model(const model_spec& from, proto::ModelSpec& to) {
  to.set_family(from.family);
  to.set_layers(from.layers);
  to.set_width(from.width);
  to.set_heads(from.heads);
  to.set_vocabulary(from.vocabulary);
  to.set_sequence_length(from.sequence_length);
  to.set_embedding_width(from.embedding_width);
  to.set_dropout(from.dropout);
  to.set_tied_head(from.tied_head);
}

void write_training(const training_spec& from, proto::TrainingSpec& to) {
  to.set_steps(from.steps);
  to.set_microbatches(from.microbatches);
  to.set_microbatch_size(from.microbatch_size);
  to.set_seed(from.seed);
  to.set_stop_after(from.stop_after);
  to.set_gradient_groups(from.gradient_groups);
}

void write_optimizer(const optimizer_spec& from, proto::OptimizerSpec& to) {
  to.set_kind(from.kind);
  to.set_learning_rate(from.learning_rate);
  to.set_minimum_learning_rate(from.minimum_learning_rate);
  to.set_warmup_steps(from.warmup_steps);
  to.set_decay_steps(from.decay_steps);
  to.set_beta1(from.beta1);
  to.set_beta2(from.beta2);
  to.set_epsilon(from.epsilon);
  to.set_weight_decay(from.weight_decay);
  to.set_momentum(from.momentum);
  to.set_clip(from.clip);
}

void write_pipeline(const pipeline_spec& from, proto::PipelineSpec& to) {
  to.set_stages(from.stages);
  to.set_chunks(from.chunks);
  to.set_schedule(from.schedule);
  to.set_recompute(to_word(from.recomputation, recompute_words));
  to.set_threads_per_stage(from.threads_per_stage);
  to.set_partition(from.partition);
  to.set_group_size(from.group_size);
  to.set_waves(from.waves);
  to.set_dispatch(to_word(from.dispatch, dispatch_words));
  to.set_emulate(from.emulate);
  to.set_memory_limit(from.memory_limit);
  to.set_wire(to_word(from.wire, wire_words));
}

void write_faults(const faults_spec& from, proto::FaultsSpec& to) {
  to.set_snapshot_every(from.snapshot_every);
  to.set_max_restarts(from.max_restarts);
  to.set_restart_window(from.restart_window_seconds);
  to.set_on_nan(to_word(from.on_nan, nan_words));
  to.set_chaos(from.chaos);
  to.set_snapshot_directory(from.snapshot_directory);
}

model_spec read_model(const proto::ModelSpec& from) {
  return {.family = from.family(),
          .layers = from.layers(),
          .width = from.width(),
          .heads = from.heads(),
          .vocabulary = from.vocabulary(),
          .sequence_length = from.sequence_length(),
          .embedding_width = from.embedding_width(),
          .dropout = from.dropout(),
          .tied_head = from.tied_head()};
}

optimizer_spec read_optimizer(const proto::OptimizerSpec& from) {
  return {.kind = from.kind(),
          .learning_rate = from.learning_rate(),
          .minimum_learning_rate = from.minimum_learning_rate(),
          .warmup_steps = from.warmup_steps(),
          .decay_steps = from.decay_steps(),
          .beta1 = from.beta1(),
          .beta2 = from.beta2(),
          .epsilon = from.epsilon(),
          .weight_decay = from.weight_decay(),
          .momentum = from.momentum(),
          .clip = from.clip()};
}

pipeline_spec read_pipeline(const proto::PipelineSpec& from) {
  return {.stages = from.stages(),
          .chunks = from.chunks(),
          .schedule = from.schedule(),
          .recomputation = to_choice<recompute>("pipeline.recompute", from.recompute(), recompute_words),
          .threads_per_stage = from.threads_per_stage(),
          .partition = from.partition(),
          .group_size = from.group_size(),
          .waves = from.waves(),
          .dispatch = to_choice<dispatch_mode>("pipeline.dispatch", from.dispatch(), dispatch_words),
          .emulate = from.emulate(),
          .memory_limit = from.memory_limit(),
          .wire = to_choice<wire_precision>("pipeline.wire", from.wire(), wire_words)};
}

faults_spec read_faults(const proto::FaultsSpec& from) {
  return {.snapshot_every = from.snapshot_every(),
          .max_restarts = from.max_restarts(),
          .restart_window_seconds = from.restart_window(),
          .on_nan = to_choice<nan_rule>("faults.on_nan", from.on_nan(), nan_words),
          .snapshot_directory = from.snapshot_directory(),
          .chaos = from.chaos()};
}

} // namespace

void to_message(const run_spec& spec, proto::RunSpec& out) {
  write_model(spec.model, *out.mutable_model());
  out.mutable_data()->set_path(spec.data.path);
  out.mutable_data()->set_tokens(to_word(spec.data.tokens, token_words));
  out.mutable_data()->set_validation_fraction(spec.data.validation_fraction);
  out.mutable_data()->set_sha256(spec.data.sha256);
  write_training(spec.training, *out.mutable_training());
  write_optimizer(spec.optimizer, *out.mutable_optimizer());
  write_pipeline(spec.pipeline, *out.mutable_pipeline());
  out.mutable_validation()->set_every(spec.validation.every);
  out.mutable_validation()->set_microbatches(spec.validation.microbatches);
  out.mutable_checkpoint()->set_directory(spec.checkpoint.directory);
  out.mutable_checkpoint()->set_every(spec.checkpoint.every);
  out.mutable_checkpoint()->set_keep(spec.checkpoint.keep);
  write_faults(spec.faults, *out.mutable_faults());
}

run_spec from_message(const proto::RunSpec& message) {
  const proto::DataSpec& data = message.data();
  const proto::TrainingSpec& training = message.training();
  return {.model = read_model(message.model()),
          .data = {.path = data.path(),
                   .tokens = to_choice<token_format>("data.tokens", data.tokens(), token_words),
                   .validation_fraction = data.validation_fraction(),
                   .sha256 = data.sha256()},
          .training = {.steps = training.steps(),
                       .microbatches = training.microbatches(),
                       .microbatch_size = training.microbatch_size(),
                       .seed = training.seed(),
                       .stop_after = training.stop_after(),
                       .gradient_groups = training.gradient_groups()},
          .optimizer = read_optimizer(message.optimizer()),
          .pipeline = read_pipeline(message.pipeline()),
          .validation = {.every = message.validation().every(), .microbatches = message.validation().microbatches()},
          .checkpoint = {.directory = message.checkpoint().directory(),
                         .every = message.checkpoint().every(),
                         .keep = message.checkpoint().keep()},
          .faults = read_faults(message.faults())};
}

run_spec from_older_message(const proto::RunSpec& message) {
  proto::RunSpec full;
  to_message({}, full);
  full.MergeFrom(message);
  return from_message(full);
}

} // namespace troupe
