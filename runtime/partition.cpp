#include "runtime/partition.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

namespace troupe {

namespace {

/// Part of the mean layer's cost that every layer has besides its matrix products, so that an embedding is not free.
constexpr double fixed_cost_fraction = 0.01;

/// sums[j] - sums[i] is the cost of layers [i, j).
std::vector<double> running_sums(const std::vector<double>& costs) {
  std::vector<double> sums(costs.size() + 1, 0.0);
  std::partial_sum(costs.begin(), costs.end(), sums.begin() + 1);
  return sums;
}

/// The cost of the dearest run when the layers are cut as well as possible. best[j] is that for the first j layers in
/// k runs; with one run more it is min over i of max(best[i], cost of [i, j)). The first grows with i and the second
/// falls, so the minimum is where they cross. O(stages * layers * log layers).
double least_bottleneck(const std::vector<double>& sums, std::size_t stages) {
  const std::size_t layers = sums.size() - 1;
  std::vector<double> best = sums;
  for (std::size_t runs = 2; runs <= stages; ++runs)
    for (std::size_t last = layers; last >= runs; --last) {
      // i in [runs - 1, last): the first where best[i] is the larger one, or the last possible one.
      std::size_t low = runs - 1;
      std::size_t high = last - 1;
      while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (best[middle] >= sums[last] - sums[middle])
          high = middle;
        else
          low = middle + 1;
      }
      double cheapest = std::max(best[low], sums[last] - sums[low]);
      if (low > runs - 1)
        cheapest = std::min(cheapest, std::max(best[low - 1], sums[last] - sums[low - 1]));
      best[last] = cheapest;
    }
  return best[layers];
}

std::vector<layer_range> ranges_between(const std::vector<std::int64_t>& bounds) {
  std::vector<layer_range> ranges;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    ranges.push_back({bounds[i], bounds[i + 1]});
  return ranges;
}

} // namespace

std::vector<double> estimate_layer_costs(const model_spec& model, const model_family& family) {
  std::vector<double> costs;
  const std::int64_t layers = family.layer_count(model);
  for (std::int64_t layer = 0; layer < layers; ++layer)
    costs.push_back(family.forward_flops(model, layer));
  const double mean = std::accumulate(costs.begin(), costs.end(), 0.0) / static_cast<double>(layers);
  for (double& cost : costs)
    cost += 1.0 + fixed_cost_fraction * mean;
  return costs;
}

std::vector<layer_range> balance_layers(const std::vector<double>& costs, std::uint32_t stages) {
  TROUPE_CHECK(stages > 0, "a pipeline has a stage");
  if (stages > costs.size())
    throw spec_error(fmt::format("stages: found {}, expected at most {}, the number of layers", stages, costs.size()));
  const std::vector<double> sums = running_sums(costs);
  const double bottleneck = least_bottleneck(sums, stages);
  // Late stages take as many layers as the bottleneck allows: then every early stage is as short as it can be.
  std::vector<std::int64_t> bounds(std::size_t{stages} + 1, 0);
  bounds[stages] = static_cast<std::int64_t>(costs.size());
  for (std::int64_t stage = std::int64_t{stages} - 1; stage > 0; --stage) {
    const double end = sums[static_cast<std::size_t>(bounds[stage + 1])];
    std::int64_t first = bounds[stage + 1] - 1;
    while (first > stage && end - sums[static_cast<std::size_t>(first - 1)] <= bottleneck)
      --first;
    bounds[stage] = first;
  }
  return ranges_between(bounds);
}

std::vector<layer_range> parse_partition(const std::string& text, std::int64_t layers, std::uint32_t stages) {
  const auto refuse = [&](const std::string& why) {
    throw spec_error(fmt::format("pipeline.partition: found '{}'{}, expected {} positive numbers that add up to {}",
                                 text, why, stages, layers));
  };
  std::vector<std::int64_t> bounds{0};
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    std::int64_t size = 0;
    const auto [stop, status] = std::from_chars(at, end, size);
    if (status != std::errc() || size <= 0 || (stop != end && *stop != ','))
      refuse("");
    if (size > layers - bounds.back())
      refuse(", which adds up to more");
    bounds.push_back(bounds.back() + size);
    if (stop == end)
      break;
    at = stop + 1;
  }
  if (bounds.size() - 1 != stages)
    refuse(fmt::format(", which has {}", bounds.size() - 1));
  if (bounds.back() != layers)
    refuse(fmt::format(", which adds up to {}", bounds.back()));
  return ranges_between(bounds);
}

std::uint32_t stages_in(const std::string& partition) {
  return static_cast<std::uint32_t>(std::ranges::count(partition, ',') + 1);
}

std::string partition_text(const std::vector<layer_range>& stages) {
  std::string text;
  for (const layer_range& one : stages)
    text += fmt::format("{}{}", text.empty() ? "" : ",", one.size());
  return text;
}

} // namespace troupe
