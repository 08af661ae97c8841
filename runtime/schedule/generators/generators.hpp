// The table of schedule generators, one function and one file each, and what they share. A new schedule is a new file
// here, its declaration below and its row in generators.cpp.
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

/// Builds one kind of schedule. The request has at least one rank and microbatch, the number of chunks that the entry's
/// rule asks for, and is not too large; the generator throws spec_error for what its own rules exclude.
using schedule_generator = schedule (*)(const schedule_request&);

/// How many stages a rank has.
enum class chunk_rule : std::uint8_t {
  one,
  one_each, ///< of each of two copies
  any,      ///< 2 when the request does not say
  two,      ///< a V
  waves,    ///< 2 for each wave
};

struct generator_entry {
  const char* name = "";
  const char* summary = ""; ///< one line for help texts
  chunk_rule chunks = chunk_rule::one;
  schedule_generator generate = nullptr;
  bool has_groups = false; ///< whether schedule_request::group_size means something
};

/// All generators, in the order in which help texts list them.
std::span<const generator_entry> generator_table();

schedule generate_naive(const schedule_request& request);
schedule generate_gpipe(const schedule_request& request);
schedule generate_one_f_one_b(const schedule_request& request);
schedule generate_interleaved_one_f_one_b(const schedule_request& request);
schedule generate_looped_bfs(const schedule_request& request);
schedule generate_interleaved_zero_bubble(const schedule_request& request);
schedule generate_zb_h1(const schedule_request& request);
schedule generate_zb_h2(const schedule_request& request);
schedule generate_zb_v(const schedule_request& request);
schedule generate_v_half(const schedule_request& request);
schedule generate_v_min(const schedule_request& request);
schedule generate_dualpipev(const schedule_request& request);
schedule generate_dualpipe(const schedule_request& request);
schedule generate_chimera(const schedule_request& request);
schedule generate_hanayo(const schedule_request& request);
schedule generate_pipedream(const schedule_request& request);
schedule generate_pipedream_vertical_sync(const schedule_request& request);
schedule generate_pipedream_2bw(const schedule_request& request);

/// Stage s on rank s mod ranks: one stage a rank, or with chunks a loop that passes every rank `chunks` times.
std::vector<std::uint32_t> loop_placement(const schedule_request& request);

/// Stages down the ranks and up again, as often as there are pairs of chunks: a V, or the waves of Hanayo.
std::vector<std::uint32_t> zigzag_placement(const schedule_request& request);

/// The request's name and sizes, the given rank for each stage, and an empty list for each rank.
schedule without_actions(const schedule_request& request, std::vector<std::uint32_t> rank_of_stage);

/// 1F1B whose steps join without a flush: rank r runs p - 1 - r forward passes ahead. Throws spec_error when there are
/// fewer microbatches than ranks. The caller says when weights are updated, and which ones a microbatch sees.
schedule continuous_one_f_one_b(const schedule_request& request);

/// The same as without_actions for two copies of the model: stage s of copy 0 on rank s, that of copy 1 on the mirrored
/// rank. Throws spec_error unless ranks and microbatches are even.
schedule without_actions_from_both_ends(const schedule_request& request);

/// Appends `op` of `stage` for each microbatch of `range`, ascending.
void append_each(std::vector<action>& list, std::uint32_t stage, operation op, microbatch_range range);

} // namespace troupe
