// The picture of schedules as SVG, drawn as papers draw them: a row for each rank, time to the right and to scale, a
// box for each action. Draws simulated and measured times alike.
#pragma once

#include "runtime/schedule/schedule.hpp"
#include "runtime/schedule/simulate.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace troupe {

/// One schedule of a picture. Both pointers outlive the drawing.
struct svg_block {
  std::string heading;
  const schedule* plan = nullptr;
  const simulation* timing = nullptr; ///< a row for each rank of the plan
  std::string note{};                 ///< behind makespan, bubble and peak
};

struct svg_options {
  std::string title;       ///< of the document
  std::string time_unit{}; ///< that all times are in, such as "ms"; empty: whatever the costs were in
};

/// About 3 MB of text.
constexpr std::size_t maximum_svg_boxes = 20000;

/// Actions of a step.
std::size_t count_actions(const schedule& plan);

/// Throws spec_error when `actions` boxes are too many for a picture.
void expect_drawable(std::size_t actions);

/// Blocks one under another at one scale, each headed by its sizes, makespan, bubble and peak stash, and a legend. The
/// scale makes boxes wide enough for the microbatch's number where it can; a box that is too narrow has none, but a
/// tooltip like every other. The boxes of an overlapped pair have a common outline. Colours are those of
/// svg_colours.hpp on a white ground of its own. An action on another rank than its stage's works on the second copy of
/// the weights. The same arguments give the same text, which is well-formed whatever the headings hold. Throws
/// spec_error when there are more than maximum_svg_boxes actions, or a makespan is not finite.
std::string draw_svg(std::span<const svg_block> blocks, const svg_options& options);

} // namespace troupe
