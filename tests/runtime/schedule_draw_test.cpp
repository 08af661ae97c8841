#include "runtime/schedule/draw.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <sstream>

using namespace troupe;

namespace {

std::string grid(const char* name, std::uint32_t p, std::uint32_t m, const grid_options& options = {}) {
  const schedule plan = generate_schedule({name, p, m, 1});
  return draw_grid(plan, simulate(plan, {{{}}}), options);
}

std::string without_escapes(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b')
      i = text.find('m', i);
    else
      plain += text[i];
  }
  return plain;
}

} // namespace

TEST_CASE("the picture of naive") {
  CHECK(grid("naive", 2, 2) == "time    0              5              10\n"
                               "rank 0  F0 .  .  .  B0--- F1 .  .  .  B1---\n"
                               "rank 1  .  F0 B0--- .  .  .  F1 B1--- .  .\n");
}

TEST_CASE("the picture of gpipe") {
  CHECK(grid("gpipe", 3, 3) == "time    0              5              10             15\n"
                               "rank 0  F0 F1 F2 .  .  .  .  .  .  B0--- B1--- B2---\n"
                               "rank 1  .  F0 F1 F2 .  .  .  B0--- B1--- B2--- .  .\n"
                               "rank 2  .  .  F0 F1 F2 B0--- B1--- B2--- .  .  .  .\n");
}

TEST_CASE("the picture of 1f1b") {
  CHECK(grid("1f1b", 4, 8) ==
        "time    0              5              10             15             20             25             30\n"
        "rank 0  F0 F1 F2 F3 .  .  .  .  .  .  B0--- F4 B1--- F5 B2--- F6 B3--- F7 B4--- .  B5--- .  B6--- .  B7---\n"
        "rank 1  .  F0 F1 F2 .  .  .  .  B0--- F3 B1--- F4 B2--- F5 B3--- F6 B4--- F7 B5--- .  B6--- .  B7--- .  .\n"
        "rank 2  .  .  F0 F1 .  .  B0--- F2 B1--- F3 B2--- F4 B3--- F5 B4--- F6 B5--- F7 B6--- .  B7--- .  .  .  .\n"
        "rank 3  .  .  .  F0 B0--- F1 B1--- F2 B2--- F3 B3--- F4 B4--- F5 B5--- F6 B6--- F7 B7--- .  .  .  .  .  .\n");
}

TEST_CASE("with several stages a rank each cell names its stage") {
  schedule plan;
  plan.ranks = 1;
  plan.microbatches = 1;
  plan.placements = {{0, 0}};
  plan.actions = {{{0, operation::forward, 0},
                   {1, operation::forward, 0},
                   {1, operation::backward_input, 0},
                   {1, operation::backward_weight, 0},
                   {0, operation::backward, 0}}};
  CHECK(draw_grid(plan, simulate(plan, {{{}}}), {}) == "time    0                   5\n"
                                                       "rank 0  0F0 1F0 1I0 1W0 0B0----\n");
}

TEST_CASE("cells are as wide as the longest action and rank labels line up") {
  std::istringstream lines(grid("gpipe", 11, 11));
  std::string line;
  std::getline(lines, line);
  std::getline(lines, line);
  CHECK(line.rfind("rank 0   F0  F1  F2 ", 0) == 0);
  CHECK(line.find(" F9  F10 .   .") != std::string::npos);
  for (int rank = 1; rank <= 10; ++rank)
    std::getline(lines, line);
  CHECK(line.rfind("rank 10  .   .   .   ", 0) == 0);
}

TEST_CASE("a cell can stand for any unit of time") {
  const schedule plan = generate_schedule({"naive", 2, 1, 1});
  const simulation timing = simulate(plan, {{{0.5, 0.5, 0.5}}, 1.0});
  CHECK(draw_grid(plan, timing, {.unit = 0.5}) == "time    0              2.5            5\n"
                                                  "rank 0  F0 .  .  .  .  .  .  .  B0---\n"
                                                  "rank 1  .  .  .  F0 B0--- .  .  .  .\n");
}

TEST_CASE("actions that take no time take no cell") {
  const schedule plan = generate_schedule({"gpipe", 1, 2, 1});
  CHECK(draw_grid(plan, simulate(plan, {{{0.0, 1.0, 0.0}}}), {}) == "time    0\nrank 0  B0 B1\n");
}

TEST_CASE("a row longer than the limit is cut there, with a mark") {
  CHECK(grid("gpipe", 2, 2, {.maximum_columns = 20}) == "time    0          >\n"
                                                        "rank 0  F0 F1 .  . >\n"
                                                        "rank 1  .  F0 F1 B0>\n");
  CHECK(grid("naive", 1, 1, {.maximum_columns = 16}) == grid("naive", 1, 1));
  CHECK(grid("naive", 1, 1, {.maximum_columns = 1}) == ">\n>\n");
}

TEST_CASE("times that differ absurdly do not exhaust memory") {
  const schedule plan = generate_schedule({"gpipe", 2, 1, 1});
  const std::string picture = draw_grid(plan, simulate(plan, {{{1e-300, 1e300, 1.0}}}), {.unit = 1e-300});
  CHECK(picture.size() < std::size_t{3} * 3 * 70000);
}

TEST_CASE("colours change nothing but the colours") {
  for (const std::uint32_t limit : {0U, 9U, 12U, 23U, 40U}) {
    const std::string coloured = grid("1f1b", 3, 4, {.colours = colour::always, .maximum_columns = limit});
    CHECK(without_escapes(coloured) == grid("1f1b", 3, 4, {.maximum_columns = limit}));
  }
  const std::string coloured = grid("1f1b", 1, 1, {.colours = colour::always});
  CHECK(coloured.find("\x1b[97;44mF0\x1b[0m \x1b[30;42mB0---\x1b[0m\n") != std::string::npos);
}
