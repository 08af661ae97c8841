#include "runtime/schedule/svg_legend.hpp"

#include "runtime/schedule/svg_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace troupe {

namespace {

constexpr double swatch = 14.0;
constexpr double line_height = 22.0;
constexpr double item_gap = 20.0;

struct item {
  std::vector<std::string> classes; ///< a swatch each
  std::string text;
  weights_copy copy = weights_copy::first;

  double swatches_width() const { return (swatch + 1.0) * static_cast<double>(classes.size()) + 5.0; }
  double width() const { return swatches_width() + text_width(text) + item_gap; }
};

const char* meaning_of(operation op) {
  switch (op) {
  case operation::forward:
    return "F forward";
  case operation::backward_input:
    return "I backward, input";
  case operation::backward_weight:
    return "W backward, weights";
  case operation::backward:
    break;
  }
  return "B backward, I and W";
}

/// Of schedules with different numbers of stages the one with the most has all shades. Of many shades the ends will do.
item item_of(const std::vector<box_kind>& alike) {
  constexpr std::uint32_t most_swatches = 4;
  const std::uint32_t chunks = alike.back().chunks;
  item result;
  for (const box_kind& kind : alike)
    if (kind.chunks == chunks && (chunks <= most_swatches || kind.chunk == 0 || kind.chunk + 1 == chunks))
      result.classes.push_back(class_of(kind));
  result.text = meaning_of(alike.front().op);
  if (alike.front().copy == weights_copy::second)
    result.text += ", second copy";
  result.copy = alike.front().copy;
  return result;
}

std::vector<item> items_of(const legend_content& content) {
  std::vector<item> items;
  bool shaded = false;
  for (const weights_copy copy : {weights_copy::first, weights_copy::second})
    for (const operation op :
         {operation::forward, operation::backward, operation::backward_input, operation::backward_weight}) {
      std::vector<box_kind> alike;
      std::copy_if(content.kinds.begin(), content.kinds.end(), std::back_inserter(alike),
                   [&](const box_kind& kind) { return kind.op == op && kind.copy == copy; });
      if (alike.empty())
        continue;
      std::stable_sort(alike.begin(), alike.end(),
                       [](const box_kind& one, const box_kind& other) { return one.chunks < other.chunks; });
      items.push_back(item_of(alike));
      shaded = shaded || alike.back().chunks > 1;
    }
  items.push_back({{"idle"}, "idle"});
  if (content.has_pairs)
    items.push_back({{"pair"}, "overlapped pair"});
  items.push_back({{}, content.has_unnumbered ? "number: microbatch, where there is room" : "number: microbatch"});
  if (shaded)
    items.push_back({{}, "dark to light: a rank's stages"});
  return items;
}

} // namespace

drawn_legend draw_legend(const legend_content& content, const legend_place& place) {
  drawn_legend result;
  double x = place.left;
  double y = place.top;
  for (const item& one : items_of(content)) {
    if (x > place.left && x + one.width() - item_gap > place.right) {
      x = place.left;
      y += line_height;
    }
    for (std::size_t i = 0; i < one.classes.size(); ++i)
      result.text += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>\n",
                                 one.classes[i], pixels(x + (swatch + 1.0) * static_cast<double>(i)), pixels(y), swatch,
                                 swatch, corner_of(one.copy));
    result.text +=
        fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n",
                    pixels(x + (one.classes.empty() ? 0.0 : one.swatches_width())), pixels(y + 11.5), one.text);
    x += one.width();
  }
  result.bottom = y + line_height;
  return result;
}

std::string class_of(const box_kind& kind) {
  std::string name(1, letter(kind.op));
  if (kind.chunks > 1)
    name += fmt::format("{}of{}", kind.chunk + 1, kind.chunks);
  return kind.copy == weights_copy::second ? name + "x" : name;
}

} // namespace troupe
