// A run whose ranks hand their snapshots in to a collector, in any of the three ways.
#pragma once

#include "model/error.hpp"
#include "runtime/digest.hpp"
#include "runtime/snapshot_collector.hpp"
#include "tests/support/rank_snapshots.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace troupe::test {

using committed = std::optional<checkpoint_committed>;

/// What was committed, if anything; nothing may have failed.
inline committed commit_in(const checkpoint_news& news) {
  CHECK_FALSE(std::holds_alternative<checkpoint_failed>(news));
  const auto* done = std::get_if<checkpoint_committed>(&news);
  return done == nullptr ? std::nullopt : std::optional(*done);
}

/// A run of six layers over two ranks with two stages each: rank 0 has layers 0, 1, 3 and 4, rank 1 has 2 and 5.
struct collected_run {
  explicit collected_run(
      const std::function<void(run_spec&)>& change = [](run_spec&) {}, disk_faults* disk = nullptr)
      : spec([&] {
          run_spec made = tiny_spec();
          made.pipeline.stages = 2;
          made.pipeline.schedule = "interleaved-1f1b";
          made.pipeline.partition = "2,1,2,1";
          made.training.gradient_groups = 1;
          made.checkpoint.directory = (scratch / "ckpt").string();
          change(made);
          return made;
        }()),
        family(find_family(spec.model.family)), pipeline(make_plan(spec, family)),
        collector(spec, family, pipeline, disk), faults(disk), ranks(rank_snapshots(spec, pipeline, 2, pool)) {}

  /// What follows is of the checkpoint after so many steps.
  void set_steps(std::uint64_t steps) {
    for (rank_snapshot& one : ranks)
      one.steps_done = steps;
  }
  std::uint64_t steps() const { return ranks.front().steps_done; }

  /// As the worker of the rank does it.
  std::vector<manifest_layers> write(std::uint32_t rank) const {
    return part_writer(spec.checkpoint.directory, steps(), snapshot_state_names(spec.optimizer, pipeline.order), faults)
        .write(ranks[rank].layers);
  }
  /// As the store does it before ranks in other processes write.
  void admit_all() {
    for (const rank_snapshot& one : ranks)
      collector.admit(one.rank, steps());
  }
  /// Hands in a rank's part until there is something to tell.
  checkpoint_news hand_in_whole(std::uint32_t rank) { return collector.add(ranks[rank]); }
  checkpoint_news hand_in_files(std::uint32_t rank) {
    std::vector<manifest_layers> part;
    try {
      part = write(rank);
    } catch (const checkpoint_error& failure) {
      return collector.give_up(rank, steps(), failure.what());
    }
    return collector.add_part(rank, steps(), part);
  }
  checkpoint_news hand_in_layers(std::uint32_t rank) {
    checkpoint_news news;
    const std::vector<layer_snapshot>& layers = ranks[rank].layers;
    for (const layer_snapshot& one : layers) {
      if (!std::holds_alternative<std::monostate>(news))
        break;
      news =
          collector.add_layer(rank, steps(), one, &one == &layers.back() ? layer_mark::last : layer_mark::more_follow);
    }
    return news;
  }

  committed add_whole(std::uint32_t rank) { return commit_in(hand_in_whole(rank)); }
  committed add_part(std::uint32_t rank) { return commit_in(hand_in_files(rank)); }
  committed add_layers(std::uint32_t rank) { return commit_in(hand_in_layers(rank)); }

  /// The files below the directory, with their content.
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(spec.checkpoint.directory))
      if (entry.is_regular_file())
        found[entry.path().lexically_relative(spec.checkpoint.directory).string()] = read_bytes(entry.path());
    return found;
  }

  void check_content() const {
    std::vector<std::string> warnings;
    const checkpoint opened = checkpoint::open_latest(spec.checkpoint.directory, warnings);
    CHECK(warnings.empty());
    CHECK(opened.steps_done() == steps());
    tensor_pool own;
    for (const rank_snapshot& rank : ranks)
      for (const layer_snapshot& layer : rank.layers)
        for (const parameter_snapshot& one : layer.parameters) {
          tensor value = own.make_filled(one.value.extents(), -1.0F);
          std::vector<tensor> state;
          for (const tensor& kept : one.state)
            state.push_back(own.make_filled(kept.extents(), -1.0F));
          opened.read(one.name, value, state);
          INFO(one.name);
          CHECK(digest_of(one.name, value, state) == digest_of(one.name, one.value, one.state));
        }
  }

  scratch_directory scratch{place_in_memory()};
  run_spec spec;
  const model_family& family;
  plan pipeline;
  tensor_pool pool;
  snapshot_collector collector;
  disk_faults* faults;
  std::vector<rank_snapshot> ranks;
};

} // namespace troupe::test
