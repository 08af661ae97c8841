#include "runtime/recovery/held_state.hpp"

#include "runtime/same_result.hpp"
#include "runtime/training_state.hpp"

#include <fmt/format.h>

#include <map>
#include <ranges>
#include <set>
#include <span>
#include <string>

namespace troupe {

namespace {

sha256_digest digest_of_text(const std::string& text) {
  return sha256(std::as_bytes(std::span(text)));
}

std::string shape_text(const plan& pipeline) {
  std::string text;
  for (std::uint32_t rank = 0; rank < pipeline.ranks(); ++rank) {
    text += fmt::format("rank {}:", rank);
    for (const std::uint32_t stage : pipeline.stages_of(rank))
      text += fmt::format(" {}-{} copy {}", pipeline.stages[stage].first, pipeline.stages[stage].last,
                          pipeline.copy_on(rank, stage));
    text += '\n';
  }
  return text;
}

} // namespace

state_key key_of(const run_spec& spec, const plan& pipeline) {
  return {.result = digest_of_text(deciding_fields(spec) + versions_rule(pipeline)),
          .shape = digest_of_text(shape_text(pipeline))};
}

std::optional<std::uint64_t> newest_whole(const std::vector<held_snapshot>& held, std::uint32_t ranks,
                                          const held_bounds& bounds) {
  std::map<std::uint64_t, std::set<std::uint32_t>> kept;
  for (const held_snapshot& one : held)
    kept[one.steps_done].insert(one.rank);
  for (const auto& [steps_done, whose] : std::views::reverse(kept))
    if (steps_done > bounds.after && steps_done <= bounds.most && whose.size() == ranks)
      return steps_done;
  return std::nullopt;
}

} // namespace troupe
