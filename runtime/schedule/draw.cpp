#include "runtime/schedule/draw.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

namespace troupe {

namespace {

constexpr std::size_t maximum_cells = std::size_t{1} << 16; ///< of a row, so that no choice of times exhausts memory
constexpr std::size_t cells_between_ticks = 5;

constexpr std::string_view dim = "\x1b[2m";
constexpr std::string_view reset = "\x1b[0m";

/// Black or white text on the operation's colour.
std::string_view ansi_colour(operation op) {
  switch (op) {
  case operation::forward:
    return "\x1b[97;44m"; // blue
  case operation::backward_input:
    return "\x1b[30;46m"; // cyan
  case operation::backward_weight:
    return "\x1b[30;43m"; // yellow
  case operation::backward:
    break;
  }
  return "\x1b[30;42m"; // green
}

/// One line of the picture: ASCII text, so that a character is a column, and the style of some of its parts.
class styled_line {
public:
  void add(std::string_view text, std::string_view style = {}) {
    text_ += text;
    if (!style.empty())
      parts_.push_back({text_.size() - text.size(), text_.size(), style});
  }
  void pad_to(std::size_t columns) { text_.resize(std::max(columns, text_.size()), ' '); }

  std::string render(const grid_options& options) const {
    std::string text = text_.substr(0, text_.find_last_not_of(' ') + 1);
    if (options.maximum_columns != 0 && text.size() > options.maximum_columns) {
      text.resize(options.maximum_columns - 1);
      text += '>';
    }
    return (options.colours == colour::always ? coloured(text) : text) + '\n';
  }

private:
  struct part {
    std::size_t first, last;
    std::string_view style;
  };

  std::string coloured(const std::string& text) const {
    std::string result;
    std::size_t done = 0;
    for (const part& one : parts_) {
      if (one.first >= text.size())
        break;
      const std::size_t last = std::min(one.last, text.size());
      result.append(text, done, one.first - done);
      result.append(one.style).append(text, one.first, last - one.first).append(reset);
      done = last;
    }
    return result.append(text, done);
  }

  std::string text_;
  std::vector<part> parts_; ///< ascending, disjoint
};

/// Where things go: the row's label, then cells with a blank behind each.
struct layout {
  grid_shape shape;
  double unit = 1.0;

  /// Rounding keeps the order, so cells of actions that follow one another never overlap.
  std::size_t cell_of(double time) const {
    return static_cast<std::size_t>(std::min(std::round(time / unit), static_cast<double>(maximum_cells)));
  }
  std::size_t column_of(std::size_t cell) const { return shape.head + cell * (shape.cell + 1); }
};

std::string cell_label(const schedule& plan, const action& one) {
  std::string label = to_string(one);
  if (plan.stages() == plan.ranks && plan.copies() == 1)
    label.erase(0, label.find(letter(one.op)));
  return label;
}

styled_line draw_ruler(const layout& place, std::size_t cells) {
  styled_line line;
  line.add("time", dim);
  for (std::size_t cell = 0; cell <= cells; cell += cells_between_ticks) {
    line.pad_to(place.column_of(cell));
    line.add(fmt::format("{:g}", static_cast<double>(cell) * place.unit), dim);
  }
  return line;
}

void draw_idle(styled_line& line, const layout& place, std::size_t begin, std::size_t end) {
  for (std::size_t cell = begin; cell < end; ++cell) {
    line.pad_to(place.column_of(cell));
    line.add(".", dim);
  }
}

styled_line draw_rank(const schedule& plan, const std::vector<timed_action>& ran, std::uint32_t rank,
                      const layout& place, std::size_t cells) {
  styled_line line;
  line.add(fmt::format("rank {}", rank));
  std::size_t reached = 0;
  for (const timed_action& one : ran) {
    const std::size_t first = place.cell_of(one.start);
    const std::size_t last = place.cell_of(one.end);
    if (first >= last)
      continue;
    draw_idle(line, place, reached, first);
    line.pad_to(place.column_of(first));
    const std::size_t columns = place.column_of(last) - place.column_of(first) - 1;
    std::string text = cell_label(plan, one.what);
    text.resize(columns, last - first > 1 ? '-' : ' ');
    line.add(text, ansi_colour(one.what.op));
    reached = last;
  }
  draw_idle(line, place, reached, cells);
  return line;
}

} // namespace

grid_shape shape_of(const schedule& plan) {
  grid_shape result{fmt::formatted_size("rank {}  ", plan.ranks - 1), 0};
  for (const std::vector<action>& list : plan.actions)
    for (const action& one : list)
      result.cell = std::max(result.cell, cell_label(plan, one).size());
  return result;
}

std::string draw_grid(const schedule& plan, const simulation& timing, const grid_options& options) {
  TROUPE_CHECK(options.unit > 0.0, "a cell stands for some time");
  const grid_shape needed = shape_of(plan);
  const layout place{{std::max(needed.head, options.at_least.head), std::max(needed.cell, options.at_least.cell)},
                     options.unit};
  const std::size_t cells = place.cell_of(timing.makespan);
  std::string picture = draw_ruler(place, cells).render(options);
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    picture += draw_rank(plan, timing.ranks[rank], rank, place, cells).render(options);
  return picture;
}

} // namespace troupe
