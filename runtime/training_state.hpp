// The state that training changes, for some layers: parameters with their optimizer state, and older versions of the
// weights where a schedule needs them. Draws, updates, hashes, snapshots and restores it.
#pragma once

#include "model/optimizer.hpp"
#include "model/stage_model.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/plan.hpp"
#include "runtime/traffic.hpp"
#include "runtime/weight_history.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// The versions of its weights that a stage starts with, counted in updates; for asynchronous schedules.
struct version_window {
  std::uint64_t oldest = 0;
  std::uint64_t newest = 0;
  std::uint32_t behind = 0; ///< how many older versions a snapshot holds
};

/// The window of `stage` after `steps_done` steps; nothing for a synchronous schedule.
std::optional<version_window> starting_versions(const schedule& order, std::uint32_t stage, std::uint64_t steps_done);

/// Names of the tensors that a snapshot has for each parameter besides its value: the optimizer's, and for asynchronous
/// schedules "weights.1", "weights.2", ..., the value so many updates before; those before the first update repeat it.
std::vector<std::string> snapshot_state_names(const optimizer_spec& spec, const schedule& order);

/// What the result of an asynchronous schedule depends on besides the spec's other sections: how often it updates, how
/// old the weights are that a microbatch sees, and, where stages differ in that, the layers of each. Empty for a
/// synchronous schedule.
std::string versions_rule(const plan& pipeline);

/// Throws checkpoint_error unless a run with this versions_rule goes on from `start` with the same result.
void expect_same_versions(const checkpoint& start, const std::string& rule);

/// One stage's layers, built and allocated, with the optimizer state of their parameters. Used alike by the ranks and
/// by the reference.
class stage_state {
public:
  /// Draws the weights from the seed, or reads them from `start` when that is not null.
  stage_state(const run_spec& spec, const model_family& family, const layer_range& layers,
              const parameter_source* start, tensor_pool& pool,
              const std::optional<version_window>& versions = std::nullopt);

  stage_model& model() { return *model_; }
  const stage_model& model() const { return *model_; }

  /// A tied parameter has its owner on one stage and a replica on another, or both on the same one. The replica's
  /// gradient is added to the owner's before norm and update; the owner's new value replaces the replica's.
  bool has_tied_replica() const { return tied_replica_ != nullptr; }
  bool has_tied_owner() const { return tied_owner_ != nullptr; }
  const tensor& tied_replica_gradient() const { return tied_replica_->gradient; }
  const tensor& tied_owner_value() const { return tied_owner_->value; }
  const std::string& replicated_name() const { return tied_replica_->replica_of; }
  void add_tied_gradient(const tensor& gradient);
  void set_tied_replica(const tensor& value);

  /// The sums of squares of all gradients, in layer order, replicas left out.
  std::vector<double> gradient_squares() const;
  /// The last layer that has a square which is not finite, given those of gradient_squares().
  std::optional<std::int64_t> last_not_finite(const std::vector<double>& squares) const;
  /// Updates all parameters but replicas, and clears all gradients. What snapshots share is not written to: see
  /// optimizer::update.
  void apply(const update_rule& rule, tensor_pool& pool);
  /// Clears all gradients and updates nothing.
  void discard_gradients();

  /// Of a stage with a version_window: computes with the weights after so many updates, which must be held.
  void use_version(std::uint64_t version) { history_->use(version); }
  /// Computes with the newest weights; they are the only ones where no versions are kept.
  void use_newest();
  /// apply() that makes a new version and keeps the others.
  void apply_as_new_version(const update_rule& rule, tensor_pool& pool);
  void drop_versions_before(std::uint64_t version) { history_->drop_before(version); }
  std::uint64_t newest_version() const { return history_->newest(); }

  /// All parameters and their state, replicas left out. Nothing is copied: the snapshot shares the tensors, and the
  /// next update goes to other memory as long as it is held. The newest weights must be in use.
  std::vector<layer_snapshot> snapshot() const;
  std::vector<layer_digests> digests() const;

private:
  struct slot {
    parameter* what = nullptr;
    std::int64_t layer = 0;
    std::vector<tensor> state;
  };
  void start_history(const version_window& versions);
  std::uint64_t held_behind() const; ///< versions before the newest

  std::unique_ptr<optimizer> optimizer_;
  std::unique_ptr<stage_model> model_;
  std::vector<slot> slots_; ///< replicas left out
  parameter* tied_replica_ = nullptr;
  parameter* tied_owner_ = nullptr;
  std::optional<weight_history> history_;
  std::uint32_t behind_ = 0; ///< older versions in a snapshot
};

} // namespace troupe
