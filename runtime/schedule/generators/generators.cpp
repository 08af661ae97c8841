#include "runtime/schedule/generators/generators.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace troupe {

namespace {

constexpr std::array table = {
    generator_entry{"naive", "one microbatch at a time: one rank works, the others wait", chunk_rule::one,
                    generate_naive},
    generator_entry{"gpipe", "all forward passes, then all backward passes; stashes every microbatch", chunk_rule::one,
                    generate_gpipe},
    generator_entry{"1f1b", "one forward, one backward in turn; gpipe's bubble, stashes at most p - rank microbatches",
                    chunk_rule::one, generate_one_f_one_b},
    generator_entry{"interleaved-1f1b", "1f1b with v stages a rank: 1/v of the bubble, more sending (--group-size)",
                    chunk_rule::any, generate_interleaved_one_f_one_b, true},
    generator_entry{"looped-bfs", "v stages a rank, all microbatches through one before the next; stashes them all",
                    chunk_rule::any, generate_looped_bfs},
    generator_entry{"interleaved-zb", "interleaved-1f1b whose W fill the ramp at the end (--group-size)",
                    chunk_rule::any, generate_interleaved_zero_bubble, true},
    generator_entry{"zb-h1", "1f1b whose W fill the ramp at the end: a third of its bubble, the same peak",
                    chunk_rule::one, generate_zb_h1},
    generator_entry{"zb-h2", "no idle time between a rank's first and last action from m = 2p - 1 on; twice the stash",
                    chunk_rule::one, generate_zb_h2},
    generator_entry{"zb-v", "two stages a rank in a V: no idle time where F = I = W, the stash of 1f1b",
                    chunk_rule::two, generate_zb_v},
    generator_entry{"v-half", "a V with about half of 1f1b's activations", chunk_rule::two, generate_v_half},
    generator_entry{"v-min", "a V with about a third of 1f1b's activations", chunk_rule::two, generate_v_min},
    generator_entry{"dualpipev", "a V that pairs each F with a B, so that their communication overlaps; needs m >= 2p",
                    chunk_rule::two, generate_dualpipev},
    generator_entry{"dualpipe", "dualpipev fed from both ends, with twice the ranks and two copies of the weights",
                    chunk_rule::one_each, generate_dualpipe},
    generator_entry{"chimera", "two 1f1b pipelines in opposite directions fill each other's bubbles; two copies",
                    chunk_rule::one_each, generate_chimera},
    generator_entry{"hanayo", "2 W stages a rank in W waves (--waves): the bubble shrinks with W, full B",
                    chunk_rule::waves, generate_hanayo},
    generator_entry{"pipedream", "asynchronous: no flush, an update after each microbatch; p - rank weight versions",
                    chunk_rule::one, generate_pipedream},
    generator_entry{"pipedream-vertical-sync", "pipedream where a microbatch sees the same version on every stage",
                    chunk_rule::one, generate_pipedream_vertical_sync},
    generator_entry{"pipedream-2bw", "asynchronous: no flush, an update a step, one step late; two weight versions",
                    chunk_rule::one, generate_pipedream_2bw},
};

void require_even(const std::string& name, std::uint32_t found, const char* what) {
  if (found % 2 != 0)
    throw spec_error(fmt::format("schedule '{}': found {} {}, expected an even number, as half of the microbatches run "
                                 "down the ranks and half of them up",
                                 name, found, what));
}

} // namespace

std::span<const generator_entry> generator_table() {
  return table;
}

std::vector<std::uint32_t> loop_placement(const schedule_request& request) {
  std::vector<std::uint32_t> rank_of_stage(std::size_t{request.ranks} * request.chunks);
  for (std::size_t stage = 0; stage < rank_of_stage.size(); ++stage)
    rank_of_stage[stage] = static_cast<std::uint32_t>(stage % request.ranks);
  return rank_of_stage;
}

std::vector<std::uint32_t> zigzag_placement(const schedule_request& request) {
  std::vector<std::uint32_t> rank_of_stage(std::size_t{request.ranks} * request.chunks);
  for (std::size_t stage = 0; stage < rank_of_stage.size(); ++stage) {
    const auto place = static_cast<std::uint32_t>(stage % (std::size_t{2} * request.ranks));
    rank_of_stage[stage] = place < request.ranks ? place : 2 * request.ranks - 1 - place;
  }
  return rank_of_stage;
}

schedule without_actions(const schedule_request& request, std::vector<std::uint32_t> rank_of_stage) {
  schedule result;
  result.name = request.name;
  result.ranks = request.ranks;
  result.microbatches = request.microbatches;
  result.placements.push_back(std::move(rank_of_stage));
  result.actions.resize(request.ranks);
  return result;
}

schedule without_actions_from_both_ends(const schedule_request& request) {
  require_even(request.name, request.ranks, "ranks");
  require_even(request.name, request.microbatches, "microbatches");
  schedule result = without_actions(request, loop_placement(request));
  result.placements.emplace_back(result.placements.front().rbegin(), result.placements.front().rend());
  return result;
}

void append_each(std::vector<action>& list, std::uint32_t stage, operation op, microbatch_range range) {
  for (std::uint32_t microbatch = range.first; microbatch < range.last; ++microbatch)
    list.push_back({stage, op, microbatch});
}

} // namespace troupe
