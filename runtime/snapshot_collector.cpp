#include "runtime/snapshot_collector.hpp"

#include "model/error.hpp"
#include "runtime/stage_cuts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

snapshot_collector::snapshot_collector(const run_spec& spec, const model_family& family, const plan& pipeline)
    : spec_(spec), versions_(versions_rule(pipeline)),
      rules_(spec, family, pipeline, snapshot_state_names(spec.optimizer, pipeline.order)),
      written_(pipeline.ranks(), 0) {
  note_cuts(spec_, pipeline.stages);
}

void snapshot_collector::open(std::uint64_t steps_done) {
  writer_.reset(); // before the next one, which may be of the same step and so use the same directory
  writer_ = std::make_unique<checkpoint_writer>(spec_.checkpoint.directory, spec_, steps_done, rules_.state_names(),
                                                versions_);
  std::ranges::fill(written_, 0);
}

std::optional<checkpoint_committed> snapshot_collector::add(const rank_snapshot& in) {
  if (!is_new(in.rank, in.steps_done))
    return std::nullopt;
  if (writer_ == nullptr)
    open(in.steps_done);
  writer_->add(in.layers);
  written_[in.rank] = rules_.layers_of(in.rank).size();
  return commit_if_whole();
}

std::optional<checkpoint_committed> snapshot_collector::add_part(std::uint32_t rank, std::uint64_t steps_done,
                                                                 const std::vector<manifest_layers>& part) {
  if (!is_new(rank, steps_done))
    return std::nullopt;
  // To open it now would remove the files.
  if (writer_ == nullptr)
    throw checkpoint_error(
        fmt::format("rank {}'s part of a checkpoint: found one after {} steps, expected none", rank, steps_done));
  rules_.expect_part(rank, part);
  writer_->add_part(part);
  written_[rank] = rules_.layers_of(rank).size();
  return commit_if_whole();
}

std::optional<checkpoint_committed> snapshot_collector::add_layer(std::uint32_t rank, std::uint64_t steps_done,
                                                                  const layer_snapshot& layer, layer_mark mark) {
  if (!is_new(rank, steps_done))
    return std::nullopt;
  const std::vector<std::int64_t>& own = rules_.layers_of(rank);
  const auto at = static_cast<std::size_t>(std::ranges::lower_bound(own, layer.layer) - own.begin());
  std::size_t& next = written_[rank];
  if (at < next && own[at] == layer.layer)
    return std::nullopt;
  const bool ends = at + 1 == own.size();
  if (at != next || own[at] != layer.layer || ends != (mark == layer_mark::last))
    throw checkpoint_error(fmt::format("rank {}'s part of a checkpoint: found layer {}{}, expected layer {}{}", rank,
                                       layer.layer, mark == layer_mark::last ? " as the last one" : "", own[next],
                                       next + 1 == own.size() ? " as the last one" : ""));
  rules_.expect_layer(rank, layer);
  if (writer_ == nullptr)
    open(steps_done);
  writer_->add({layer});
  ++next;
  return commit_if_whole();
}

/// Whether something of this rank and step is still wanted. Throws when it cannot be what a rank of this run has sent.
bool snapshot_collector::is_new(std::uint32_t rank, std::uint64_t steps_done) const {
  if (rank >= rules_.ranks())
    throw checkpoint_error(
        fmt::format("part of a checkpoint: found rank {}, expected one below {}", rank, rules_.ranks()));
  if (steps_done <= committed_steps_)
    return false;
  if (writer_ != nullptr && writer_->step() != steps_done)
    throw checkpoint_error(fmt::format("rank {}'s part of a checkpoint: found one after {} steps, expected {}", rank,
                                       steps_done, writer_->step()));
  return written_[rank] < rules_.layers_of(rank).size();
}

std::optional<checkpoint_committed> snapshot_collector::commit_if_whole() {
  for (std::uint32_t rank = 0; rank < rules_.ranks(); ++rank)
    if (written_[rank] < rules_.layers_of(rank).size())
      return std::nullopt;
  checkpoint_committed done{writer_->step(), writer_->commit(rules_.layer_count()).string()};
  committed_steps_ = done.steps_done;
  writer_.reset();
  std::ranges::fill(written_, 0);
  return done;
}

} // namespace troupe
