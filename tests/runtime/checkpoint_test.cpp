#include "model/error.hpp"
#include "runtime/checkpoint.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/small_checkpoint.hpp"

#include <catch2/catch.hpp>

#include <cstring>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

checkpoint open(const fs::path& directory) {
  std::vector<std::string> warnings;
  checkpoint opened = checkpoint::open_latest(directory, warnings);
  CHECK(warnings.empty());
  return opened;
}

bool same_bits(const tensor& left, const tensor& right) {
  return left.extents() == right.extents() && std::memcmp(left.data(), right.data(), left.bytes()) == 0;
}

/// Checks that every parameter in `opened` has value and state of `expected`.
void check_content(small_model& model, const checkpoint& opened, const std::vector<layer_snapshot>& expected) {
  for (const layer_snapshot& layer : expected)
    for (const parameter_snapshot& one : layer.parameters) {
      tensor value = model.empty(one.value.extents());
      std::vector<tensor> state = {model.empty(one.value.extents()), model.empty(one.value.extents())};
      opened.read(one.name, value, state);
      CHECK(same_bits(value, one.value));
      CHECK(same_bits(state[0], one.state[0]));
      CHECK(same_bits(state[1], one.state[1]));
    }
}

using names = std::set<std::string>;

} // namespace

TEST_CASE("a checkpoint gives back spec, step, and every tensor to the bit") {
  const scratch_directory scratch;
  small_model model;
  CHECK(model.write(scratch / "ckpt", 12) == scratch / "ckpt" / "step-00000012");
  const checkpoint opened = open(scratch / "ckpt");
  CHECK(opened.steps_done() == 12);
  CHECK(opened.spec() == model.spec());
  CHECK(opened.path() == scratch / "ckpt" / "step-00000012");
  CHECK(opened.state_names() == model.state_names());
  check_content(model, opened, model.layers(12));
  CHECK(names_in(opened.path()) ==
        names{"manifest.textproto", "layers-0000-0002.safetensors", "layers-0000-0002.optimizer.safetensors"});
  CHECK(opened.files() ==
        std::vector<std::string>{"layers-0000-0002.safetensors", "layers-0000-0002.optimizer.safetensors"});
}

TEST_CASE("each contiguous run of layers has its own pair of files, whatever order they come in") {
  const scratch_directory scratch;
  small_model model;
  const std::vector<layer_snapshot> layers = model.layers(5);
  checkpoint_writer writer(scratch / "ckpt", model.spec(), 5, model.state_names());
  SECTION("ranks with one run each") {
    writer.add({layers[2]});
    writer.add({layers[1], layers[0]});
    const checkpoint opened = open(writer.commit(3));
    CHECK(opened.files() ==
          std::vector<std::string>{"layers-0000-0001.safetensors", "layers-0000-0001.optimizer.safetensors",
                                   "layers-0002-0002.safetensors", "layers-0002-0002.optimizer.safetensors"});
    check_content(model, opened, layers);
  }
  SECTION("an interleaved rank with two runs") {
    writer.add({layers[0], layers[2]});
    writer.add({layers[1]});
    const checkpoint opened = open(writer.commit(3));
    CHECK(opened.files().size() == 6);
    check_content(model, opened, layers);
  }
}

TEST_CASE("an optimizer without state tensors makes a checkpoint") {
  const scratch_directory scratch;
  small_model model;
  checkpoint_writer writer(scratch / "ckpt", model.spec(), 1, {});
  layer_snapshot layer = model.layer(0, 1);
  for (parameter_snapshot& one : layer.parameters)
    one.state.clear();
  writer.add({layer});
  writer.commit(1);
  tensor value = model.empty({2});
  open(scratch / "ckpt").read("h.0.bias", value, {});
  CHECK(same_bits(value, layer.parameters[1].value));
}

TEST_CASE("a writer that does not commit leaves nothing, and hides nothing that is there") {
  const scratch_directory scratch;
  small_model model;
  model.write(scratch / "ckpt", 1);
  {
    checkpoint_writer writer(scratch / "ckpt", model.spec(), 2, model.state_names());
    writer.add(model.layers(2));
    CHECK(open(scratch / "ckpt").steps_done() == 1);
  }
  CHECK(names_in(scratch / "ckpt") == names{"step-00000001"});
}

TEST_CASE("a checkpoint with a layer too few, too many or twice is refused and leaves nothing") {
  const scratch_directory scratch;
  small_model model;
  const std::vector<layer_snapshot> layers = model.layers(4);
  const auto attempt = [&](const std::vector<layer_snapshot>& first, const std::vector<layer_snapshot>& second) {
    return error_text<checkpoint_error>([&] {
      checkpoint_writer writer(scratch / "ckpt", model.spec(), 4, model.state_names());
      writer.add(first);
      writer.add(second);
      writer.commit(2);
    });
  };
  CHECK_THAT(attempt({layers[0]}, {}), Contains("step-00000004: found no layer 1, expected layers 0 to 1"));
  CHECK_THAT(attempt({layers[0], layers[1]}, {layers[2]}),
             Contains("step-00000004: found layer 2, expected layers 0 to 1"));
  CHECK_THAT(attempt({layers[0], layers[1]}, {layers[1]}), Contains("step-00000004: found layer 1 twice"));
  CHECK(names_in(scratch / "ckpt").empty());
}

TEST_CASE("the newest generations are kept, as many as the spec says and two at least") {
  const scratch_directory scratch;
  small_model model;
  model.spec().checkpoint.keep = GENERATE(0U, 2U, 3U);
  for (const std::uint64_t step : {4, 8, 12, 16})
    model.write(scratch / "ckpt", step);
  const bool three = model.spec().checkpoint.keep == 3;
  CHECK(names_in(scratch / "ckpt") ==
        (three ? names{"step-00000008", "step-00000012", "step-00000016"} : names{"step-00000012", "step-00000016"}));
}

TEST_CASE("a checkpoint that is open can be read when newer ones have taken its place") {
  const scratch_directory scratch;
  small_model model;
  model.write(scratch / "ckpt", 1);
  const checkpoint opened = open(scratch / "ckpt");
  for (const std::uint64_t step : {2, 3, 4})
    model.write(scratch / "ckpt", step);
  REQUIRE_FALSE(fs::exists(opened.path()));
  check_content(model, opened, model.layers(1));
}

TEST_CASE("a run that went back never loses the generation it has just written") {
  const scratch_directory scratch;
  small_model model;
  for (const std::uint64_t step : {12, 16, 6})
    model.write(scratch / "ckpt", step);
  CHECK(names_in(scratch / "ckpt") == names{"step-00000006", "step-00000012", "step-00000016"});
}

TEST_CASE("what a crashed writer left is removed, of this step at start and of earlier ones at commit") {
  const scratch_directory scratch;
  small_model model;
  for (const char* left : {".step-00000002.tmp", ".step-00000004.tmp", ".step-00000009.tmp"}) {
    fs::create_directories(scratch / "ckpt" / left);
    write_bytes(scratch / "ckpt" / left / "layers-0000-0002.safetensors", "half");
  }
  checkpoint_writer writer(scratch / "ckpt", model.spec(), 4, model.state_names());
  CHECK(fs::is_empty(scratch / "ckpt" / ".step-00000004.tmp"));
  writer.add(model.layers(4));
  writer.commit(3);
  CHECK(names_in(scratch / "ckpt") == names{"step-00000004", ".step-00000009.tmp"});
}

TEST_CASE("a resumed run replaces the generation of the same step, damaged or whole") {
  const scratch_directory scratch;
  small_model model;
  const fs::path generation = model.write(scratch / "ckpt", 12);
  const std::string manifest = read_bytes(generation / "manifest.textproto");
  if (GENERATE(false, true))
    write_bytes(generation / "layers-0000-0002.safetensors", "damaged");
  CHECK(model.write(scratch / "ckpt", 12) == generation);
  CHECK(names_in(scratch / "ckpt") == names{"step-00000012"});
  check_content(model, open(scratch / "ckpt"), model.layers(12));
  CHECK(read_bytes(generation / "manifest.textproto") == manifest);
}

TEST_CASE("steps are compared as numbers, beyond eight digits too") {
  const scratch_directory scratch;
  small_model model;
  model.write(scratch / "ckpt", 99999999);
  CHECK(model.write(scratch / "ckpt", 100000000).filename() == "step-100000000");
  CHECK(open(scratch / "ckpt").steps_done() == 100000000);
}

TEST_CASE("a path to one generation opens that one, though a newer one is there") {
  const scratch_directory scratch;
  small_model model;
  model.write(scratch / "ckpt", 1);
  model.write(scratch / "ckpt", 2);
  CHECK(open(scratch / "ckpt" / "step-00000001").steps_done() == 1);
  CHECK(open(scratch / "ckpt" / "step-00000001/").steps_done() == 1);
  fs::copy(scratch / "ckpt" / "step-00000001", scratch / "best");
  CHECK(open(scratch / "best").steps_done() == 1);
}

TEST_CASE("a directory without a generation is refused, saying what was found") {
  const scratch_directory scratch;
  const auto refusal = [&](const char* name) { return error_text<checkpoint_error>([&] { open(scratch / name); }); };
  const std::string expected = "expected a directory with at least one step-NNNNNNNN generation, found ";
  CHECK(refusal("none") == (scratch / "none").string() + ": " + expected + "nothing there");
  write_bytes(scratch / "file", "x");
  CHECK(refusal("file") == (scratch / "file").string() + ": " + expected + "a file");
  for (const char* other : {"step-1", "step-000000001", "step-0000000x", "step-00000001.old", ".step-00000001.tmp"})
    fs::create_directories(scratch / "empty" / other);
  CHECK(refusal("empty") == (scratch / "empty").string() + ": " + expected + "none");
}

TEST_CASE("a checkpoint directory that cannot be made names path and reason") {
  const scratch_directory scratch;
  small_model model;
  write_bytes(scratch / "file", "x");
  for (const char* name : {"file", "file/ckpt"})
    CHECK_THAT(error_text<checkpoint_error>([&] { model.write(scratch / name, 1); }),
               Contains((scratch / name).string() + ": cannot create a directory: Not a directory"));
}

TEST_CASE("a parameter that is missing or of another shape is refused with both shapes") {
  const scratch_directory scratch;
  small_model model;
  model.write(scratch / "ckpt", 1);
  const checkpoint opened = open(scratch / "ckpt");
  tensor value = model.empty({3, 2});
  CHECK_THAT(error_text<checkpoint_error>([&] { opened.read("h.0.weight", value, {}); }),
             Contains("tensor \"h.0.weight\": found shape [2, 3], expected [3, 2]"));
  CHECK_THAT(error_text<checkpoint_error>([&] { opened.read("h.9.weight", value, {}); }),
             Contains("found no parameter \"h.9.weight\", expected it with shape [3, 2]"));
}

TEST_CASE("where cuts are rounded, a run resumes with the checkpoint's cuts alone, however they come about") {
  const scratch_directory scratch;
  small_model model;
  run_spec& spec = model.spec();
  spec.pipeline.wire = wire_precision::bf16;
  spec.pipeline.stages = 3;
  spec.pipeline.partition = GENERATE("2,2,2", ""); // of the default model's 6 layers; balanced the same
  model.write(scratch / "ckpt", 1);
  const checkpoint opened = open(scratch / "ckpt");
  const auto refusal = [&](const std::string& schedule, std::uint32_t stages, std::uint32_t chunks,
                           const std::string& partition) {
    run_spec other = spec;
    other.pipeline.schedule = schedule;
    other.pipeline.stages = stages;
    other.pipeline.chunks = chunks;
    other.pipeline.partition = partition;
    return error_text<checkpoint_error>([&] { opened.expect_same_run(other); });
  };
  const auto refusing = [&](const std::string& found) {
    return opened.path().string() + ": pipeline.partition: found " + found +
           " in this run, expected 2,2,2 as in the checkpoint";
  };
  CHECK(refusal("gpipe", 3, 0, "").empty());
  CHECK(refusal("gpipe", 3, 0, "2,2,2").empty());
  CHECK(refusal("interleaved-1f1b", 1, 3, "").empty());
  CHECK(refusal("reference", 3, 0, "").empty());
  CHECK(refusal("reference", 1, 3, "").empty());
  CHECK(refusal("reference", 1, 0, "2,2,2").empty());
  CHECK(refusal("auto", 3, 0, "2,2,2").empty());
  CHECK(refusal("any.csv", 3, 0, "2,2,2").empty());
  CHECK(refusal("any.csv", 3, 1, "").empty());
  CHECK(refusal("gpipe", 3, 0, "1,2,3") == refusing("1,2,3"));
  CHECK(refusal("gpipe", 2, 0, "") == refusing("3,3"));
  CHECK(refusal("zb-v", 3, 0, "") == refusing("1,1,1,1,1,1"));
  CHECK(refusal("reference", 1, 0, "") == refusing("6"));
  CHECK(refusal("auto", 3, 0, "") == refusing("one that the plan decides"));
  CHECK(refusal("any.csv", 3, 0, "") == refusing("one that the plan decides"));
  spec.pipeline.wire = wire_precision::fp32;
  CHECK_THAT(refusal("gpipe", 3, 0, "2,2,2"), Contains("pipeline.wire: found fp32 in this run, expected bf16"));
}

TEST_CASE("a checkpoint from before there were gradient groups was made with one") {
  const scratch_directory scratch;
  small_model model;
  model.spec().training.gradient_groups = 0;
  model.write(scratch / "ckpt", 1);
  CHECK(open(scratch / "ckpt").spec().training.gradient_groups == 1);
}

TEST_CASE("a run resumes with any setting that leaves the result alone, and with no other") {
  const scratch_directory scratch;
  small_model model;
  model.write(scratch / "ckpt", 1);
  const checkpoint opened = open(scratch / "ckpt");
  const std::set<std::string> free = {"data.path", "training.steps", "training.stop_after"};
  std::size_t bound = 0;
  for (const std::string& field : field_names()) {
    run_spec other = model.spec();
    std::string value = get_field(other, field);
    // A number becomes another number, a word another of its kind.
    const std::map<std::string, std::string> words = {
        {"gpt", "mlp"},    {"bytes", "uint16"},    {"none", "full"},  {"adamw", "sgd"},
        {"true", "false"}, {"false", "true"},      {"1f1b", "gpipe"}, {"text.txt", "other.txt"},
        {"", "1"},         {"static", "reactive"}, {"fp32", "bf16"},  {"stop", "skip"}};
    const auto word = words.find(value);
    value = word != words.end() ? word->second : value == "0.5" ? "0.25" : "0.5";
    if (word == words.end() && get_field(other, field).find_first_of(".e") == std::string::npos)
      value = std::to_string(std::stoull(get_field(other, field)) + 1);
    set_field(other, field, value);
    REQUIRE(get_field(other, field) != get_field(model.spec(), field));
    const bool decides =
        (field.starts_with("model.") || field.starts_with("data.") || field.starts_with("training.") ||
         field.starts_with("optimizer.") || field == "pipeline.threads_per_stage" || field == "pipeline.wire") &&
        !free.contains(field);
    const std::string text = error_text<checkpoint_error>([&] { opened.expect_same_run(other); });
    INFO(field);
    bound += decides ? 1 : 0;
    if (decides)
      CHECK(text == opened.path().string() + ": " + field + ": found " + get_field(other, field) +
                        " in this run, expected " + get_field(model.spec(), field) + " as in the checkpoint");
    else
      CHECK(text.empty());
  }
  CHECK(bound >= 25);
}
