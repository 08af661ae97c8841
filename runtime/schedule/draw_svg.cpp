#include "runtime/schedule/draw_svg.hpp"

#include "model/error.hpp"
#include "runtime/schedule/svg_colours.hpp"
#include "runtime/schedule/svg_layout.hpp"
#include "runtime/schedule/svg_legend.hpp"
#include "runtime/schedule/timed_schedule.hpp"
#include "runtime/schedule/xml_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace troupe {

namespace {

constexpr const char* style = R"svg(
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #424a53; }
.h { font-size: 15px; font-weight: 600; fill: #1f2328; }
.n text { font-size: 11px; text-anchor: middle; pointer-events: none; }
.n .d { fill: #000000; }
.n .l { fill: #ffffff; }
.a text { font-size: 11px; text-anchor: middle; fill: #59636e; }
.tick { stroke: #d1d9e0; fill: none; }
.idle { fill: url(#idle); }
.pair { fill: none; stroke: #1f2328; stroke-width: 1.5; }
)svg";

constexpr const char* idle_pattern = R"svg(<defs>
<pattern id="idle" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="6" height="6" fill="#f6f8fa"/><path d="M0 0V6" stroke="#dfe3e8" stroke-width="2"/>
</pattern>
</defs>)svg";

/// What kind of box each action is.
class kinds_of_boxes {
public:
  explicit kinds_of_boxes(const schedule& plan) : plan_(plan), chunk_(plan.stages()), chunks_(plan.ranks, 0) {
    for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
      chunk_[stage] = chunks_[plan.placements.front()[stage]]++;
  }

  box_kind of(const action& one) const {
    const std::uint32_t owner = plan_.placements.front()[one.stage];
    const bool first = plan_.copy_of(one.microbatch) == 0;
    return {one.op, chunk_[one.stage], chunks_[owner], first ? weights_copy::first : weights_copy::second};
  }

private:
  const schedule& plan_;
  std::vector<std::uint32_t> chunk_;  ///< by stage: which of its rank's it is
  std::vector<std::uint32_t> chunks_; ///< by rank: how many it has
};

/// Writes the parts of one picture from top to bottom, and notes what its legend must explain.
class svg_writer {
public:
  svg_writer(std::span<const svg_block> blocks, const svg_options& options)
      : options_(options), place_(lay_out(blocks)),
        width_(place_.left + std::max(place_.plot_width, narrowest_plot) + svg_layout::margin) {
    for (const svg_block& block : blocks)
      draw_block(block);
    const drawn_legend legend =
        draw_legend(legend_, {svg_layout::margin, y_ + svg_layout::block_gap, width_ - svg_layout::margin});
    body_ += legend.text;
    y_ = legend.bottom + svg_layout::margin / 2.0;
  }

  std::string document() const {
    std::string text = fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" )"
                                   R"(height="{1}" role="img" aria-labelledby="title">)"
                                   "\n<title id=\"title\">{2}</title>\n<style>{3}",
                                   pixels(width_), pixels(y_), xml_text(options_.title), style);
    for (const box_kind& kind : legend_.kinds)
      text += fmt::format(".{} {{ fill: {}; }}\n", class_of(kind), to_string(fill_of(kind)));
    return text + "</style>\n" + idle_pattern + "\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n" + body_ +
           "</svg>\n";
  }

private:
  static constexpr double narrowest_plot = 480.0; ///< of which a legend still looks well

  void draw_block(const svg_block& block) {
    const schedule& plan = *block.plan;
    y_ += y_ > 0.0 ? svg_layout::block_gap : svg_layout::margin / 2.0;
    const std::string facts = facts_of(block);
    const std::string heading = xml_text(block.heading);
    write_text(R"(class="h" )", svg_layout::margin, y_ + 18.0, heading);
    write_text("", svg_layout::margin, y_ + 37.0, facts);
    width_ = std::max(
        {width_, 2.0 * svg_layout::margin + text_width(facts), 2.0 * svg_layout::margin + 1.3 * text_width(heading)});
    y_ += svg_layout::head_height;
    draw_axis(block);
    const kinds_of_boxes kinds(plan);
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
      draw_rank(block, kinds, rank);
    y_ += svg_layout::axis_height;
  }

  std::string facts_of(const svg_block& block) const {
    const schedule& plan = *block.plan;
    return fmt::format("p = {} rank{}, m = {} microbatch{}, v = {:.3g} stage{} a rank{}: {}{}", plan.ranks,
                       plan.ranks == 1 ? "" : "s", plan.microbatches, plan.microbatches == 1 ? "" : "es",
                       stages_per_rank(plan), plan.stages() == plan.ranks ? "" : "s",
                       plan.copies() > 1 ? fmt::format(" of each of {} copies", plan.copies()) : "",
                       headline(plan, *block.timing, options_.time_unit), xml_text(block.note));
  }

  /// Lines behind the rows, numbers below them.
  void draw_axis(const svg_block& block) {
    const double bottom = y_ + block.plan->ranks * svg_layout::row_height;
    const auto ticks = static_cast<std::size_t>(block.timing->makespan / place_.tick * (1.0 + 1e-9));
    std::string lines;
    std::string numbers;
    for (std::size_t i = 0; i <= ticks; ++i) {
      const double time = static_cast<double>(i) * place_.tick;
      const std::string x = pixels(place_.x_of(time));
      lines += fmt::format("M{} {}V{}", x, pixels(y_), pixels(bottom + 4.0));
      numbers += fmt::format(R"(<text x="{}" y="{}">{:.6g}</text>)", x, pixels(bottom + 16.0), time);
    }
    body_ += fmt::format("<path class=\"tick\" d=\"{}\"/>\n<g class=\"a\">{}</g>\n", lines, numbers);
  }

  void draw_rank(const svg_block& block, const kinds_of_boxes& kinds, std::uint32_t rank) {
    const std::vector<timed_action>& ran = block.timing->ranks[rank];
    const double top = y_ + (svg_layout::row_height - svg_layout::box_height) / 2.0;
    write_text("", svg_layout::margin, top + 16.5, fmt::format("rank {}", rank));
    body_ += fmt::format("<rect class=\"idle\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", pixels(place_.left),
                         pixels(top), pixels(block.timing->makespan * place_.scale), pixels(svg_layout::box_height));
    std::string labels;
    for (const timed_action& one : ran) {
      const box_kind kind = kinds.of(one.what);
      legend_.kinds.insert(kind);
      draw_box(one, kind, top);
      labels += label_of(one, kind, top);
    }
    body_ += fmt::format("<g class=\"n\">{}</g>\n", labels);
    if (!block.plan->overlapped.empty())
      for (const std::uint32_t first : block.plan->overlapped[rank])
        draw_pair({&block.plan->actions[rank][first], 2}, ran, top);
    y_ += svg_layout::row_height;
  }

  /// Boxes that follow one another have a pixel between them, or less where they are narrow.
  void draw_box(const timed_action& one, const box_kind& kind, double top) {
    const double width = (one.end - one.start) * place_.scale;
    const double gap = std::min(1.0, width / 5.0);
    body_ +=
        fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"><title>{}: {:.6g} to "
                    "{:.6g}{}{}</title></rect>\n",
                    class_of(kind), pixels(place_.x_of(one.start) + gap / 2.0), pixels(top), pixels(width - gap),
                    pixels(svg_layout::box_height), corner_of(kind.copy), to_string(one.what), one.start, one.end,
                    options_.time_unit.empty() ? "" : " ", xml_text(options_.time_unit));
  }

  std::string label_of(const timed_action& one, const box_kind& kind, double top) {
    const std::string number = std::to_string(one.what.microbatch);
    if ((one.end - one.start) * place_.scale < svg_layout::digit_width * static_cast<double>(number.size()) + 3.0) {
      legend_.has_unnumbered = true;
      return {};
    }
    return fmt::format(R"(<text class="{}" x="{}" y="{}">{}</text>)", text_on(fill_of(kind)) == rgb{} ? 'd' : 'l',
                       pixels(place_.x_of((one.start + one.end) / 2.0)), pixels(top + 16.0), number);
  }

  void draw_pair(std::span<const action> pair, const std::vector<timed_action>& ran, double top) {
    double start = std::numeric_limits<double>::infinity();
    double end = 0.0;
    for (const timed_action& one : ran)
      if (std::find(pair.begin(), pair.end(), one.what) != pair.end()) {
        start = std::min(start, one.start);
        end = std::max(end, one.end);
      }
    if (end < start)
      return; // a measurement that lacks them
    legend_.has_pairs = true;
    body_ += fmt::format("<rect class=\"pair\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"3\"/>\n",
                         pixels(place_.x_of(start)), pixels(top - 1.0), pixels((end - start) * place_.scale),
                         pixels(svg_layout::box_height + 2.0));
  }

  void write_text(const char* attribute, double x, double y, const std::string& text) {
    body_ += fmt::format("<text {}x=\"{}\" y=\"{}\">{}</text>\n", attribute, pixels(x), pixels(y), text);
  }

  const svg_options& options_;
  svg_layout place_;
  double width_;
  double y_ = 0.0; ///< how far down the picture is drawn
  legend_content legend_;
  std::string body_;
};

} // namespace

std::size_t count_actions(const schedule& plan) {
  std::size_t actions = 0;
  for (const std::vector<action>& list : plan.actions)
    actions += list.size();
  return actions;
}

void expect_drawable(std::size_t actions) {
  if (actions > maximum_svg_boxes)
    throw spec_error(fmt::format("svg: found {} actions, expected at most {} in one picture (csv and json have no such "
                                 "limit)",
                                 actions, maximum_svg_boxes));
}

std::string draw_svg(std::span<const svg_block> blocks, const svg_options& options) {
  std::size_t actions = 0;
  for (const svg_block& block : blocks) {
    TROUPE_CHECK(block.timing->ranks.size() == block.plan->ranks, "a row for each rank");
    actions += count_actions(*block.plan);
  }
  expect_drawable(actions);
  return svg_writer(blocks, options).document();
}

} // namespace troupe
