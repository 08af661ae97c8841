#include "runtime/recovery/snapshot_source.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <utility>

namespace troupe {

snapshot_source::snapshot_source(std::shared_ptr<const rank_snapshot> from) : from_(std::move(from)) {
  for (const auto* copy : {&from_->layers, &from_->second_copy})
    for (const layer_snapshot& layer : *copy)
      for (const parameter_snapshot& one : layer.parameters)
        where_.emplace(one.name, &one);
}

void snapshot_source::read(const std::string& parameter, tensor& value, std::span<tensor> state) const {
  const auto found = where_.find(parameter);
  if (found == where_.end() || (!state.empty() && found->second->state.size() != state.size()))
    throw checkpoint_error(fmt::format(
        "{} in a snapshot of rank {}: found {}, expected it with {} tensors of state", parameter, from_->rank,
        found == where_.end() ? "nothing" : fmt::format("{}", found->second->state.size()), state.size()));
  const std::string name = parameter + " in a snapshot";
  copy_parameter(name, found->second->value, value);
  for (std::size_t index = 0; index < state.size(); ++index)
    copy_parameter(name, found->second->state[index], state[index]);
}

} // namespace troupe
