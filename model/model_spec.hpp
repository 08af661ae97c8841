// What a model is: the numbers that define it, and the interface of a model family that turns them into layers.
#pragma once

#include "model/layer.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// The hyperparameters of a model. Two runs with equal model_spec and seed start from the same weights.
struct model_spec {
  std::string family = "gpt";
  std::int64_t layers = 4;            ///< blocks between the embedding and the head
  std::int64_t width = 128;           ///< C
  std::int64_t heads = 4;             ///< attention heads (gpt)
  std::int64_t vocabulary = 256;      ///< V
  std::int64_t sequence_length = 128; ///< T
  std::int64_t embedding_width = 16;  ///< width of one token's embedding (mlp)
  double dropout = 0.0;               ///< probability that an element is dropped
  bool tied_head = false;             ///< the output head shares the token embedding (gpt)

  friend bool operator==(const model_spec&, const model_spec&) = default;
};

/// Turns a model_spec into layers, one at a time, so that nobody ever needs to build the whole model. "Layer" here is
/// the unit in which a model is cut into stages: the embedding, each block, and the head with its loss.
class model_family {
public:
  virtual ~model_family() = default;

  virtual std::string name() const = 0;
  /// Throws spec_error, naming the field, when this family cannot build `spec`.
  virtual void validate(const model_spec& spec) const = 0;
  /// How many layers the model can be cut into at most.
  virtual std::int64_t layer_count(const model_spec& spec) const = 0;
  /// Layer `index` with its parameters described but not allocated.
  virtual layer_ptr make_layer(const model_spec& spec, std::int64_t index) const = 0;
  /// The last layer without its loss: the same parameters, and logits [rows, V] as output. Throws spec_error from a
  /// family that cannot generate, as one that does not override this.
  virtual layer_ptr make_output_layer(const model_spec& spec) const;
  /// Floating-point operations of one forward pass of layer `index` for one sequence; the backward pass takes twice
  /// that. Only matrix products count, and of attention only the part below the diagonal.
  virtual double forward_flops(const model_spec& spec, std::int64_t index) const = 0;
  /// Targets per sequence: T for a language model, 1 for a model that predicts once.
  virtual std::int64_t targets_per_sequence(const model_spec& spec) const = 0;
  /// The activations between layers for a microbatch of B sequences.
  virtual shape activation_shape(const model_spec& spec, std::int64_t sequences) const = 0;
};

/// The built-in families ("gpt", "mlp"). Throws spec_error that lists them when the name is none of them.
const model_family& find_family(const std::string& name);
/// Their names, for help texts.
std::vector<std::string> family_names();

/// Builds layer `index` and allocates its parameters; a tied head's replica starts as its owner does.
layer_ptr build_layer(const model_family& family, const model_spec& spec, std::int64_t index, std::uint64_t seed,
                      tensor_pool& pool);

} // namespace troupe
