#include "runtime/schedule/csv.hpp"

#include "model/error.hpp"
#include "runtime/schedule/csv_asynchrony.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace troupe {

namespace {

constexpr std::uintmax_t maximum_file_bytes = std::uintmax_t{256} << 20;
constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// The text before the next `separator`, which is removed from `rest` together with it.
std::string_view take_until(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

/// What a message may show of a file that could hold anything.
std::string quotable(std::string_view text) {
  constexpr std::size_t shown = 32;
  std::string result(text.substr(0, shown));
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > shown ? result + "..." : result;
}

constexpr std::string_view digits = "0123456789";
constexpr std::string_view overlap_suffix = ")OVERLAP_F_B";

/// "3SEND_F1", "0UNSHARD": what PyTorch lists besides the computation.
bool is_bookkeeping(std::string_view cell) {
  constexpr std::array<std::string_view, 10> names = {"SEND_F",      "RECV_F",     "SEND_B",      "RECV_B",
                                                      "UNSHARD",     "RESHARD",    "REDUCE_GRAD", "WAIT_REDUCE_GRAD",
                                                      "WAIT_SEND_F", "WAIT_SEND_B"};
  const std::size_t first = cell.find_first_not_of(digits);
  if (first == 0 || first == std::string_view::npos)
    return false;
  const std::size_t last = cell.find_last_not_of(digits);
  return std::find(names.begin(), names.end(), cell.substr(first, last + 1 - first)) != names.end();
}

/// The two actions of "(0F3;7B1)OVERLAP_F_B"; empty when `cell` is something else.
std::optional<std::pair<action, action>> parse_pair(std::string_view cell) {
  if (!cell.starts_with('(') || !cell.ends_with(overlap_suffix))
    return std::nullopt;
  std::string_view inner = cell.substr(1, cell.size() - 1 - overlap_suffix.size());
  const auto first = parse_action(trim(take_until(inner, ';')));
  const auto second = parse_action(trim(inner));
  if (!first || !second)
    return std::nullopt;
  return std::pair(*first, *second);
}

struct csv_row {
  std::vector<action> actions;
  std::vector<std::uint32_t> overlapped;
  std::size_t bookkeeping = 0;
};

csv_row parse_row(std::string_view line, const std::string& name, std::size_t row) {
  csv_row result;
  for (std::size_t column = 1; !line.empty(); ++column) {
    const std::string_view cell = trim(take_until(line, ','));
    if (cell.empty())
      continue;
    if (const auto one = parse_action(cell)) {
      result.actions.push_back(*one);
    } else if (const auto pair = parse_pair(cell)) {
      result.overlapped.push_back(static_cast<std::uint32_t>(result.actions.size()));
      result.actions.insert(result.actions.end(), {pair->first, pair->second});
    } else if (is_bookkeeping(cell)) {
      ++result.bookkeeping;
    } else {
      throw spec_error(fmt::format("{}: row {}, column {}: found '{}', expected an action such as 0F3: stage, one of "
                                   "F I W B, microbatch; or a pair such as (0F3;7B1)OVERLAP_F_B",
                                   name, row, column, quotable(cell)));
    }
  }
  if (result.actions.empty())
    throw spec_error(
        fmt::format("{}: row {}: found no action, expected at least one, as each row is a rank", name, row));
  return result;
}

/// Numbers as large as the count of all actions cannot be right, and would size the tables.
void check_numbers(const schedule& plan, std::size_t count) {
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    for (const action& one : plan.actions[rank])
      if (one.stage >= count || one.microbatch >= count)
        throw spec_error(
            fmt::format("{}: row {}: found {}, expected stage and microbatch below {}, the number of actions",
                        plan.name, rank + 1, to_string(one), count));
}

/// The rank of a stage is that of the first row which has it with a microbatch of `range`.
std::vector<std::uint32_t> first_rows(const schedule& plan, std::uint32_t stages, microbatch_range range) {
  std::vector<std::uint32_t> rank_of_stage(stages, no_rank);
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    for (const action& one : plan.actions[rank])
      if (one.microbatch >= range.first && one.microbatch < range.last && rank_of_stage[one.stage] == no_rank)
        rank_of_stage[one.stage] = rank;
  return rank_of_stage;
}

/// Whether every stage has its halves of the microbatches in two rows, and nothing elsewhere.
bool are_two_copies(const schedule& plan) {
  for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
    if (const std::uint32_t one = plan.placements[0][stage], other = plan.placements[1][stage];
        one == other || one == no_rank || other == no_rank)
      return false;
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    for (const action& one : plan.actions[rank])
      if (plan.rank_of(one.stage, one.microbatch) != rank)
        return false;
  return true;
}

/// Leaves one placement, or two when the rows hold two copies.
void find_placements(schedule& plan) {
  std::uint32_t stages = 0;
  for (const std::vector<action>& list : plan.actions)
    for (const action& one : list)
      stages = std::max(stages, one.stage + 1);
  const std::uint32_t half = plan.microbatches / 2;
  if (plan.microbatches % 2 == 0) {
    plan.placements = {first_rows(plan, stages, {0, half}), first_rows(plan, stages, {half, plan.microbatches})};
    if (are_two_copies(plan))
      return;
  }
  plan.placements = {first_rows(plan, stages, {0, plan.microbatches})};
  const std::vector<std::uint32_t>& rank_of_stage = plan.placements.front();
  const auto gap = std::find(rank_of_stage.begin(), rank_of_stage.end(), no_rank);
  if (gap != rank_of_stage.end())
    throw spec_error(fmt::format("{}: found no action of stage {}, expected some, because there is a stage {}",
                                 plan.name, gap - rank_of_stage.begin(), stages - 1));
}

} // namespace

std::string to_csv(const schedule& plan) {
  std::string text = plan.asynchronous ? to_csv_line(*plan.asynchronous) : "";
  for (std::size_t rank = 0; rank < plan.actions.size(); ++rank) {
    const std::vector<action>& list = plan.actions[rank];
    const std::vector<std::uint32_t> pairs =
        plan.overlapped.empty() ? std::vector<std::uint32_t>() : plan.overlapped[rank];
    auto pair = pairs.begin();
    for (std::size_t i = 0; i < list.size(); ++i) {
      text += i == 0 ? "" : ",";
      if (pair == pairs.end() || *pair != i) {
        text += to_string(list[i]);
        continue;
      }
      text += fmt::format("({};{}{}", to_string(list[i]), to_string(list[i + 1]), overlap_suffix);
      ++pair;
      ++i;
    }
    text += '\n';
  }
  return text;
}

schedule parse_csv(const std::string& text, const std::string& name, csv_notes* notes) {
  schedule result;
  csv_notes found;
  bool has_pairs = false;
  result.name = name;
  std::size_t count = 0;
  std::string_view rest = text;
  rest = rest.substr(0, rest.find_last_not_of(" \t\r\n") + 1);
  result.asynchronous = parse_csv_line(rest.substr(0, rest.find('\n')), name);
  if (result.asynchronous)
    take_until(rest, '\n');
  for (std::size_t row = 1; !rest.empty(); ++row) {
    csv_row one = parse_row(take_until(rest, '\n'), name, row);
    count += one.actions.size();
    found.bookkeeping += one.bookkeeping;
    has_pairs = has_pairs || !one.overlapped.empty();
    result.actions.push_back(std::move(one.actions));
    result.overlapped.push_back(std::move(one.overlapped));
  }
  if (!has_pairs)
    result.overlapped.clear();
  if (notes != nullptr)
    *notes = found;
  if (count == 0)
    throw spec_error(fmt::format("{}: found no actions, expected a row of them for each rank", name));
  result.ranks = static_cast<std::uint32_t>(result.actions.size());
  check_numbers(result, count);
  for (const std::vector<action>& list : result.actions)
    for (const action& one : list)
      result.microbatches = std::max(result.microbatches, one.microbatch + 1);
  find_placements(result);
  return result;
}

bool is_csv(const std::string& name) {
  return name.ends_with(".csv");
}

std::string describe(const csv_notes& notes, const std::string& name) {
  return notes.bookkeeping == 0
             ? ""
             : fmt::format("note: {}: {} bookkeeping actions such as SEND_F are read over\n", name, notes.bookkeeping);
}

schedule read_csv(const std::string& path, csv_notes* notes) {
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::status(path, failure);
  if (!std::filesystem::exists(status))
    throw spec_error(fmt::format("{}: found no such file, expected a schedule in CSV", path));
  if (!std::filesystem::is_regular_file(status))
    throw spec_error(fmt::format("{}: found something else than a regular file, expected a schedule in CSV", path));
  const std::uintmax_t size = std::filesystem::file_size(path, failure);
  if (failure || size > maximum_file_bytes)
    throw spec_error(fmt::format("{}: found {} bytes, expected at most {}", path, size, maximum_file_bytes));
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size)))
    throw spec_error(fmt::format("{}: found a file that cannot be read, expected a schedule in CSV", path));
  return parse_csv(text, path, notes);
}

} // namespace troupe
