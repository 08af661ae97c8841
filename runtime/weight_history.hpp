// The versions of a stage's weights that an asynchronous schedule holds, counted in updates since the run began.
#pragma once

#include "model/parameter.hpp"
#include "model/tensor.hpp"

#include <cstdint>
#include <deque>
#include <vector>

namespace troupe {

/// Invariants: versions are held without gaps, oldest to newest; the parameters' values are always one of them; a
/// version is never written to.
class weight_history {
public:
  /// The parameters' present values become `version`. The parameters outlive the history.
  weight_history(std::vector<parameter*> parameters, std::uint64_t version);

  std::uint64_t oldest() const { return oldest_; }
  std::uint64_t newest() const { return oldest_ + versions_.size() - 1; }
  /// Puts one version before the oldest; `values` are in the parameters' order.
  void add_older(std::vector<tensor> values);
  /// The values of a version that is held.
  const std::vector<tensor>& values(std::uint64_t version) const;

  /// Gives the parameters the values of `version`, which must be held.
  void use(std::uint64_t version);
  /// The parameters' values, which were updated from the newest version, become a new one.
  void add_newest();
  /// Drops all versions before `version`, but never the newest.
  void drop_before(std::uint64_t version);

private:
  std::vector<parameter*> parameters_;
  std::deque<std::vector<tensor>> versions_;
  std::uint64_t oldest_ = 0;
};

} // namespace troupe
