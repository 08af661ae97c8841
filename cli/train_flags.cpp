#include "cli/train_flags.hpp"

#include "model/error.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <array>

namespace troupe {

namespace {

constexpr auto table = std::to_array<train_flag>({
    {"--model", "model.family", "FAMILY", "Model", "gpt, or mlp (predicts one token from the T before it)"},
    {"--layers", "model.layers", "L", "Model", "blocks between embedding and head"},
    {"--width", "model.width", "C", "Model", "of the activations between layers"},
    {"--heads", "model.heads", "H", "Model", "of attention; must divide the width (gpt)"},
    {"--vocabulary", "model.vocabulary", "V", "Model", "distinct tokens; 256 for bytes, 50257 for GPT-2's"},
    {"--seq", "model.sequence_length", "T", "Model", "tokens in a sequence"},
    {"--embedding-width", "model.embedding_width", "E", "Model", "of one token (mlp)"},
    {"--dropout", "model.dropout", "P", "Model", "probability that an activation is dropped"},
    {"--tied-head", "model.tied_head", "", "Model", "output head and token embedding share their weights (gpt)"},

    {"--data", "data.path", "FILE", "Data", "what to learn from: any file"},
    {"--tokens", "data.tokens", "KIND", "Data", "bytes, or uint16 (little-endian token ids)"},
    {"--data-sha256", "data.sha256", "HEX", "Data", "refuse a file with another SHA-256"},
    {"--validation-fraction", "data.validation_fraction", "X", "Data", "end of the file that is never trained on"},
    {"--validation-every", "validation.every", "N", "Data", "steps between validations; 0: none"},
    {"--validation-microbatches", "validation.microbatches", "M", "Data", "in one validation"},

    {"--steps", "training.steps", "N", "Training", "optimizer steps"},
    {"--microbatches", "training.microbatches", "M", "Training", "in a step"},
    {"--microbatch-size", "training.microbatch_size", "B", "Training", "sequences in a microbatch"},
    {"--seed", "training.seed", "S", "Training", "of weights, data order and dropout"},
    {"--gradient-groups", "training.gradient_groups", "K", "Training",
     "groups of microbatches whose gradients are added up apart; 0: what the schedule needs (1, or 2 with two copies)"},
    {"--stop-after", "training.stop_after", "N", "Training", "end after step N, to be resumed later; 0: run all"},

    {"--optimizer", "optimizer.kind", "KIND", "Optimizer", "adamw or sgd"},
    {"--lr", "optimizer.learning_rate", "X", "Optimizer", "largest learning rate"},
    {"--min-lr", "optimizer.minimum_learning_rate", "X", "Optimizer", "where the cosine decay ends"},
    {"--warmup-steps", "optimizer.warmup_steps", "N", "Optimizer", "of linear warm-up"},
    {"--decay-steps", "optimizer.decay_steps", "N", "Optimizer", "step at which the cosine decay ends; 0: no decay"},
    {"--weight-decay", "optimizer.weight_decay", "X", "Optimizer", "decoupled; not on biases and LayerNorm"},
    {"--momentum", "optimizer.momentum", "X", "Optimizer", "of sgd"},
    {"--beta1", "optimizer.beta1", "X", "Optimizer", "of adamw: decay of the first moment"},
    {"--beta2", "optimizer.beta2", "X", "Optimizer", "of adamw: decay of the second moment"},
    {"--epsilon", "optimizer.epsilon", "X", "Optimizer", "of adamw: added to the denominator"},
    {"--clip", "optimizer.clip", "X", "Optimizer", "largest global gradient norm; 0: no clipping"},

    {"--stages", "pipeline.stages", "P", "Pipeline", "ranks that the model is cut over"},
    {"--chunks", "pipeline.chunks", "V", "Pipeline", "stages on each rank; 0: what the schedule needs"},
    {"--schedule", "pipeline.schedule", "NAME", "Pipeline",
     "see `troupe schedule --help`; or FILE.csv, or reference; auto measures first, then searches"},
    {"--group-size", "pipeline.group_size", "G", "Pipeline",
     "microbatches that visit a chunk in a row (interleaved schedules); 0: about P"},
    {"--waves", "pipeline.waves", "W", "Pipeline", "times that a microbatch runs down the ranks and up again (hanayo)"},
    {"--memory-limit", "pipeline.memory_limit", "N", "Pipeline",
     "microbatches that a rank may hold at once: auto searches within it (0: as many as stages, as 1f1b), reactive "
     "ranks may go up to it (0: to the list's own peaks)"},
    {"--partition", "pipeline.partition", "N,N,..", "Pipeline", "layers of each stage; by default balanced by cost"},
    {"--recompute", "pipeline.recompute", "KIND", "Pipeline", "none, or full: keep only each layer's input"},
    {"--wire", "pipeline.wire", "KIND", "Pipeline",
     "fp32, or bf16: what crosses from stage to stage is rounded to bfloat16; part of the arithmetic, as the cuts are"},
    {"--threads-per-stage", "pipeline.threads_per_stage", "K", "Pipeline",
     "of a rank's matrix products; part of the arithmetic"},
    {"--dispatch", "pipeline.dispatch", "MODE", "Pipeline",
     "static: a rank waits for the next action of its list; reactive: meanwhile it runs a later one that is ready"},
    {"--emulate", "pipeline.emulate", "TIMES", "Pipeline",
     "f=10ms,i=10ms,w=10ms: passes wait so long instead of computing, each rank as if it had a machine; 10ms/20ms: by "
     "stage; jitter=0.3 varies them, slow=0.05x5 holds a twentieth of them up"},

    {"--checkpoint", "checkpoint.directory", "DIR", "Output", "where checkpoints go; one at the end, and"},
    {"--checkpoint-every", "checkpoint.every", "N", "Output", "one after each N steps"},
    {"--checkpoint-keep", "checkpoint.keep", "N", "Output", "newest generations that stay on disk"},

    {"--snapshot-every", "faults.snapshot_every", "K", "Faults",
     "steps between snapshots, from which dead ranks restart; 0: none do, and a loss ends the run"},
    {"--snapshot-dir", "faults.snapshot_directory", "DIR", "Faults",
     "where snapshots are kept while they are needed; by default in memory"},
    {"--max-restarts", "faults.max_restarts", "N", "Faults", "of one rank, before the run gives up, within"},
    {"--restart-window", "faults.restart_window", "SECONDS", "Faults", "the time in which restarts count"},
    {"--on-nan", "faults.on_nan", "RULE", "Faults",
     "stop, or skip: what a step does whose loss or gradient norm is not finite"},
    {"--chaos", "faults.chaos", "SPEC", "Faults",
     "kill:rank=2,step=5 or drop:share=0.01, joined by +: faults that the run makes itself, to be recovered from"},
});

/// An option whose values are kept by the library, in the order given, and read by spec_flags::apply.
CLI::Option* add_recorded(CLI::App& command, const std::string& name, const std::string& help) {
  const CLI::callback_t accept_all = [](const CLI::results_t&) { return true; };
  return command.add_option(name, accept_all, help)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

CLI::Option* add_flag(CLI::App& command, const train_flag& one) {
  const std::string help = fmt::format("{} [{}]", one.help, one.field);
  if (one.value[0] == '\0')
    return command.add_flag(one.flag, help)->group(one.group);
  CLI::Option* option = add_recorded(command, one.flag, help);
  const std::string start = get_field(run_spec{}, one.field);
  option->type_name(start.empty() ? one.value : fmt::format("{} ({})", one.value, start));
  return option->group(one.group);
}

void assign(run_spec& spec, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos)
    throw spec_error(fmt::format("--set: found '{}', expected FIELD=VALUE such as training.steps=200", text));
  set_field(spec, text.substr(0, equals), text.substr(equals + 1));
}

} // namespace

std::span<const train_flag> train_flags() {
  return table;
}

void spec_flags::add_to(CLI::App& command) {
  command_ = &command;
  for (const train_flag& one : table)
    fields_.emplace(add_flag(command, one), one.field);
  command.add_option("--config", config_, "run spec to start from, protobuf text; flags win over it")
      ->type_name("FILE")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->group("Run spec");
  set_ = add_recorded(command, "--set", "sets any field of the run spec, such as training.steps=200; may be repeated")
             ->type_name("FIELD=VALUE")
             ->group("Run spec");
}

run_spec spec_flags::apply(const run_spec& base) const {
  run_spec spec = config_.empty() ? base : read_run_spec(config_, base);
  std::map<const CLI::Option*, std::size_t> used; // parse_order names an option once for each of its values
  for (const CLI::Option* option : command_->parse_order()) {
    const auto field = fields_.find(option);
    if (option != set_ && field == fields_.end())
      continue;
    const std::string& value = option->results().at(used[option]++);
    if (option == set_)
      assign(spec, value);
    else
      set_field(spec, field->second, value);
  }
  return spec;
}

} // namespace troupe
