#include "model/error.hpp"
#include "runtime/schedule/draw_svg.hpp"
#include "runtime/schedule/svg_colours.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/svg_picture.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <limits>
#include <set>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;

namespace {

std::string picture(const schedule& plan, const simulation_costs& costs = {{{}}},
                    const svg_options& options = {"test"}) {
  const simulation timing = simulate(plan, costs);
  const svg_block block{plan.name, &plan, &timing};
  return draw_svg({&block, 1}, options);
}

std::vector<std::string> tooltips(const std::vector<svg_box>& boxes) {
  std::vector<std::string> texts;
  texts.reserve(boxes.size());
  for (const svg_box& box : boxes)
    texts.push_back(box.tooltip);
  return texts;
}

double start_of(const svg_box& box) {
  return std::stod(box.tooltip.substr(box.tooltip.find(' ')));
}

double end_of(const svg_box& box) {
  return std::stod(box.tooltip.substr(box.tooltip.find(" to ") + 4));
}

/// Rank 0 runs the F of one stage and the B of the other as a pair.
schedule pair_of_passes() {
  schedule plan;
  plan.name = "pair";
  plan.ranks = 1;
  plan.microbatches = 2;
  plan.placements = {{0, 0}};
  plan.actions = {{{0, operation::forward, 0},
                   {1, operation::forward, 0},
                   {0, operation::forward, 1},
                   {1, operation::backward, 0},
                   {0, operation::backward, 0},
                   {1, operation::forward, 1},
                   {1, operation::backward, 1},
                   {0, operation::backward, 1}}};
  plan.overlapped = {{2}};
  return plan;
}

} // namespace

// Times by hand: F = 1 and B = 2, so rank 1 starts at 1 and rank 0 gets its first gradient at 5.
TEST_CASE("a picture has a box for each action, in its place and to scale") {
  const std::vector<svg_box> boxes = boxes_of(picture(generate_schedule({"gpipe", 2, 2, 1})));
  CHECK(tooltips(boxes) == std::vector<std::string>{"0F0: 0 to 1", "0F1: 1 to 2", "0B0: 5 to 7", "0B1: 7 to 9",
                                                    "1F0: 1 to 2", "1F1: 2 to 3", "1B0: 3 to 5", "1B1: 5 to 7"});
  const double unit = boxes[1].x - boxes[0].x;
  CHECK(unit >= 20.0);
  for (const svg_box& box : boxes) {
    INFO(box.tooltip);
    CHECK(box.x == Approx(boxes[0].x + unit * start_of(box)));
    CHECK(box.width == Approx(unit * (end_of(box) - start_of(box)) - 1.0)); // a pixel lies between boxes
    CHECK(box.y == boxes[box.tooltip[0] == '0' ? 0 : 4].y);
  }
  CHECK(boxes[4].y > boxes[0].y + 20.0);
}

TEST_CASE("every schedule's picture is well-formed, with all of its boxes") {
  for (const std::string& name : schedule_names()) {
    INFO(name);
    const schedule plan = generate_schedule({name, 4, 8});
    const std::string svg = picture(plan);
    CHECK(boxes_of(svg).size() == count_actions(plan));
    CHECK(svg == picture(plan));
  }
}

TEST_CASE("boxes of one kind have one colour, of different kinds different ones") {
  const std::vector<xml_element> all = xml_reader(picture(generate_schedule({"dualpipev", 2, 5}))).read();
  const std::string style = elements_named(all, "style")[0].text;
  std::set<std::string> colours;
  for (const char* kind : {"F1of2", "F2of2", "I1of2", "I2of2", "W1of2", "W2of2", "B1of2", "B2of2"}) {
    const std::size_t rule = style.find("." + std::string(kind) + " { fill: #");
    REQUIRE(rule != std::string::npos);
    colours.insert(style.substr(style.find('#', rule), 7));
  }
  CHECK(colours.size() == 8);
}

TEST_CASE("a number can be read on every colour of a box") {
  for (const operation op :
       {operation::forward, operation::backward_input, operation::backward_weight, operation::backward})
    for (const weights_copy copy : {weights_copy::first, weights_copy::second})
      for (std::uint32_t chunk = 0; chunk < 8; ++chunk) {
        const rgb fill = fill_of({op, chunk, 8, copy});
        CHECK(contrast(fill, text_on(fill)) >= 4.5);
      }
  CHECK(contrast({255, 255, 255}, {0, 0, 0}) == Approx(21.0)); // WCAG's own example
  CHECK(contrast({119, 119, 119}, {255, 255, 255}) == Approx(4.48).margin(0.005));
}

TEST_CASE("the label's colour is the one that can be read on its box") {
  const std::vector<xml_element> all = xml_reader(picture(generate_schedule({"zb-h1", 1, 1}))).read();
  std::vector<std::string> labels;
  for (const xml_element& one : all)
    if (one.name == "text" && one.parent == "g" && one.attributes.contains("class"))
      labels.push_back(one.attributes.at("class"));
  CHECK(labels == std::vector<std::string>{"l", "d", "d"}); // light on blue, dark on teal and on amber
}

TEST_CASE("the heading tells sizes, makespan, bubble and peak stash") {
  // (p - 1) / (m + p - 1) of gpipe's time is idle.
  CHECK_THAT(picture(generate_schedule({"gpipe", 2, 3, 1})),
             Contains(">gpipe</text>") && Contains("p = 2 ranks, m = 3 microbatches, v = 1 stage a rank: makespan 12, "
                                                   "bubble 25.0 %, peak stash 3 microbatches<"));
  // Two stages a rank: four stage-microbatches are two of the rank's.
  CHECK_THAT(picture(generate_schedule({"zb-v", 2, 5})), Contains("v = 2 stages a rank") && Contains("peak stash 2 m"));
  CHECK_THAT(picture(generate_schedule({"naive", 1, 1, 1}), {{{}}}, {"test", "ms"}),
             Contains("makespan 3 ms") && Contains("<title>0B0: 1 to 3 ms</title>"));
}

TEST_CASE("an overlapped pair has one outline around both boxes") {
  const std::string svg = picture(pair_of_passes());
  const std::vector<xml_element> outlines = elements_named(xml_reader(svg).read(), "rect", "pair");
  REQUIRE(outlines.size() == 2); // the other one is in the legend
  const std::vector<svg_box> boxes = boxes_of(svg);
  CHECK(std::stod(outlines[0].attributes.at("x")) == Approx(boxes[2].x - 0.5));
  CHECK(std::stod(outlines[0].attributes.at("width")) == Approx(boxes[2].width + boxes[3].width + 2.0));
  CHECK_THAT(svg, Contains("overlapped pair"));
  CHECK_THAT(picture(generate_schedule({"1f1b", 2, 2, 1})), !Contains("overlapped pair"));
}

TEST_CASE("microbatches of the second copy are drawn as such") {
  const schedule plan = generate_schedule({.name = "chimera", .ranks = 2, .microbatches = 2});
  const simulation timing = simulate(plan, {{{}}});
  const svg_block block{"both", &plan, &timing};
  const std::string svg = draw_svg({&block, 1}, {"test"});
  std::size_t second = 0;
  for (const svg_box& box : boxes_of(svg))
    second += box.kind == "Fx" || box.kind == "Bx" ? 1 : 0;
  CHECK(boxes_of(svg).size() == 8);
  CHECK(second == 4);
  CHECK_THAT(svg, Contains("F forward, second copy"));
}

TEST_CASE("a picture of two copies tells them apart by shape and says how many there are") {
  const schedule plan = generate_schedule({"dualpipe", 2, 4});
  const std::string svg = picture(plan);
  CHECK_THAT(svg, Contains("v = 1 stage a rank of each of 2 copies: "));
  for (const xml_element& one : xml_reader(svg).read())
    if (one.name == "rect" && one.attributes.contains("rx") && one.attributes.at("class") != "pair" &&
        one.attributes.at("class") != "idle")
      CHECK(one.attributes.at("rx") == (one.attributes.at("class").ends_with("x") ? "9" : "2"));
}

TEST_CASE("blocks stand one under another at one scale") {
  const schedule first = generate_schedule({"gpipe", 2, 2, 1});
  const schedule second = generate_schedule({"naive", 2, 4, 1});
  const simulation one = simulate(first, {{{}}});
  const simulation other = simulate(second, {{{}}});
  const std::array<svg_block, 2> blocks{{{"one", &first, &one}, {"other", &second, &other}}};
  const std::vector<svg_box> boxes = boxes_of(draw_svg(blocks, {"test"}));
  REQUIRE(boxes.size() == 8 + 16);
  CHECK(boxes[8].x == boxes[0].x);
  CHECK(boxes[8].width == boxes[0].width);
  CHECK(boxes[8].y > boxes[7].y + 40.0);
}

TEST_CASE("boxes too narrow for a number have none, and the legend says so") {
  const schedule plan = generate_schedule({"1f1b", 2, 100, 1});
  const std::string wide = picture(plan, {{{1.0, 1.0, 1.0}}});
  CHECK_THAT(wide, Contains(">number: microbatch<") && Contains(">99</text>"));
  const std::string narrow = picture(plan, {{{1.0, 500.0, 500.0}}});
  CHECK(boxes_of(narrow).size() == 400);
  CHECK_THAT(narrow, Contains(">number: microbatch, where there is room<"));
}

TEST_CASE("times that differ absurdly, or are all zero, still make a picture") {
  const schedule plan = generate_schedule({"gpipe", 2, 2, 1});
  CHECK(boxes_of(picture(plan, {{{0.0, 0.0, 0.0}}})).size() == 8);
  const std::string svg = picture(plan, {{{1e-300, 1e300, 1.0}}});
  CHECK(boxes_of(svg).size() == 8);
  CHECK(svg.size() < 20000);
  CHECK_THAT(svg, !Contains("nan") && !Contains("\"inf"));
  CHECK_THAT(error_text<spec_error>([&] {
               picture(plan, {{{1e308, 1e308, 1e308}}});
             }),
             Contains("found a makespan of inf, expected a finite one"));
}

TEST_CASE("more boxes than the limit are refused by number") {
  const schedule largest = generate_schedule({"gpipe", 1, maximum_svg_boxes / 2, 1});
  CHECK_NOTHROW(picture(largest));
  CHECK_THAT(error_text<spec_error>([&] {
               picture(generate_schedule({"gpipe", 1, maximum_svg_boxes / 2 + 1, 1}));
             }),
             Contains("found 20002 actions, expected at most 20000 in one picture"));
}

TEST_CASE("a name with markup or bytes that are no text leaves the picture well-formed") {
  schedule plan = generate_schedule({"naive", 1, 1, 1});
  plan.name = "a<b>&\"'\x01\xff.csv";
  const std::string svg = picture(plan);
  CHECK(boxes_of(svg).size() == 2);
  CHECK_THAT(svg, Contains(">a&lt;b&gt;&amp;&quot;&#39;??.csv</text>"));
}
