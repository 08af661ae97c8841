#include "runtime/snapshot_collector.hpp"

namespace troupe {

std::optional<checkpoint_committed> snapshot_collector::add(const rank_snapshot& in) {
  if (in.steps_done <= committed_steps_ || written_.contains(in.rank))
    return std::nullopt;
  if (writer_ == nullptr)
    writer_ =
        std::make_unique<checkpoint_writer>(spec_.checkpoint.directory, spec_, in.steps_done, state_names_, versions_);
  writer_->add(in.layers);
  written_.insert(in.rank);
  if (written_.size() < ranks_)
    return std::nullopt;
  checkpoint_committed done{in.steps_done, writer_->commit(layers_).string()};
  writer_.reset();
  written_.clear();
  committed_steps_ = in.steps_done;
  return done;
}

} // namespace troupe
