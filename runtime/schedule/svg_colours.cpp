#include "runtime/schedule/svg_colours.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

constexpr rgb black{0, 0, 0};
constexpr rgb white{255, 255, 255};
constexpr double lightest = 0.58; ///< how far the last stage's shade is on the way to white

rgb hue_of(operation op, weights_copy copy) {
  const bool first = copy == weights_copy::first;
  switch (op) {
  case operation::forward:
    return first ? rgb{31, 95, 173} : rgb{104, 71, 168}; // blue, violet
  case operation::backward_input:
    return first ? rgb{22, 155, 143} : rgb{94, 130, 32}; // teal, olive
  case operation::backward_weight:
    return first ? rgb{232, 183, 48} : rgb{217, 130, 176}; // amber, rose
  case operation::backward:
    break;
  }
  return first ? rgb{190, 74, 33} : rgb{156, 36, 96}; // rust, raspberry
}

std::uint8_t mix(std::uint8_t component, double with_white) {
  return static_cast<std::uint8_t>(std::lround(component + (255.0 - component) * with_white));
}

double linear(std::uint8_t component) {
  const double value = component / 255.0;
  return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
}

double luminance(rgb colour) {
  return 0.2126 * linear(colour.red) + 0.7152 * linear(colour.green) + 0.0722 * linear(colour.blue);
}

} // namespace

rgb fill_of(const box_kind& kind) {
  const rgb hue = hue_of(kind.op, kind.copy);
  const double way = kind.chunks < 2 ? 0.0 : lightest * kind.chunk / (kind.chunks - 1.0);
  return {mix(hue.red, way), mix(hue.green, way), mix(hue.blue, way)};
}

rgb text_on(rgb fill) {
  return contrast(white, fill) >= contrast(black, fill) ? white : black;
}

double contrast(rgb one, rgb other) {
  const auto [darker, lighter] = std::minmax({luminance(one), luminance(other)});
  return (lighter + 0.05) / (darker + 0.05);
}

std::string to_string(rgb colour) {
  return fmt::format("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue);
}

} // namespace troupe
