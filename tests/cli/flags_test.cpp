// How flags, --set, spec files and checkpoints make up the run spec in force.
#include "runtime/run_spec.hpp"
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/trained_checkpoint.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;

namespace {

/// The spec in force, as --print-spec writes it.
run_spec spec_in_force(const std::vector<std::string>& flags) {
  const program_result result = run_program(std::vector<std::string>{"train", "--print-spec"} + flags);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return parse_run_spec(result.out, "printed");
}

/// A valid value of each field that is not its default.
const std::vector<std::pair<std::string, std::string>> other_values = {
    {"model.family", "mlp"},
    {"model.layers", "8"},
    {"model.width", "64"},
    {"model.heads", "2"},
    {"model.vocabulary", "300"},
    {"model.sequence_length", "32"},
    {"model.embedding_width", "12"},
    {"model.dropout", "0.25"},
    {"model.tied_head", "true"},
    {"data.path", "some where"},
    {"data.tokens", "uint16"},
    {"data.validation_fraction", "0.2"},
    {"data.sha256", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
    {"training.steps", "200"},
    {"training.microbatches", "6"},
    {"training.microbatch_size", "3"},
    {"training.seed", "18446744073709551615"},
    {"training.stop_after", "50"},
    {"training.gradient_groups", "4"},
    {"optimizer.kind", "sgd"},
    {"optimizer.learning_rate", "0.3"},
    {"optimizer.minimum_learning_rate", "0.0001"},
    {"optimizer.warmup_steps", "5"},
    {"optimizer.decay_steps", "90"},
    {"optimizer.beta1", "0.8"},
    {"optimizer.beta2", "0.99"},
    {"optimizer.epsilon", "1e-06"},
    {"optimizer.weight_decay", "0.01"},
    {"optimizer.momentum", "0.5"},
    {"optimizer.clip", "0.75"},
    {"pipeline.stages", "2"},
    {"pipeline.chunks", "3"},
    {"pipeline.schedule", "gpipe"},
    {"pipeline.recompute", "full"},
    {"pipeline.threads_per_stage", "1"}, // more is not possible everywhere
    {"pipeline.partition", "6"},
    {"pipeline.group_size", "4"},
    {"pipeline.waves", "2"},
    {"pipeline.memory_limit", "0"}, // more needs schedule auto or reactive dispatch
    {"pipeline.dispatch", "reactive"},
    {"pipeline.wire", "bf16"},
    {"pipeline.emulate", "f=1ms,i=1ms,w=1ms"},
    {"validation.every", "7"},
    {"validation.microbatches", "9"},
    {"checkpoint.directory", "kept"},
    {"checkpoint.every", "0"}, // more needs a directory
    {"checkpoint.keep", "5"},
    {"faults.snapshot_every", "4"},
    {"faults.snapshot_directory", "snapshots"},
    {"faults.max_restarts", "3"},
    {"faults.restart_window", "2.5"},
    {"faults.on_nan", "skip"},
    {"faults.chaos", "kill:rank=0,step=5"},
};

/// The flag whose help names the field, empty if there is none.
std::string flag_of(const std::string& help, const std::string& field) {
  const std::size_t named = help.find("[" + field + "]");
  if (named == std::string::npos)
    return {};
  const std::size_t flag = help.rfind("\n  --", named) + 3;
  return help.substr(flag, help.find_first_of(" \n", flag) - flag);
}

} // namespace

TEST_CASE("every field of the run spec is reachable by --set") {
  for (const auto& [field, value] : other_values) {
    INFO(field);
    CHECK(get_field(spec_in_force({"--set", field + "=" + value}), field) == value);
  }
  CHECK(other_values.size() == field_names().size());
}

TEST_CASE("every field of the run spec has a flag that sets it and nothing else") {
  const std::string help = run_program({"train", "--help"}).out;
  for (const auto& [field, value] : other_values) {
    const std::string flag = flag_of(help, field);
    INFO(field << ": " << flag);
    REQUIRE_FALSE(flag.empty());
    run_spec expected;
    set_field(expected, field, value);
    CHECK(spec_in_force(value == "true" ? std::vector<std::string>{flag} : std::vector<std::string>{flag, value}) ==
          expected);
  }
}

TEST_CASE("the flags whose names are part of the interface set their fields") {
  const std::vector<std::pair<std::string, std::string>> names = {{"--data", "data.path"},
                                                                  {"--seq", "model.sequence_length"},
                                                                  {"--microbatches", "training.microbatches"},
                                                                  {"--microbatch-size", "training.microbatch_size"},
                                                                  {"--lr", "optimizer.learning_rate"},
                                                                  {"--chunks", "pipeline.chunks"},
                                                                  {"--checkpoint", "checkpoint.directory"},
                                                                  {"--model", "model.family"}};
  const std::string help = run_program({"train", "--help"}).out;
  for (const auto& [flag, field] : names)
    CHECK(flag_of(help, field) == flag);
}

TEST_CASE("what --print-spec writes is a spec file of the same run") {
  const scratch_directory scratch;
  const program_result first =
      run_program({"train", "--print-spec", "--lr", "0.30000000000000004", "--data", "a \"b\"", "--stages", "3"});
  write_bytes(scratch / "run.textproto", first.out);
  const program_result second =
      run_program({"train", "--config", (scratch / "run.textproto").string(), "--print-spec"});
  CHECK(second.exit_code == 0);
  CHECK(second.out == first.out);
  CHECK(parse_run_spec(first.out, "x").optimizer.learning_rate == 0.1 + 0.2);
  CHECK(run_program({"inspect", (scratch / "run.textproto").string()}).out == first.out);
}

TEST_CASE("flags and --set win over the spec file, wherever it is named") {
  const scratch_directory scratch;
  write_bytes(scratch / "run.textproto", "training { steps: 7 microbatches: 2 seed: 3 }");
  const run_spec spec =
      spec_in_force({"--steps", "9", "--config", (scratch / "run.textproto").string(), "--set", "training.seed=4"});
  CHECK(spec.training.steps == 9);
  CHECK(spec.training.microbatches == 2);
  CHECK(spec.training.seed == 4);
}

TEST_CASE("of a flag given twice the last wins, be it a flag, --set or a spec file") {
  CHECK(spec_in_force({"--steps", "5", "--steps", "6"}).training.steps == 6);
  CHECK(spec_in_force({"--steps", "5", "--set", "training.steps=6"}).training.steps == 6);
  CHECK(spec_in_force({"--set", "training.steps=6", "--steps", "5"}).training.steps == 5);
  CHECK(spec_in_force({"--set", "training.steps=6", "--steps=5", "--set", "training.steps=4"}).training.steps == 4);
  CHECK_FALSE(spec_in_force({"--tied-head", "--tied-head=false"}).model.tied_head);
  const scratch_directory scratch;
  write_bytes(scratch / "one", "training { steps: 1 }");
  write_bytes(scratch / "two", "training { steps: 2 }");
  CHECK(
      spec_in_force({"--config", (scratch / "one").string(), "--config", (scratch / "two").string()}).training.steps ==
      2);
}

TEST_CASE("a value may hold an equals sign, and an empty one clears a text") {
  CHECK(spec_in_force({"--set", "data.path=a=b"}).data.path == "a=b");
  CHECK(spec_in_force({"--data", "x", "--set", "data.path="}).data.path.empty());
}

TEST_CASE("a resumed run starts from the checkpoint's spec, which a file and flags may change") {
  const scratch_directory scratch;
  copy_trained_checkpoint(scratch / "run");
  const std::string directory = (scratch / "run").string();
  CHECK(spec_in_force({"--resume", directory}).model.width == 8);
  write_bytes(scratch / "more", "training { steps: 9 } pipeline { stages: 2 }");
  const run_spec spec = spec_in_force({"--resume", directory, "--config", (scratch / "more").string(), "--steps", "8"});
  CHECK(spec.training.steps == 8);
  CHECK(spec.pipeline.stages == 2);
  CHECK(spec.model.width == 8);
}

TEST_CASE("help and version end well and say what they must") {
  const program_result version = run_program({"--version"});
  CHECK(version.exit_code == 0);
  CHECK_THAT(version.out, Catch::Matchers::StartsWith("troupe 0.1.0 ("));
  for (const char* command : {"train", "generate", "schedule", "inspect"}) {
    const program_result help = run_program({command, "--help"});
    INFO(command);
    CHECK(help.exit_code == 0);
    CHECK_THAT(help.out, Contains(std::string("troupe ") + command));
    CHECK(help.err.empty());
    CHECK_THAT(run_program({"--help"}).out, Contains(std::string("\n  ") + command));
  }
}
