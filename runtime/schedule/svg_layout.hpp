// Where things are in a picture of schedules: the scale of time, the ticks of its axis, the sizes of its parts.
#pragma once

#include "runtime/schedule/draw_svg.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// All lengths are in pixels.
struct svg_layout {
  static constexpr double margin = 16.0;
  static constexpr double row_height = 28.0;
  static constexpr double box_height = 24.0;
  static constexpr double head_height = 50.0; ///< of a block: heading and facts
  static constexpr double axis_height = 22.0;
  static constexpr double block_gap = 20.0;
  static constexpr double digit_width = 6.7; ///< of a label's 11 px, rather too wide than too narrow

  double left = 0.0;       ///< where time 0 is
  double scale = 1.0;      ///< pixels for a unit of time
  double plot_width = 0.0; ///< of the longest block
  double tick = 1.0;       ///< time between two ticks

  double x_of(double time) const { return left + time * scale; }
};

/// The scale makes all but the narrowest boxes wide enough for their label. Throws spec_error when a makespan is not
/// finite.
svg_layout lay_out(std::span<const svg_block> blocks);

/// Room that `text` of 12 px takes at most, in common fonts.
double text_width(const std::string& text);

/// A coordinate with at most two decimals.
std::string pixels(double value);

} // namespace troupe
