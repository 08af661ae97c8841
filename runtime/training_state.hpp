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
  const stage_model& model() const { return *model_; }

  /// A tied parameter has its owner on one stage and a replica on another, or both on the same one. The replica's
  /// gradient is added to the owner's before norm and update; the owner's new value replaces the replica's.
  bool has_tied_replica() const { return tied_replica_ != nullptr; }
  bool has_tied_owner() const { return tied_owner_ != nullptr; }
  const tensor& tied_replica_gradient() const { return tied_replica_->gradient; }
  const tensor& tied_owner_value() const { return tied_owner_->value; }
  void add_tied_gradient(const tensor& gradient);
  void set_tied_replica(const tensor& value);

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
  std::unique_ptr<optimizer> optimizer_;
  std::unique_ptr<stage_model> model_;
  std::vector<slot> slots_; ///< replicas left out
  parameter* tied_replica_ = nullptr;
  parameter* tied_owner_ = nullptr;
};

} // namespace troupe
