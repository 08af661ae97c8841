// Poison: losses and gradients that are not finite numbers. A step that has any must not change the weights. What is
// looked at in a usual step are its losses and the sums of squares, which are there anyhow; only once a loss is not
// finite is a stash searched for where that began.
#pragma once

#include "model/stage_model.hpp"
#include "runtime/message_box.hpp"
#include "runtime/partition.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

/// What one rank, or a trainer of the whole model, sees of the poison in a step. That a microbatch is suspect (its loss
/// is not finite) the stage with the loss knows at once; to the other ones it travels with the gradients.
class poison_watch {
public:
  /// `layers`: of the whole model.
  explicit poison_watch(std::int64_t layers) : layers_(layers) {}

  void suspect(const message_place& place) { suspects_.insert(place); }
  bool suspects(const message_place& place) const { return suspects_.contains(place); }
  void forget_before(const step_id& at) { suspects_.erase(suspects_.begin(), suspects_.lower_bound({at, 0, 0})); }

  /// Between a stage's F and its I or B of a suspect microbatch: searches the stash. `of`: the stage's layers.
  void look(stage_model& stage, const layer_range& of, const pass_context& at);
  /// The last layer of a stage whose gradients are not finite; nothing: all are.
  void look(const std::optional<std::int64_t>& poisoned_gradients);
  /// Of the step that ends here.
  std::vector<poison_sighting> take();

private:
  std::int64_t layers_;
  std::set<message_place> suspects_;
  std::optional<poison_sighting> loss_;
  std::optional<poison_sighting> gradients_;
};

/// Whether a step is poisoned: by the first of its losses that is not finite, or else by the norm of its gradients.
/// `seen` is by whom in any order; the same losses, norm and sightings of each layer give the same answer whatever the
/// ranks.
std::optional<poisoned_step> find_poison(const std::vector<double>& losses, double norm,
                                         const std::vector<poison_sighting>& seen);

/// "a loss of nan"
std::string cause_of(const poisoned_step& poison);
/// "step 12, microbatch 3: found a loss of nan (first seen in layer 5, block 4)"; `step` counts from 0, `layers` are
/// those of the whole model.
std::string describe(const poisoned_step& poison, std::uint64_t step, const model_spec& model, std::int64_t layers);
/// The same as the error that ends a run.
std::string refusal_of(const poisoned_step& poison, std::uint64_t step, const model_spec& model, std::int64_t layers);

} // namespace troupe
