// The mathematics of one stage: a contiguous run of layers, with the stashes of the microbatches in flight.
#pragma once

#include "model/layer.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace troupe {

enum class recompute { none, full };

/// A contiguous run of layers that computes forward and backward passes of single microbatches. With recompute::full a
/// forward pass keeps only each layer's input, and the backward pass runs the layer's forward again.
class stage_model {
public:
  stage_model(std::vector<layer_ptr> layers, recompute mode);

  /// F. `input` is empty for the first stage. In pass_mode::evaluate nothing is kept.
  tensor forward(const tensor& input, const pass_context& at);
  /// I. `output_gradient` is empty for the last stage. The result is empty for the first stage.
  tensor backward_input(const tensor& output_gradient, const pass_context& at);
  /// W. Adds the microbatch's gradients to the parameters'; must follow I of the same microbatch.
  void backward_weight(const pass_context& at);
  /// I then W, layer by layer, so that what W needs of a layer is freed before the next; same bits as I then W.
  tensor backward(const tensor& output_gradient, const pass_context& at);

  /// The first layer, counted from the stage's own first, that kept a number from its forward pass of this microbatch
  /// that is not finite. Between F and I or B of the microbatch; reads all of its stash, so it is no part of a usual
  /// step.
  std::optional<std::size_t> first_not_finite(const pass_context& at);

  /// The loss of the last forward pass; only on the stage that holds the loss layer.
  double last_loss() const { return last_loss_; }

  /// Microbatches whose stash is held (from F until W), and the bytes they hold.
  std::size_t stashed_microbatches() const { return in_flight_.size(); }
  std::size_t stash_bytes() const;
  /// Forward passes that were run again for recompute::full, counted in microbatches.
  std::uint64_t recomputed_microbatches() const { return recomputed_; }

  /// All parameters, in layer order.
  const std::vector<parameter*>& parameters() const { return parameters_; }

private:
  struct flight {
    std::vector<stash> kept;    ///< by layer
    std::vector<tensor> inputs; ///< by layer; with recompute::full, until the layer's I
  };
  flight& open_flight(std::uint32_t microbatch);
  flight& find_flight(std::uint32_t microbatch);
  void close_flight(std::uint32_t microbatch);
  void restore(flight& held, std::size_t index, const pass_context& at);

  std::vector<layer_ptr> layers_;
  recompute mode_;
  std::vector<parameter*> parameters_;
  std::map<std::uint32_t, flight> in_flight_; ///< by microbatch
  std::vector<std::map<std::uint32_t, flight>::node_type> spare_;
  stash scratch_; ///< for evaluation and for forward passes whose stash is not kept
  double last_loss_ = 0.0;
  std::uint64_t recomputed_ = 0;
};

} // namespace troupe
