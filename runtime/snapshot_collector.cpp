#include "runtime/snapshot_collector.hpp"

#include "model/error.hpp"
#include "runtime/stage_cuts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

snapshot_collector::snapshot_collector(const run_spec& spec, const model_family& family, const plan& pipeline,
                                       disk_faults* faults)
    : spec_(spec), versions_(versions_rule(pipeline)),
      rules_(spec, family, pipeline, snapshot_state_names(spec.optimizer, pipeline.order)), faults_(faults),
      written_(pipeline.ranks(), 0) {
  note_cuts(spec_, pipeline.stages);
}

/// Does what needs the disk. What the disk refuses ends the checkpoint, not the run.
template <class Act>
checkpoint_news snapshot_collector::attempt(std::uint64_t steps_done, const Act& act) {
  try {
    act();
    return commit_if_whole();
  } catch (const checkpoint_error& failure) {
    return fail(steps_done, failure.what());
  }
}

checkpoint_news snapshot_collector::open(std::uint64_t steps_done) {
  return attempt(steps_done, [&] { begin(steps_done); });
}

void snapshot_collector::begin(std::uint64_t steps_done) {
  writer_.reset(); // before the next one, which may be of the same step and so use the same directory
  std::ranges::fill(written_, 0);
  at_work_.clear();
  failing_.reset();
  writer_ = std::make_unique<checkpoint_writer>(spec_.checkpoint.directory, spec_, steps_done, rules_.state_names(),
                                                versions_, faults_);
}

checkpoint_news snapshot_collector::add(const rank_snapshot& in) {
  if (!is_new(in.rank, in.steps_done))
    return {};
  return attempt(in.steps_done, [&] {
    if (writer_ == nullptr)
      begin(in.steps_done);
    writer_->add(in.layers);
    written_[in.rank] = rules_.layers_of(in.rank).size();
  });
}

void snapshot_collector::admit(std::uint32_t rank, std::uint64_t steps_done) {
  if (is_new(rank, steps_done))
    at_work_.insert(rank);
}

checkpoint_news snapshot_collector::add_part(std::uint32_t rank, std::uint64_t steps_done,
                                             const std::vector<manifest_layers>& part) {
  if (is_failing(steps_done))
    return leave(rank, steps_done);
  if (!is_new(rank, steps_done))
    return {};
  // To open it now would remove the files.
  if (writer_ == nullptr)
    throw checkpoint_error(
        fmt::format("rank {}'s part of a checkpoint: found one after {} steps, expected none", rank, steps_done));
  rules_.expect_part(rank, part);
  at_work_.erase(rank);
  return attempt(steps_done, [&] {
    writer_->add_part(part);
    written_[rank] = rules_.layers_of(rank).size();
  });
}

checkpoint_news snapshot_collector::add_layer(std::uint32_t rank, std::uint64_t steps_done, const layer_snapshot& layer,
                                              layer_mark mark) {
  if (!is_new(rank, steps_done))
    return {};
  const std::vector<std::int64_t>& own = rules_.layers_of(rank);
  const auto at = static_cast<std::size_t>(std::ranges::lower_bound(own, layer.layer) - own.begin());
  std::size_t& next = written_[rank];
  if (at < next && own[at] == layer.layer)
    return {};
  const bool ends = at + 1 == own.size();
  if (at != next || own[at] != layer.layer || ends != (mark == layer_mark::last))
    throw checkpoint_error(fmt::format("rank {}'s part of a checkpoint: found layer {}{}, expected layer {}{}", rank,
                                       layer.layer, mark == layer_mark::last ? " as the last one" : "", own[next],
                                       next + 1 == own.size() ? " as the last one" : ""));
  rules_.expect_layer(rank, layer);
  return attempt(steps_done, [&] {
    if (writer_ == nullptr)
      begin(steps_done);
    writer_->add({layer});
    ++next;
  });
}

checkpoint_news snapshot_collector::give_up(std::uint32_t rank, std::uint64_t steps_done, const std::string& reason) {
  if (is_failing(steps_done))
    return leave(rank, steps_done);
  if (!is_new(rank, steps_done))
    return {};
  at_work_.erase(rank);
  return fail(steps_done, fmt::format("rank {}: {}", rank, reason));
}

checkpoint_news snapshot_collector::leave(std::uint32_t rank, std::uint64_t steps_done) {
  expect_rank(rank);
  if (!is_failing(steps_done))
    return {};
  at_work_.erase(rank);
  return end_if_left_alone();
}

checkpoint_news snapshot_collector::lose(std::uint32_t rank, std::uint64_t steps_done) {
  return give_up(rank, steps_done, "it died before its part was written");
}

void snapshot_collector::expect_rank(std::uint32_t rank) const {
  if (rank >= rules_.ranks())
    throw checkpoint_error(
        fmt::format("part of a checkpoint: found rank {}, expected one below {}", rank, rules_.ranks()));
}

/// Whether something of this rank and step is still wanted. Throws when it cannot be what a rank of this run has sent.
bool snapshot_collector::is_new(std::uint32_t rank, std::uint64_t steps_done) const {
  expect_rank(rank);
  if (!wants(steps_done))
    return false;
  if (writer_ != nullptr && writer_->step() != steps_done)
    throw checkpoint_error(fmt::format("rank {}'s part of a checkpoint: found one after {} steps, expected {}", rank,
                                       steps_done, writer_->step()));
  return written_[rank] < rules_.layers_of(rank).size();
}

checkpoint_news snapshot_collector::commit_if_whole() {
  for (std::uint32_t rank = 0; rank < rules_.ranks(); ++rank)
    if (written_[rank] < rules_.layers_of(rank).size())
      return {};
  const std::string generation = writer_->commit(rules_.layer_count()).string();
  checkpoint_committed done{writer_->step(), generation, writer_->warning()};
  end(done.steps_done);
  return done;
}

checkpoint_news snapshot_collector::fail(std::uint64_t steps_done, const std::string& reason) {
  failing_ = {steps_done, reason};
  return end_if_left_alone();
}

checkpoint_news snapshot_collector::end_if_left_alone() {
  if (!at_work_.empty())
    return {};
  checkpoint_failed failed = *failing_;
  end(failed.steps_done);
  return failed;
}

void snapshot_collector::end(std::uint64_t steps_done) {
  over_steps_ = steps_done;
  writer_.reset();
  std::ranges::fill(written_, 0);
  at_work_.clear();
  failing_.reset();
}

} // namespace troupe
