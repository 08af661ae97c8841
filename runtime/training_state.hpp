// The state that training changes, for some layers: parameters with their optimizer state. Draws, updates, hashes,
// snapshots and restores it.
#pragma once

#include "model/optimizer.hpp"
#include "model/stage_model.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/plan.hpp"
#include "runtime/traffic.hpp"

#include <memory>
#include <vector>

namespace troupe {

/// One stage's layers, built and allocated, with the optimizer state of their parameters. Used alike by the ranks and
/// by the reference.
class stage_state {
public:
  /// Draws the weights from the seed, or reads them from `start` when that is not null.
  stage_state(const run_spec& spec, const model_family& family, const layer_range& layers, const checkpoint* start,
              tensor_pool& pool);

  stage_model& model() { return *model_; }

  /// The tied parameter's replica on this stage, and the owner on this stage; null where there is none.
  parameter* tied_replica() { return tied_replica_; }
  parameter* tied_owner() { return tied_owner_; }

  /// The sums of squares of all gradients, in layer order, replicas left out.
  std::vector<double> gradient_squares() const;
  /// Updates all parameters but replicas, and clears all gradients.
  void apply(const update_rule& rule);

  /// Copies of all parameters and their state; replicas left out.
  std::vector<layer_snapshot> snapshot(tensor_pool& pool) const;
  std::vector<layer_digests> digests() const;

private:
  struct slot {
    parameter* what = nullptr;
    std::int64_t layer = 0;
    std::vector<tensor> state;
  };
  layer_range layers_;
  std::unique_ptr<optimizer> optimizer_;
  std::unique_ptr<stage_model> model_;
  std::vector<slot> slots_; ///< replicas left out
  parameter* tied_replica_ = nullptr;
  parameter* tied_owner_ = nullptr;
};

} // namespace troupe
