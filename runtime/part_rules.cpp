#include "runtime/part_rules.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

[[noreturn]] void refuse(std::uint32_t rank, const std::string& found, const std::string& expected) {
  throw checkpoint_error(fmt::format("rank {}'s part of a checkpoint: found {}, expected {}", rank, found, expected));
}

} // namespace

part_rules::part_rules(const run_spec& spec, const model_family& family, const plan& pipeline,
                       std::vector<std::string> state_names)
    : state_names_(std::move(state_names)), layers_(pipeline.ranks()) {
  for (std::int64_t index = 0; index < family.layer_count(spec.model); ++index) {
    const layer_ptr one = family.make_layer(spec.model, index);
    std::vector<outline>& parameters = parameters_.emplace_back();
    for (const parameter* p : parameters_of(*one))
      if (p->replica_of.empty())
        parameters.push_back({p->name, p->extents});
  }
  for (std::uint32_t stage = 0; stage < pipeline.order.stages(); ++stage) {
    std::vector<std::int64_t>& owned = layers_[pipeline.rank_of(stage, 0)];
    for (std::int64_t layer = pipeline.stages[stage].first; layer < pipeline.stages[stage].last; ++layer)
      owned.push_back(layer);
  }
}

void part_rules::expect_part(std::uint32_t rank, const std::vector<manifest_layers>& part) const {
  const std::vector<std::int64_t>& own = layers_[rank];
  std::size_t next = 0;
  const auto due = [&] { return next < own.size() ? fmt::format("layer {} next", own[next]) : "no more"; };
  for (const manifest_layers& one : part) {
    const std::string found = fmt::format("files of layers {} to {}", one.first, one.last);
    std::vector<std::string> names;
    for (std::int64_t layer = one.first; layer <= one.last; ++layer, ++next) {
      if (next == own.size() || own[next] != layer)
        refuse(rank, found, due());
      for (const outline& parameter : parameters_[static_cast<std::size_t>(layer)])
        names.push_back(parameter.name);
    }
    if (one.parameters != names)
      refuse(rank, fmt::format("{} with {} parameters", found, one.parameters.size()),
             fmt::format("{} by the model's names and in its order", names.size()));
    expect_own_files(one, fmt::format("rank {}'s part of a checkpoint", rank));
  }
  if (next < own.size())
    refuse(rank, "no more files", due());
}

void part_rules::expect_layer(std::uint32_t rank, const layer_snapshot& layer) const {
  const std::vector<outline>& expected = parameters_[static_cast<std::size_t>(layer.layer)];
  if (layer.parameters.size() != expected.size())
    refuse(rank, fmt::format("{} parameters in layer {}", layer.parameters.size(), layer.layer),
           fmt::format("{}", expected.size()));
  for (std::size_t index = 0; index < expected.size(); ++index) {
    const std::string& name = expected[index].name;
    const shape& extents = expected[index].extents;
    const parameter_snapshot& found = layer.parameters[index];
    if (found.name != name)
      refuse(rank, fmt::format("parameter {} in layer {}", printable(found.name), layer.layer), name);
    if (found.state.size() != state_names_.size())
      refuse(rank, fmt::format("{} state tensors of {}", found.state.size(), name),
             fmt::format("{}", state_names_.size()));
    const auto expect_shape = [&](const tensor& values) {
      if (values.extents() != extents)
        refuse(rank, fmt::format("shape {} of {}", to_string(values.extents()), name), to_string(extents));
    };
    expect_shape(found.value);
    std::ranges::for_each(found.state, expect_shape);
  }
}

} // namespace troupe
