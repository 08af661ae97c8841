// Partition: which layers of the model form which stage.
#pragma once

#include "model/model_spec.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// Layers [first, last) of the model.
struct layer_range {
  std::int64_t first = 0;
  std::int64_t last = 0;

  std::int64_t size() const { return last - first; }
  friend bool operator==(const layer_range&, const layer_range&) = default;
};

/// Cuts layers of the given costs into `stages` contiguous, non-empty runs so that the most expensive run is as cheap
/// as possible; of several such cuts the one whose early stages are shortest. Throws spec_error when there are more
/// stages than layers.
std::vector<layer_range> balance_layers(const std::vector<double>& costs, std::uint32_t stages);

/// Reads "2,3,1". Throws spec_error unless it has `stages` positive numbers whose sum is `layers`.
std::vector<layer_range> parse_partition(const std::string& text, std::int64_t layers, std::uint32_t stages);

/// How many stages "2,3,1" names: one more than it has commas.
std::uint32_t stages_in(const std::string& partition);

/// "2,3,1", which parse_partition reads back.
std::string partition_text(const std::vector<layer_range>& stages);

/// What each layer costs by its matrix products, in no particular unit, for want of a measurement.
std::vector<double> estimate_layer_costs(const model_spec& model, const model_family& family);

} // namespace troupe
