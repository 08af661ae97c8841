// A parameter: a named tensor that training changes, with its gradient and how it starts.
#pragma once

#include "model/tensor.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// How a parameter starts: all elements `value`, plus normal noise of the given standard deviation.
struct initialisation {
  float value = 0.0F;
  double standard_deviation = 0.0;
};

enum class weight_decay { no, yes };

/// One trainable tensor of a layer.
struct parameter {
  std::string name;     ///< the name in a checkpoint, such as "h.0.attn.c_attn.weight"
  tensor value = {};    ///< empty until allocated
  tensor gradient = {}; ///< same shape; the sum over microbatches in ascending order
  shape extents;
  initialisation start = {};
  weight_decay decay = weight_decay::yes; ///< none on biases and LayerNorm
  /// Empty, or the name of the parameter whose value this one repeats (a tied output head). A replica is neither
  /// optimised nor saved: its gradient goes to the owner, and the owner's new value comes back.
  std::string replica_of = {};
};

/// Takes memory for value and gradient from `pool`, draws the value for (seed, layer, index within the layer), and
/// clears the gradient. A replica is drawn as the parameter it repeats, whose coordinates the caller gives.
void allocate(parameter& p, tensor_pool& pool, std::uint64_t seed, std::uint64_t layer, std::uint64_t index);

} // namespace troupe
