// Checkpoints whose files several processes write: what they write, and what is believed of it.
#include "model/error.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/digest.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/small_checkpoint.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

/// A generation of step 4 that has been begun, and a writer for it as another process would make one.
struct begun {
  begun() : committer(scratch / "ckpt", model.spec(), 4, model.state_names()) {}

  std::vector<manifest_layers> write(const std::vector<layer_snapshot>& some) const {
    return part_writer(scratch / "ckpt", 4, model.state_names()).write(some);
  }
  /// What the committer says of a part in which one thing has been changed.
  std::string refusal(const std::function<void(manifest_layers&)>& change) {
    std::vector<manifest_layers> part = write({layers[0], layers[1]});
    change(part.at(0));
    return error_text<checkpoint_error>([&] { committer.add(part); });
  }

  scratch_directory scratch;
  small_model model;
  std::vector<layer_snapshot> layers = model.layers(4);
  checkpoint_committer committer;
};

} // namespace

TEST_CASE("a part's description names its files, their sizes and hashes, and the parameters in them") {
  const begun one;
  const std::vector<manifest_layers> part = one.write({one.layers[2], one.layers[0]});
  REQUIRE(part.size() == 2);
  CHECK(part[0].first == 0);
  CHECK(part[0].last == 0);
  CHECK(part[1].first == 2);
  CHECK(part[1].parameters == std::vector<std::string>{"h.2.weight", "h.2.bias"});
  CHECK(part[1].optimizer.name == "layers-0002-0002.optimizer.safetensors");
  const std::string bytes = read_bytes(one.scratch / "ckpt/.step-00000004.tmp/layers-0002-0002.optimizer.safetensors");
  CHECK(part[1].optimizer.bytes == bytes.size());
  CHECK(part[1].optimizer.sha256 == to_hex(sha256(std::as_bytes(std::span(bytes)))));
  CHECK(one.write({}).empty());
}

TEST_CASE("parts of several writers make one checkpoint, in whatever order they are taken down") {
  begun one;
  one.committer.add(one.write({one.layers[2]}));
  CHECK(names_in(one.scratch / "ckpt") == std::set<std::string>{".step-00000004.tmp"});
  one.committer.add(one.write({one.layers[0], one.layers[1]}));
  const fs::path generation = one.committer.commit(3);
  CHECK(generation == one.scratch / "ckpt/step-00000004");
  std::vector<std::string> warnings;
  const checkpoint opened = checkpoint::open_latest(one.scratch / "ckpt", warnings);
  CHECK(opened.steps_done() == 4);
  tensor value = one.model.empty({2, 3});
  opened.read("h.2.weight", value, {});
  CHECK(std::ranges::equal(value.values(), one.layers[2].parameters[0].value.values()));
}

TEST_CASE("a part without which layers are missing is waited for in vain, and nothing is left") {
  const scratch_directory scratch;
  {
    small_model model;
    const std::vector<layer_snapshot> layers = model.layers(4);
    checkpoint_committer committer(scratch / "ckpt", model.spec(), 4, model.state_names());
    committer.add(part_writer(scratch / "ckpt", 4, model.state_names()).write({layers[0], layers[2]}));
    CHECK_THAT(error_text<checkpoint_error>([&] { committer.commit(3); }),
               Contains("step-00000004: found no layer 1, expected layers 0 to 2"));
  }
  CHECK(names_in(scratch / "ckpt").empty());
}

TEST_CASE("a part that names a file outside the directory, or another's in it, is refused") {
  begun one;
  write_bytes(one.scratch / "layers-0000-0001.safetensors", "elsewhere");
  const std::string expected = "expected \"layers-0000-0001.safetensors\"";
  for (const std::string name : {"../../layers-0000-0001.safetensors", "/etc/passwd", "..", "", "manifest.textproto",
                                 "layers-0000-0001.optimizer.safetensors", "./layers-0000-0001.safetensors"}) {
    INFO(name);
    CHECK_THAT(one.refusal([&](manifest_layers& part) { part.weights.name = name; }),
               Contains("file name: found \"" + name + "\"") && Contains(expected));
  }
  CHECK_THAT(one.refusal([](manifest_layers& part) { part.optimizer.name = part.weights.name; }),
             Contains("file name: found"));
}

TEST_CASE("a part whose layers or numbers cannot be is refused") {
  begun one;
  const auto with = [&](std::int64_t first, std::int64_t last) {
    return one.refusal([&](manifest_layers& part) {
      part.first = first;
      part.last = last;
      part.weights.name = weights_file_name(first, last);
      part.optimizer.name = optimizer_file_name(first, last);
    });
  };
  CHECK_THAT(with(-1, 1), Contains("layers: found -1 to 1"));
  CHECK_THAT(with(1, 0), Contains("layers: found 1 to 0"));
  CHECK_THAT(with(0, std::int64_t{1} << 40), Contains("layers: found 0 to 1099511627776"));
  CHECK_THAT(with(0, 2), Contains("layers-0000-0002.safetensors: No such file"));
  CHECK_THAT(one.refusal([](manifest_layers& part) { part.weights.sha256 = "ab"; }), Contains("no SHA-256"));
  CHECK_THAT(one.refusal([](manifest_layers& part) { part.weights.bytes = 0; }), Contains("no size"));
}

TEST_CASE("a file that is not there, or not of the size that its writer says, is refused") {
  begun one;
  CHECK_THAT(one.refusal([](manifest_layers& part) { ++part.optimizer.bytes; }),
             Contains("layers-0000-0001.optimizer.safetensors: found ") && Contains("as its writer says"));
  const auto remove = [&](const manifest_layers& part) {
    fs::remove(one.scratch / "ckpt/.step-00000004.tmp" / part.weights.name);
  };
  CHECK_THAT(one.refusal(remove), Contains("layers-0000-0001.safetensors: No such file"));
}

TEST_CASE("a part that comes twice, in whole or in a layer or a parameter, is refused") {
  begun one;
  const std::vector<manifest_layers> part = one.write({one.layers[0], one.layers[1]});
  one.committer.add(part);
  const auto refusal = [&](const std::vector<manifest_layers>& next) {
    return error_text<checkpoint_error>([&] { one.committer.add(next); });
  };
  CHECK_THAT(refusal(part), Contains("step-00000004: found layer 0 twice, expected it once"));
  CHECK_THAT(refusal(one.write({one.layers[1], one.layers[2]})), Contains("found layer 1 twice"));
  std::vector<manifest_layers> other = one.write({one.layers[2]});
  other[0].parameters = {"h.1.bias"};
  CHECK_THAT(refusal(other), Contains("parameters: found \"h.1.bias\" twice"));
}

TEST_CASE("a part of a generation that nobody has begun is not written") {
  const begun one;
  CHECK_THAT(error_text<checkpoint_error>(
                 [&] { part_writer(one.scratch / "ckpt", 5, one.model.state_names()).write({one.layers[0]}); }),
             Contains("ckpt/.step-00000005.tmp: found no such directory, expected the one that the run's coordinator"));
  CHECK(names_in(one.scratch / "ckpt") == std::set<std::string>{".step-00000004.tmp"});
}
