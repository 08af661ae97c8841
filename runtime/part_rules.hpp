// What each rank's part of a checkpoint must consist of. Parts may come from other processes; what is not the rank's
// own is refused before it is used.
#pragma once

#include "model/model_spec.hpp"
#include "runtime/manifest.hpp"
#include "runtime/plan.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

class part_rules {
public:
  part_rules(const run_spec& spec, const model_family& family, const plan& pipeline,
             std::vector<std::string> state_names);

  std::uint32_t ranks() const { return static_cast<std::uint32_t>(layers_.size()); }
  std::int64_t layer_count() const { return static_cast<std::int64_t>(parameters_.size()); }
  const std::vector<std::string>& state_names() const { return state_names_; }
  /// Layers of which the rank holds the copy that goes into a checkpoint, ascending; none for a rank that holds second
  /// copies alone.
  const std::vector<std::int64_t>& layers_of(std::uint32_t rank) const { return layers_[rank]; }

  /// Throws checkpoint_error unless the files hold all parameters of the rank's layers, each layer once, ascending, and
  /// have the names that they must have.
  void expect_part(std::uint32_t rank, const std::vector<manifest_layers>& part) const;
  /// Throws checkpoint_error unless the layer has the model's parameters in their shapes, each with its state.
  void expect_layer(std::uint32_t rank, const layer_snapshot& layer) const;

private:
  struct outline {
    std::string name;
    shape extents;
  };
  std::vector<std::string> state_names_;
  std::vector<std::vector<outline>> parameters_;  ///< by layer; replicas left out
  std::vector<std::vector<std::int64_t>> layers_; ///< by rank
};

} // namespace troupe
