// Which colour an action's box has in a picture of a schedule: a hue for each operation, a shade for each stage of the
// rank, another family of hues for the second copy of the weights.
#pragma once

#include "runtime/schedule/action.hpp"

#include <cstdint>
#include <string>

namespace troupe {

enum class weights_copy : std::uint8_t { first, second };

/// The radius of a box's corners, in pixels. The copies differ in shape, too: there are not hues enough for every eye.
constexpr int corner_of(weights_copy copy) {
  return copy == weights_copy::second ? 9 : 2;
}

/// What decides a box's colour.
struct box_kind {
  operation op = operation::forward;
  std::uint32_t chunk = 0;  ///< which of its rank's stages runs, counted from 0
  std::uint32_t chunks = 1; ///< stages of the rank
  weights_copy copy = weights_copy::first;

  friend auto operator<=>(const box_kind&, const box_kind&) = default;
};

/// sRGB components from 0 to 255.
struct rgb {
  std::uint8_t red = 0;
  std::uint8_t green = 0;
  std::uint8_t blue = 0;

  friend bool operator==(const rgb&, const rgb&) = default;
};

/// The hues of one copy stay apart under the three common kinds of colour blindness. The first stage of a rank has the
/// darkest shade, the last one the lightest.
rgb fill_of(const box_kind& kind);

/// Black or white, whichever is easier to read on `fill`: a contrast of at least 4.5 either way.
rgb text_on(rgb fill);

/// From 1 to 21, as WCAG 2.1 defines it.
double contrast(rgb one, rgb other);

/// "#1f5fad".
std::string to_string(rgb colour);

} // namespace troupe
