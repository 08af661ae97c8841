// Layer: the unit of mathematics. forward keeps what backward needs in a stash; the backward pass is in two halves, so
// that a schedule may run the input half (I) early and the weight half (W) late.
#pragma once

#include "model/parameter.hpp"
#include "model/tensor.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace troupe {

// B: sequences in a microbatch, T: tokens in a sequence, C: width of the model, V: size of the vocabulary.

enum class pass_mode { train, evaluate };

/// Where a computation stands in the run. Everything random is a function of these numbers, nothing else.
struct pass_context {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint32_t microbatch = 0;
  std::uint32_t microbatches = 1;   ///< in the step; the loss's gradient is divided by it
  std::int64_t sequences = 0;       ///< B
  std::int64_t sequence_length = 0; ///< T
  pass_mode mode = pass_mode::train;
  std::span<const std::int32_t> tokens = {}; ///< B*T inputs, for embeddings
  std::span<const std::int32_t> targets =
      {};                      ///< B*T next tokens (B for models that predict once a sequence), for the loss
  tensor_pool* pool = nullptr; ///< where results and the stash come from
};

/// What the forward pass of one layer saves for its backward pass, for one microbatch. Each layer knows what its slots
/// mean; composite layers keep their parts' stashes in `parts`. A stash is recycled, so its vectors stop growing.
struct stash {
  std::vector<tensor> slots;
  std::vector<stash> parts;
  double loss = 0.0; ///< set by a loss layer: the mean over the microbatch's targets

  /// Drops all tensors and keeps the vectors.
  void clear();
  /// Bytes of all tensors held. A tensor held twice counts twice.
  std::size_t bytes() const;
  /// Whether all numbers held are finite.
  bool is_finite() const;
};

/// A layer of a model. Activations are matrices of one row a token: [B*T, columns].
class layer {
public:
  layer() = default;
  layer(const layer&) = delete;
  layer& operator=(const layer&) = delete;
  virtual ~layer() = default;

  /// Computes the layer's output and fills `kept` (which is empty on entry).
  virtual tensor forward(const tensor& input, stash& kept, const pass_context& at) const = 0;
  /// From the gradient of the output, computes that of the input (I). Afterwards `kept` holds just what backward_weight
  /// needs. A layer whose input is tokens returns an empty tensor.
  virtual tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const = 0;
  /// Adds this microbatch's part to the parameters' gradients (W) and empties `kept`.
  virtual void backward_weight(stash& kept, const pass_context& at) = 0;
  /// Appends the layer's parameters, always in the same order.
  virtual void collect_parameters(std::vector<parameter*>& out) { (void)out; }
};

using layer_ptr = std::unique_ptr<layer>;

/// The parameters of one layer, in its order.
std::vector<parameter*> parameters_of(layer& one);

} // namespace troupe
