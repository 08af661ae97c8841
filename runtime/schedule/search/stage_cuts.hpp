// What a model's stages cost, for each number of stages that it may be cut into.
#pragma once

#include "runtime/partition.hpp"
#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace troupe {

/// By stage. No costs at all: the model cannot be cut into that many.
struct stage_cut {
  std::vector<stage_cost> costs;
  std::vector<stage_size> sizes{};   ///< as many, or none
  std::vector<layer_range> layers{}; ///< as many, or none when stages are not made of layers
};

/// Cuts a model into `stages`. Where there is a choice: so that the dearest rank is as cheap as possible when
/// `rank_of_stage` has an entry for each stage, the dearest stage when it is empty.
using stage_cutter = std::function<stage_cut(std::uint32_t stages, const std::vector<std::uint32_t>& rank_of_stage)>;

/// Of a model of which only the times (and sizes) of `parts` stages are known: a multiple of them are even parts of
/// these.
stage_cutter cut_evenly(stage_cut whole, std::uint32_t parts);

/// Of a model whose layers' costs are known. For stages as balance_layers does; for ranks from there on, a layer at a
/// time.
stage_cutter cut_between_layers(std::vector<stage_cost> layers);

/// What each stage takes that has the layers of its range.
std::vector<stage_cost> sum_of_layers(const std::vector<stage_cost>& layers, const std::vector<layer_range>& stages);

/// F, I and W together.
std::vector<double> total_costs(const std::vector<stage_cost>& layers);

} // namespace troupe
