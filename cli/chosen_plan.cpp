#include "cli/chosen_plan.hpp"

#include "actors/profile.hpp"
#include "runtime/searched_plan.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace troupe {

std::optional<plan> choose_plan(const run_spec& spec, const data_source& data, const run_options& options) {
  const std::optional<layer_profile> profile = profile_layers(spec, data, options);
  if (!profile)
    return std::nullopt;
  const searched_plan chosen = search_plan(spec, profile->layers, profile->processors);
  fmt::print(stderr, "{}; layers by stage {}\n", describe(chosen.found), partition_text(chosen.pipeline.stages));
  return chosen.pipeline;
}

} // namespace troupe
