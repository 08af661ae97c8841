// What explains a picture of schedules to someone who has never seen one.
#pragma once

#include "runtime/schedule/svg_colours.hpp"

#include <set>
#include <string>

namespace troupe {

/// What is in the picture.
struct legend_content {
  std::set<box_kind> kinds;
  bool has_pairs = false;
  bool has_unnumbered = false; ///< boxes too narrow for a number
};

struct legend_place {
  double left = 0.0;
  double top = 0.0;
  double right = 0.0;
};

struct drawn_legend {
  std::string text;
  double bottom = 0.0;
};

/// Lines as long as there is room for.
drawn_legend draw_legend(const legend_content& content, const legend_place& place);

/// The CSS class of a box: "F" where a rank has one stage, "F2of3" for the second of three; second copies end in "x".
std::string class_of(const box_kind& kind);

} // namespace troupe
