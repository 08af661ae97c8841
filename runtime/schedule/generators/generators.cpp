#include "runtime/schedule/generators/generators.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace troupe {

namespace {

constexpr std::array table = {
    generator_entry{"naive", "one microbatch at a time: one rank works, the others wait", generate_naive},
    generator_entry{"gpipe", "all forward passes, then all backward passes; stashes every microbatch", generate_gpipe},
    generator_entry{"1f1b", "one forward, one backward in turn; gpipe's bubble, stashes at most p - rank microbatches",
                    generate_one_f_one_b},
};

} // namespace

std::span<const generator_entry> generator_table() {
  return table;
}

void require_one_chunk(const schedule_request& request) {
  if (request.chunks != 1)
    throw spec_error(fmt::format("schedule '{}': found {} chunks, expected 1, because each rank has one stage in it",
                                 request.name, request.chunks));
}

std::vector<std::uint32_t> loop_placement(const schedule_request& request) {
  std::vector<std::uint32_t> rank_of_stage(std::size_t{request.ranks} * request.chunks);
  for (std::size_t stage = 0; stage < rank_of_stage.size(); ++stage)
    rank_of_stage[stage] = static_cast<std::uint32_t>(stage % request.ranks);
  return rank_of_stage;
}

schedule without_actions(const schedule_request& request, std::vector<std::uint32_t> rank_of_stage) {
  schedule result;
  result.name = request.name;
  result.ranks = request.ranks;
  result.microbatches = request.microbatches;
  result.rank_of_stage = std::move(rank_of_stage);
  result.actions.resize(request.ranks);
  return result;
}

void append_each(std::vector<action>& list, std::uint32_t stage, operation op, microbatch_range range) {
  for (std::uint32_t microbatch = range.first; microbatch < range.last; ++microbatch)
    list.push_back({stage, op, microbatch});
}

} // namespace troupe
