#include "runtime/schedule/action.hpp"

#include <catch2/catch.hpp>

#include <limits>

using namespace troupe;

TEST_CASE("an action reads as stage, letter, microbatch") {
  CHECK(to_string({2, operation::forward, 0}) == "2F0");
  CHECK(to_string({1, operation::backward_input, 3}) == "1I3");
  CHECK(to_string({1, operation::backward_weight, 30}) == "1W30");
  CHECK(to_string({10, operation::backward, 5}) == "10B5");
}

TEST_CASE("an action survives its text form") {
  constexpr std::uint32_t largest = std::numeric_limits<std::uint32_t>::max();
  for (const operation op :
       {operation::forward, operation::backward_input, operation::backward_weight, operation::backward})
    for (const std::uint32_t number : {0U, 7U, 10U, largest}) {
      const action one{number, op, largest - number};
      CHECK(parse_action(to_string(one)) == one);
    }
}

TEST_CASE("text that is not an action is refused") {
  for (const char* text : {"",
                           "F",
                           "0",
                           "00",
                           "0F",
                           "F0",
                           "0X1",
                           "0f1",
                           "0F1 ",
                           " 0F1",
                           "0 F1",
                           "-1F0",
                           "0F-1",
                           "+1F0",
                           "0F+1",
                           "0FF1",
                           "0F1F",
                           "0F1.5",
                           "0F4294967296",
                           "4294967296F0",
                           "99999999999999999999F0",
                           "(0F3;7B1)OVERLAP_F_B",
                           "0F1,0F2"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_action(text).has_value());
  }
  CHECK_FALSE(parse_action(std::string_view("0F\0001", 4)).has_value());
}
