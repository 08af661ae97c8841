#include "model/error.hpp"
#include "model/gemm.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/run_spec_ranges.hpp"
#include "tests/support/scratch_directory.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <sys/stat.h>

using namespace troupe;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

/// A value for each field that is neither its default nor any other field's, so that mixed-up fields show.
run_spec distinct_spec() {
  run_spec spec;
  spec.model = {"mlp", 5, 96, 3, 300, 64, 24, 0.25, true};
  spec.data = {"a \"quoted\"\npath\\", token_format::uint16, 0.125, std::string(64, 'a')};
  spec.training = {77, 6, 2, std::numeric_limits<std::uint64_t>::max(), 33, 3};
  spec.optimizer = {"sgd", 0.1, 1.0 / 3.0, 9, 70, 0.81, 0.91, 1e-7, 0.05, 0.7, 0.5};
  spec.pipeline = {7,
                   13,
                   "gpipe",
                   recompute::full,
                   11,
                   "1,2,3",
                   5,
                   3,
                   dispatch_mode::reactive,
                   "f=1s,i=2s,w=3s",
                   17,
                   wire_precision::bf16};
  spec.validation = {15, 17};
  spec.checkpoint = {"directory", 19, 4};
  spec.faults = {21, 8, 1.5, nan_rule::skip, "snapshots", "kill"};
  return spec;
}

std::string refusal(const std::string& text) {
  try {
    parse_run_spec(text, "x.textproto");
  } catch (const spec_error& problem) {
    return problem.what();
  }
  return "accepted";
}

/// What validate says of the default spec with one field changed.
std::string refusal_of(const std::string& field, const std::string& value) {
  run_spec spec;
  set_field(spec, field, value);
  try {
    validate(spec);
  } catch (const spec_error& problem) {
    return problem.what();
  }
  return "accepted";
}

} // namespace

TEST_CASE("a spec written as text comes back with every field equal") {
  CHECK(parse_run_spec(to_text(distinct_spec()), "x") == distinct_spec());
  CHECK(parse_run_spec(to_text(run_spec{}), "x", distinct_spec()) == run_spec{});
}

TEST_CASE("doubles come back from text bit for bit") {
  const double awkward = GENERATE(0.1, 1.0 / 3.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0,
                                  0.30000000000000004, 1e15, 123456789012345680.0, 4.9406564584124654e-324);
  run_spec spec;
  spec.optimizer.learning_rate = awkward;
  const double from_text = parse_run_spec(to_text(spec), "x").optimizer.learning_rate;
  CHECK(std::bit_cast<std::uint64_t>(from_text) == std::bit_cast<std::uint64_t>(awkward));
  run_spec copy;
  set_field(copy, "optimizer.learning_rate", get_field(spec, "optimizer.learning_rate"));
  CHECK(std::bit_cast<std::uint64_t>(copy.optimizer.learning_rate) == std::bit_cast<std::uint64_t>(awkward));
}

TEST_CASE("every field can be read and set by its name") {
  const run_spec source = distinct_spec();
  run_spec target;
  for (const std::string& field : field_names())
    set_field(target, field, get_field(source, field));
  CHECK(target == source);
  CHECK(field_names().size() == 53);
  CHECK(get_field(source, "pipeline.recompute") == "full");
  CHECK(get_field(source, "optimizer.minimum_learning_rate") == "0.3333333333333333");
}

TEST_CASE("setting one field leaves all others alone") {
  run_spec spec = distinct_spec();
  set_field(spec, "training.microbatches", "12");
  run_spec expected = distinct_spec();
  expected.training.microbatches = 12;
  CHECK(spec == expected);
}

TEST_CASE("fields that a text does not name keep the value of the base") {
  const run_spec spec = parse_run_spec("training { steps: 5 } # a comment", "x", distinct_spec());
  run_spec expected = distinct_spec();
  expected.training.steps = 5;
  CHECK(spec == expected);
  CHECK(parse_run_spec("", "x", distinct_spec()) == distinct_spec());
}

TEST_CASE("a text that is wrong is refused with file, line and column") {
  CHECK_THAT(refusal("model {\n  layrs: 3\n}"),
             StartsWith("x.textproto:2:8: ") && Contains("'layrs'") && Contains("did you mean 'layers'?"));
  CHECK_THAT(refusal("training { steps: many }"), StartsWith("x.textproto:1:19: "));
  CHECK_THAT(refusal("training { steps: -1 }"), StartsWith("x.textproto:1:19: "));
  CHECK_THAT(refusal("training { microbatches: 4294967296 }"), StartsWith("x.textproto:1:26: "));
  CHECK_THAT(refusal("training { steps: 1"), StartsWith("x.textproto:1:"));
  CHECK_THAT(refusal("training { steps: 1 steps: 2 }"), StartsWith("x.textproto:1:") && Contains("steps"));
  CHECK_THAT(refusal("modell { layers: 3 }"), Contains("did you mean 'model'?"));
  CHECK_THAT(refusal(std::string("\0\x01\xff garbage", 11)), StartsWith("x.textproto:1:"));
}

TEST_CASE("a field in the wrong block is answered with the right one") {
  CHECK_THAT(refusal("layers: 3"), Contains("'layers'") && Contains("expected it in model"));
  CHECK_THAT(refusal("training { every: 3 }"), Contains("expected it in validation or checkpoint"));
}

TEST_CASE("a choice that does not exist is answered with those that do") {
  CHECK_THAT(refusal("pipeline { recompute: \"ful\" }"),
             Contains("pipeline.recompute: found 'ful', expected none or full, did you mean 'full'?"));
  CHECK_THAT(refusal("pipeline { wire: \"bf61\" }"),
             Contains("pipeline.wire: found 'bf61', expected fp32 or bf16, did you mean 'bf16'?"));
  CHECK_THAT(refusal("data { tokens: \"utf8\" }"), Contains("data.tokens: found 'utf8', expected bytes or uint16"));
}

TEST_CASE("set_field refuses what is no value of the field's type, and leaves the spec alone") {
  const std::string value = GENERATE("", " 3", "3 ", "3.5", "-3", "0x3", "three", "99999999999", "1e3");
  run_spec spec;
  CHECK_THROWS_WITH(set_field(spec, "training.microbatches", value),
                    "training.microbatches: found '" + value + "', expected a whole number from 1 to 65536");
  CHECK_THROWS_WITH(set_field(spec, "model.tied_head", "yes"), "model.tied_head: found 'yes', expected true or false");
  CHECK_THROWS_WITH(set_field(spec, "optimizer.clip", "a lot"), Contains("optimizer.clip: found 'a lot'"));
  CHECK(spec == run_spec{});
}

TEST_CASE("the bounds that a field is said to have, when it is read, are those that are checked") {
  const std::string field =
      GENERATE("model.layers", "model.width", "model.sequence_length", "training.steps", "training.microbatch_size",
               "optimizer.warmup_steps", "pipeline.stages", "pipeline.chunks", "pipeline.group_size", "pipeline.waves",
               "pipeline.memory_limit", "pipeline.threads_per_stage", "validation.every", "validation.microbatches",
               "checkpoint.every", "checkpoint.keep", "faults.snapshot_every", "faults.max_restarts");
  const whole_range range = range_of(field);
  const std::string bounds = fmt::format("{} to {}", range.least, range.most);
  run_spec spec;
  for (const char* value : {"", "99999999999999999999"})
    CHECK_THROWS_WITH(set_field(spec, field, value),
                      fmt::format("{}: found '{}', expected a whole number from {}", field, value, bounds));
  const std::string beyond = std::to_string(range.most + 1);
  CHECK_THAT(refusal_of(field, beyond), StartsWith(fmt::format("{}: found {}, expected {}", field, beyond, bounds)));
}

TEST_CASE("every whole number of a spec has bounds to be read by") {
  for (const std::string& field : field_names()) {
    INFO(field);
    const std::string start = get_field(run_spec{}, field);
    run_spec spec;
    if (!start.empty() && start.find_first_not_of("0123456789") == std::string::npos)
      CHECK_NOTHROW(set_field(spec, field, start));
  }
}

TEST_CASE("an unknown field is answered with the nearest") {
  run_spec spec;
  CHECK_THROWS_WITH(set_field(spec, "training.step", "1"), Contains("did you mean 'training.steps'?"));
  for (const char* field : {"", ".", "training", "training.", ".steps", "training.steps.x", "model.layers.layers"}) {
    INFO(field);
    CHECK_THROWS_AS(set_field(spec, field, "1"), spec_error);
    CHECK_THROWS_AS(get_field(spec, field), spec_error);
  }
}

TEST_CASE("a spec file is read only when it is a regular file of at most 1 MiB") {
  const test::scratch_directory scratch;
  const auto read = [&](const std::string& name) { return read_run_spec((scratch / name).string()); };
  test::write_bytes(scratch / "good.textproto", "training { steps: 3 }");
  CHECK(read("good.textproto").training.steps == 3);
  test::write_bytes(scratch / "empty.textproto", "");
  CHECK(read("empty.textproto") == run_spec{});
  CHECK_THROWS_WITH(read("missing"), Contains("missing: No such file or directory"));
  CHECK_THROWS_WITH(read("."), Contains("found a directory, expected a regular file"));
  CHECK_THROWS_WITH(read_run_spec("/dev/zero"), "/dev/zero: found a device, expected a regular file");
  REQUIRE(mkfifo((scratch / "fifo").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read("fifo"), Contains("found a FIFO, expected a regular file"));
  const std::string comment((1 << 20) - 1, '#');
  test::write_bytes(scratch / "large.textproto", comment + "\n");
  CHECK(read("large.textproto") == run_spec{});
  test::write_bytes(scratch / "larger.textproto", comment + "\n\n");
  CHECK_THROWS_WITH(read("larger.textproto"), Contains("found 1048577 bytes, expected at most 1048576"));
}

TEST_CASE("the default spec is valid, and so is one at the edge of each range") {
  CHECK(refusal_of("model.layers", "4") == "accepted");
  CHECK(refusal_of("optimizer.learning_rate", "0") == "accepted");
  CHECK(refusal_of("optimizer.clip", "0") == "accepted");
  CHECK(refusal_of("training.microbatches", "65536") == "accepted");
  CHECK(refusal_of("pipeline.stages", "6") == "accepted"); // 4 blocks, embedding and head
  CHECK(refusal_of("training.stop_after", "100") == "accepted");
  CHECK(refusal_of("pipeline.chunks", "0") == "accepted");
  CHECK(refusal_of("pipeline.chunks", "6") == "accepted");
  CHECK(refusal_of("pipeline.group_size", "65536") == "accepted");
}

TEST_CASE("sizes that may be left open are refused beyond their bounds") {
  for (const char* field : {"pipeline.chunks", "pipeline.group_size"})
    CHECK_THAT(refusal_of(field, "2147483647"), StartsWith(std::string(field) + ": found 2147483647, expected 0 to "));
}

TEST_CASE("the stages that a schedule needs on each rank count against the layers") {
  run_spec spec;
  spec.data.path = "any";
  spec.pipeline.schedule = "zb-v";
  spec.pipeline.stages = 3;
  CHECK_NOTHROW(validate(spec)); // 4 blocks, embedding and head: 6 layers
  spec.pipeline.stages = 4;
  CHECK_THROWS_WITH(validate(spec), StartsWith("pipeline.stages: found 4 x 2 chunks, expected at most 6 stages"));
  spec.pipeline.schedule = "hanayo";
  spec.pipeline.stages = 2;
  spec.pipeline.waves = 2;
  CHECK_THROWS_WITH(validate(spec), StartsWith("pipeline.stages: found 2 x 4 chunks, expected at most 6 stages"));
}

TEST_CASE("zero and absurd sizes are refused with field, found and expected") {
  const std::string field = GENERATE(
      "model.layers", "model.width", "model.heads", "model.vocabulary", "model.sequence_length",
      "model.embedding_width", "training.steps", "training.microbatches", "training.microbatch_size", "pipeline.stages",
      "pipeline.waves", "pipeline.threads_per_stage", "validation.microbatches", "checkpoint.keep");
  CHECK_THAT(refusal_of(field, "0"), StartsWith(field + ": found 0, expected "));
  const std::string absurd = field == "training.steps" ? "18446744073709551615" : "2147483647";
  CHECK_THAT(refusal_of(field, absurd), StartsWith(field + ": found " + absurd + ", expected "));
}

TEST_CASE("no number field accepts what is not finite, negative or out of range") {
  const std::string field =
      GENERATE("model.dropout", "data.validation_fraction", "optimizer.learning_rate",
               "optimizer.minimum_learning_rate", "optimizer.beta1", "optimizer.beta2", "optimizer.epsilon",
               "optimizer.weight_decay", "optimizer.momentum", "optimizer.clip");
  for (const char* value : {"nan", "inf", "-inf", "-1", "-1e-300", "1e300"}) {
    INFO(value);
    CHECK_THAT(refusal_of(field, value), StartsWith(field + ": found "));
  }
}

TEST_CASE("fields that contradict each other are refused") {
  CHECK(refusal_of("training.gradient_groups", "8") == "accepted");
  for (const std::string groups : {"3", "16"})
    CHECK(refusal_of("training.gradient_groups", groups) ==
          "training.gradient_groups: found " + groups +
              ", expected 0, or a number that divides training.microbatches (8)");
  CHECK_THAT(refusal_of("training.stop_after", "101"), Contains("expected 0 to training.steps (100)"));
  CHECK_THAT(refusal_of("optimizer.minimum_learning_rate", "0.1"), Contains("found 0.1, expected 0 to 0.001"));
  CHECK_THAT(refusal_of("checkpoint.every", "5"), StartsWith("checkpoint.directory: found none"));
  CHECK_THAT(refusal_of("checkpoint.keep", "1"), StartsWith("checkpoint.keep: found 1, expected 2 to "));
  CHECK_THAT(refusal_of("model.vocabulary", "255"), Contains("at least 256, since data.tokens is bytes"));
  CHECK_THAT(refusal_of("model.heads", "3"),
             Contains("model.width: found 128, expected a multiple of model.heads (3)"));
  CHECK_THAT(refusal_of("pipeline.stages", "7"), StartsWith("pipeline.stages: found 7, expected at most 6"));
  CHECK_THAT(refusal_of("pipeline.partition", "1,2"), StartsWith("pipeline.partition: found '1,2'"));
  run_spec spec;
  spec.optimizer.warmup_steps = 10;
  spec.optimizer.decay_steps = 10;
  CHECK_THROWS_WITH(validate(spec), StartsWith("optimizer.decay_steps: found 10"));
  spec = {};
  spec.data.tokens = token_format::uint16;
  spec.model.vocabulary = 65537;
  CHECK_THROWS_WITH(validate(spec), StartsWith("model.vocabulary: found 65537, expected at most 65536"));
  spec = {};
  spec.data.validation_fraction = 0.0;
  CHECK_NOTHROW(validate(spec));
  spec.validation.every = 5;
  CHECK_THROWS_WITH(validate(spec), StartsWith("data.validation_fraction: found 0"));
}

TEST_CASE("emulation and reactive dispatch are refused where they make no sense") {
  CHECK_THAT(refusal_of("pipeline.emulate", "f=1,i=1,w=1"), StartsWith("pipeline.emulate: found 'f=1,i=1,w=1'"));
  CHECK(refusal_of("pipeline.emulate", "f=1ms,i=1ms,w=1ms") == "accepted");
  CHECK(refusal_of("pipeline.dispatch", "reactive") == "accepted");
  run_spec spec;
  spec.pipeline.schedule = "reference";
  spec.pipeline.dispatch = dispatch_mode::reactive;
  CHECK_THROWS_WITH(validate(spec), StartsWith("pipeline.dispatch: found reactive, expected static, since"));
  spec.pipeline.dispatch = dispatch_mode::fixed;
  spec.pipeline.emulate = "f=1ms,i=1ms,w=1ms";
  CHECK_THROWS_WITH(validate(spec), StartsWith("pipeline.emulate: found 'f=1ms,i=1ms,w=1ms', expected nothing, since"));
  spec.pipeline.schedule = "gpipe";
  CHECK_NOTHROW(validate(spec));
  spec.validation.every = 5;
  CHECK_THROWS_WITH(validate(spec), StartsWith("validation.every: found 5, expected 0, since pipeline.emulate"));
  spec.validation.every = 0;
  spec.checkpoint.directory = "somewhere";
  CHECK_THROWS_WITH(validate(spec), StartsWith("checkpoint.directory: found 'somewhere', expected none, since"));
}

TEST_CASE("a place for snapshots is refused where none are taken") {
  run_spec spec;
  spec.faults.snapshot_directory = "snapshots";
  CHECK_NOTHROW(validate(spec));
  spec.faults.snapshot_every = 0;
  CHECK_THROWS_WITH(validate(spec), "faults.snapshot_directory: found 'snapshots', expected none, since "
                                    "faults.snapshot_every is 0, so that there are no snapshots");
  spec.faults.snapshot_every = 1;
  spec.pipeline.schedule = "reference";
  CHECK_THROWS_WITH(validate(spec), "faults.snapshot_directory: found 'snapshots', expected none, since "
                                    "pipeline.schedule is reference, which takes no snapshots");
}

TEST_CASE("products of sizes that are fine alone are refused when they are too large") {
  run_spec spec;
  spec.training.microbatches = 65536;
  spec.training.microbatch_size = 512; // 2^16 * 2^9 * 2^7 tokens
  CHECK_THROWS_WITH(validate(spec), StartsWith("training.microbatches: found ") && Contains("4294967296"));
  spec = {};
  spec.model.sequence_length = 1 << 19; // attention: 4 sequences * 4 heads * 2^38
  CHECK_THROWS_WITH(validate(spec), StartsWith("model.sequence_length: found "));
  spec = {};
  spec.model.layers = 4096;
  spec.model.width = 1 << 16; // 12 * 2^32 weights a block
  CHECK_THROWS_WITH(validate(spec), StartsWith("model.layers: found ") && Contains("parameters in all"));
}

TEST_CASE("unknown names are answered with the choices and the nearest") {
  CHECK_THAT(refusal_of("optimizer.kind", "adam"), Contains("one of adamw, sgd, did you mean 'adamw'?"));
  CHECK_THAT(refusal_of("model.family", "gpt2"), Contains("gpt") && Contains("mlp") && Contains("did you mean 'gpt'?"));
  CHECK_THAT(refusal_of("pipeline.schedule", "gpip"), Contains("1f1b") && Contains("did you mean 'gpipe'?"));
  CHECK(refusal_of("pipeline.schedule", "reference") == "accepted");
  CHECK(refusal_of("pipeline.schedule", "some/file.csv") == "accepted"); // no file is looked at
}

TEST_CASE("more threads than the matrix library has are refused by its name") {
  const std::string most = std::to_string(max_gemm_threads() + 1);
  CHECK_THAT(refusal_of("pipeline.threads_per_stage", most),
             StartsWith("pipeline.threads_per_stage: found " + most) && Contains(gemm_library()));
}

TEST_CASE("parameters are counted as the published GPT-2 has them") {
  model_spec small{
      .family = "gpt", .layers = 12, .width = 768, .heads = 12, .vocabulary = 50257, .sequence_length = 1024};
  small.tied_head = true;
  CHECK(parameter_count(small, find_family("gpt")) == 124439808); // as counted from OpenAI's release
  small.tied_head = false;
  CHECK(parameter_count(small, find_family("gpt")) == 124439808 + 50257 * 768);
}
