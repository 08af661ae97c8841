// Snapshots that come whole, layer by layer, or as files that another process has written.
#include "model/error.hpp"
#include "tests/support/collected_run.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/scratch_directory.hpp"

#include <catch2/catch.hpp>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

std::string refusal(const std::function<void()>& act) {
  return error_text<checkpoint_error>(act);
}

} // namespace

TEST_CASE("files that workers write themselves are those of whole snapshots to the byte", "[collector]") {
  collected_run whole;
  CHECK_FALSE(whole.add_whole(1));
  const committed done = whole.add_whole(0);
  REQUIRE(done);
  CHECK(done->steps_done == 2);
  CHECK(done->generation == (whole.scratch / "ckpt/step-00000002").string());
  whole.check_content();

  const std::map<std::string, std::string> expected = whole.files();
  CHECK(expected.size() == 9); // four stages, none beside another of its rank, and the manifest

  fs::remove_all(whole.spec.checkpoint.directory);
  collected_run parts([&](run_spec& spec) { spec.checkpoint.directory = whole.spec.checkpoint.directory; });
  parts.collector.open(2);
  CHECK_FALSE(parts.add_part(0));
  REQUIRE(parts.add_part(1));
  CHECK(parts.files() == expected);
}

TEST_CASE("layers that come one by one make a checkpoint with a pair of files each", "[collector]") {
  collected_run run;
  CHECK_FALSE(run.add_layers(0));
  const committed done = run.add_layers(1);
  REQUIRE(done);
  CHECK(done->steps_done == 2);
  run.check_content();
  CHECK(run.files().size() == 13);
  CHECK(run.files().contains("step-00000002/layers-0003-0003.optimizer.safetensors"));
}

TEST_CASE("ranks may hand in their parts in different ways, and may take turns", "[collector]") {
  collected_run run;
  run.collector.open(2);
  const auto layer = [&](std::size_t index, layer_mark mark) {
    return commit_in(run.collector.add_layer(0, 2, run.ranks[0].layers[index], mark));
  };
  CHECK_FALSE(layer(0, layer_mark::more_follow));
  CHECK_FALSE(layer(1, layer_mark::more_follow));
  CHECK_FALSE(run.add_part(1));
  CHECK_FALSE(layer(2, layer_mark::more_follow));
  CHECK(layer(3, layer_mark::last));
  run.check_content();
}

TEST_CASE("what comes twice is ignored, before the commit and after it", "[collector]") {
  collected_run run;
  run.collector.open(2);
  const auto again = [&] {
    CHECK_FALSE(commit_in(run.collector.add_layer(0, 2, run.ranks[0].layers[0], layer_mark::more_follow)));
    CHECK_FALSE(commit_in(run.collector.add_layer(0, 2, run.ranks[0].layers[1], layer_mark::more_follow)));
  };
  again();
  again();
  run.add_layers(0);
  const std::vector<manifest_layers> part = run.write(1);
  CHECK_FALSE(run.add_whole(0));
  REQUIRE(commit_in(run.collector.add_part(1, 2, part)));
  const auto files = run.files();
  CHECK_FALSE(commit_in(run.collector.add_part(1, 2, part)));
  CHECK_FALSE(run.add_whole(1));
  again();
  CHECK(run.files() == files);
  run.check_content();
}

TEST_CASE("a checkpoint that lacks a part is not committed and leaves nothing", "[collector]") {
  const scratch_directory scratch;
  const std::string directory = (scratch / "ckpt").string();
  {
    collected_run run([&](run_spec& spec) { spec.checkpoint.directory = directory; });
    run.collector.open(2);
    CHECK_FALSE(run.add_part(0));
    CHECK(names_in(directory) == std::set<std::string>{".step-00000002.tmp"});
  }
  CHECK(names_in(directory).empty());
}

TEST_CASE("a checkpoint that is begun again starts from nothing", "[collector]") {
  collected_run run;
  run.collector.open(2);
  run.add_part(0);
  run.add_layers(1); // commits
  run.collector.open(4);
  CHECK_FALSE(commit_in(run.collector.add_layer(0, 4, run.ranks[0].layers[0], layer_mark::more_follow)));
  run.collector.open(4);
  CHECK(fs::is_empty(run.scratch / "ckpt/.step-00000004.tmp"));
  for (rank_snapshot& rank : run.ranks)
    rank.steps_done = 4;
  CHECK_FALSE(run.add_whole(0));
  CHECK(run.add_whole(1));
}

TEST_CASE("a part of another step, of no checkpoint that is open, or of no rank is refused", "[collector]") {
  collected_run run;
  const layer_snapshot& first = run.ranks[0].layers[0];
  CHECK(refusal([&] { run.collector.add_part(0, 2, {}); }) ==
        "rank 0's part of a checkpoint: found one after 2 steps, expected none");
  run.collector.open(2);
  const std::string other = "'s part of a checkpoint: found one after 3 steps, expected 2";
  CHECK(refusal([&] { run.collector.add_part(0, 3, {}); }) == "rank 0" + other);
  CHECK(refusal([&] { run.collector.add_layer(0, 3, first, layer_mark::more_follow); }) == "rank 0" + other);
  run.ranks[1].steps_done = 3;
  CHECK(refusal([&] { run.add_whole(1); }) == "rank 1" + other);
  CHECK(refusal([&] { run.collector.add_part(2, 2, {}); }) ==
        "part of a checkpoint: found rank 2, expected one below 2");
  CHECK(refusal([&] { run.collector.add_layer(7, 2, first, layer_mark::last); }) ==
        "part of a checkpoint: found rank 7, expected one below 2");
}

TEST_CASE("files that are not the rank's own, or lack a parameter, are refused", "[collector]") {
  collected_run run;
  run.collector.open(2);
  const std::vector<manifest_layers> own = run.write(0);
  const auto with = [&](const std::function<void(std::vector<manifest_layers>&)>& change) {
    std::vector<manifest_layers> part = own;
    change(part);
    return refusal([&] { run.collector.add_part(0, 2, part); });
  };
  const std::string start = "rank 0's part of a checkpoint: found ";
  CHECK(with([](auto& part) { part.clear(); }) == start + "no more files, expected layer 0 next");
  CHECK(with([](auto& part) { part.pop_back(); }) == start + "no more files, expected layer 3 next");
  CHECK(with([](auto& part) { std::swap(part[0], part[1]); }) ==
        start + "files of layers 3 to 4, expected layer 0 next");
  CHECK(with([](auto& part) { part.push_back(part[1]); }) == start + "files of layers 3 to 4, expected no more");
  CHECK(with([&](auto& part) { part[0] = run.write(1)[0]; }) ==
        start + "files of layers 2 to 2, expected layer 0 next");
  CHECK(with([](auto& part) { part[0].last = std::int64_t{1} << 60; }) ==
        start + "files of layers 0 to 1152921504606846976, expected layer 3 next");
  CHECK(with([](auto& part) { part[0].parameters.pop_back(); }) ==
        start + "files of layers 0 to 1 with 13 parameters, expected 14 by the model's names and in its order");
  CHECK_THAT(with([](auto& part) { part[1].parameters[0] = "h.9.ln_1.weight"; }), Contains("by the model's names"));
  CHECK_THAT(with([](auto& part) { part[1].weights.name = "../../../etc/passwd"; }),
             Contains("file name: found \"../../../etc/passwd\""));
}

TEST_CASE("a layer out of order, of another rank, or with a false mark is refused", "[collector]") {
  collected_run run;
  const std::vector<layer_snapshot>& own = run.ranks[0].layers;
  const layer_snapshot &first = own[0], &second = own[1], &third = own[2], &last = own[3];
  const auto offer = [&](std::uint32_t rank, const layer_snapshot& layer, layer_mark mark) {
    return refusal([&] { run.collector.add_layer(rank, 2, layer, mark); });
  };
  const std::string start = "rank 0's part of a checkpoint: found layer ";
  CHECK(offer(0, second, layer_mark::more_follow) == start + "1, expected layer 0");
  CHECK(offer(0, run.ranks[1].layers[0], layer_mark::more_follow) == start + "2, expected layer 0");
  CHECK(offer(0, first, layer_mark::last) == start + "0 as the last one, expected layer 0");
  CHECK(offer(0, first, layer_mark::more_follow).empty());
  CHECK(offer(0, third, layer_mark::more_follow) == start + "3, expected layer 1");
  CHECK(offer(0, second, layer_mark::more_follow).empty());
  CHECK(offer(0, third, layer_mark::more_follow).empty());
  CHECK(offer(0, last, layer_mark::more_follow) == start + "4, expected layer 4 as the last one");
  for (const std::int64_t absurd : {std::int64_t{-1}, std::int64_t{6}, std::int64_t{1} << 60}) {
    layer_snapshot none = last;
    none.layer = absurd;
    CHECK(offer(0, none, layer_mark::last) ==
          start + std::to_string(absurd) + " as the last one, expected layer 4 as the last one");
  }
  CHECK(offer(0, last, layer_mark::last).empty());
}

TEST_CASE("a layer whose parameters are not the model's is refused", "[collector]") {
  collected_run run;
  const auto with = [&](const std::function<void(layer_snapshot&)>& change) {
    layer_snapshot layer = run.ranks[1].layers[0]; // a block of gpt
    change(layer);
    return refusal([&] { run.collector.add_layer(1, 2, layer, layer_mark::more_follow); });
  };
  const std::string start = "rank 1's part of a checkpoint: found ";
  CHECK(with([](auto& layer) { layer.parameters.pop_back(); }) == start + "11 parameters in layer 2, expected 12");
  CHECK(with([](auto& layer) { layer.parameters[0].name = "../x"; }) ==
        start + "parameter \"../x\" in layer 2, expected h.1.ln_1.weight");
  CHECK(with([](auto& layer) { std::swap(layer.parameters[0].value, layer.parameters[2].value); }) ==
        start + "shape [16, 48] of h.1.ln_1.weight, expected [16]");
  CHECK(with([](auto& layer) { layer.parameters[0].value = {}; }) ==
        start + "shape [] of h.1.ln_1.weight, expected [16]");
  CHECK(with([](auto& layer) { layer.parameters[1].state.pop_back(); }) ==
        start + "1 state tensors of h.1.ln_1.bias, expected 2");
  CHECK(with([](auto& layer) { layer.parameters[1].state[1] = {}; }) ==
        start + "shape [] of h.1.ln_1.bias, expected [16]");
  CHECK(with([](auto&) {}).empty());
}

TEST_CASE("ranks that hold second copies alone are not waited for", "[collector][copies]") {
  const scratch_directory scratch;
  write_bytes(scratch / "replicas.csv", "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n0F2,0F3,0B2,0B3\n1F2,1B2,1F3,1B3\n");
  collected_run run([&](run_spec& spec) {
    spec.pipeline.stages = 4;
    spec.pipeline.schedule = (scratch / "replicas.csv").string();
    spec.pipeline.partition = "3,3";
    spec.training.gradient_groups = 2;
  });
  CHECK(run.ranks[3].layers.empty());
  CHECK_FALSE(run.add_whole(2));
  CHECK_FALSE(run.add_layers(0));
  CHECK(run.add_layers(1));
  CHECK_FALSE(run.add_whole(3));
  run.check_content();
}
