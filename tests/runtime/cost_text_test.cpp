// Times of passes as a user writes them.
#include "model/error.hpp"
#include "runtime/schedule/cost_text.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace troupe;

namespace {

simulation_costs costs_of(const std::string& text) {
  return parse_costs(text, "--cost").costs;
}

void refuse(const std::string& text, const std::string& message) {
  INFO(text);
  CHECK_THROWS_AS(parse_costs(text, "--cost"), spec_error);
  CHECK_THROWS_WITH(parse_costs(text, "--cost"), "--cost: " + message);
}

} // namespace

TEST_CASE("each time goes to its own pass, and what is not named is 1, communication 0", "[cost]") {
  const simulation_costs all = costs_of("f=1.5,i=2e1,w=0,comm=0.25");
  REQUIRE(all.stages.size() == 1);
  CHECK(all.stages[0].forward == 1.5);
  CHECK(all.stages[0].backward_input == 20.0);
  CHECK(all.stages[0].backward_weight == 0.0);
  CHECK(all.communication == 0.25);
  const written_costs none = parse_costs("", "--cost");
  REQUIRE(none.costs.stages.size() == 1);
  CHECK(none.costs.stages[0].forward == 1.0);
  CHECK(none.costs.stages[0].backward_input == 1.0);
  CHECK(none.costs.stages[0].backward_weight == 1.0);
  CHECK(none.costs.communication == 0.0);
  CHECK(none.unit == time_unit::any);
}

TEST_CASE("a list gives each stage its own time, and a single time is everyone's", "[cost]") {
  const simulation_costs costs = costs_of("f=1/1/2/3,i=5,w=4/3/2/1");
  REQUIRE(costs.stages.size() == 4);
  const std::vector<double> forward = {1, 1, 2, 3};
  const std::vector<double> weight = {4, 3, 2, 1};
  for (std::size_t stage = 0; stage < 4; ++stage) {
    CHECK(costs.stages[stage].forward == forward[stage]);
    CHECK(costs.stages[stage].backward_input == 5.0);
    CHECK(costs.stages[stage].backward_weight == weight[stage]);
  }
}

TEST_CASE("times with units are seconds", "[cost]") {
  const written_costs read = parse_costs("f=2s/500us,i=10ms,w=1.5ms,comm=3us", "--cost");
  CHECK(read.unit == time_unit::seconds);
  REQUIRE(read.costs.stages.size() == 2);
  CHECK(read.costs.stages[0].forward == 2.0);
  CHECK(read.costs.stages[1].forward == Approx(500e-6));
  CHECK(read.costs.stages[1].backward_input == Approx(10e-3));
  CHECK(read.costs.stages[0].backward_weight == Approx(1.5e-3));
  CHECK(read.costs.communication == Approx(3e-6));
}

TEST_CASE("what is no time is refused with the term and the flag", "[cost]") {
  const std::string a_time = "expected a time of at least 0, as in f=1.5 or f=1.5ms (units: s, ms, us)";
  for (const std::string term : {"f=", "f=x", "f=-1", "f=1 ", "f=inf", "f=nan", "f=1h", "f=1//2", "f=/1", "comm=1/2",
                                 "f=1e999", "f=0x10", "f= 1"})
    refuse(term, "found '" + term + "', " + a_time);
  refuse("i=1,f=1/", "found 'f=1/', expected a number after each /");
  const std::string a_name =
      "expected f=, i=, w=, opt= or comm= and a time, or bandwidth=, weights=, stash= or out= and a size";
  for (const std::string term : {"x=1", "f", "=1", "F=1", "fi=1", "comm"})
    refuse("f=1," + term, "found '" + term + "', " + a_name);
  refuse("f=1,,w=1", "found '', " + a_name);
}

TEST_CASE("units must be at all times or at none, and then at all passes", "[cost]") {
  refuse("f=1ms,i=1", "found 'i=1', expected a unit (s, ms or us) as the times before it have");
  refuse("f=1,comm=1us", "found 'comm=1us', expected no unit, as the times before it have none");
  refuse("f=1ms/2", "found 'f=1ms/2', expected a unit (s, ms or us) as the times before it have");
  refuse("f=1ms,i=2ms", "found no w=, expected f=, i= and w=, since times have units");
  refuse("comm=1ms", "found no f=, expected f=, i= and w=, since times have units");
}

TEST_CASE("lists must be of one length, and that of the schedule's stages", "[cost]") {
  refuse("f=1/2/3,i=1/2", "found 'i=1/2', expected one number or 3, as many as in the list before");
  CHECK_NOTHROW(expect_stage_count(costs_of("f=2"), 7, "--cost"));
  CHECK_NOTHROW(expect_stage_count(costs_of("f=2/3"), 2, "--cost"));
  CHECK_THROWS_WITH(expect_stage_count(costs_of("f=2/3"), 3, "--emulate"),
                    "--emulate: found a list of 2 times, expected one time or 3, one for each stage");
}

TEST_CASE("sizes, bandwidth and the optimizer go to their places", "[cost]") {
  const simulation_costs costs = costs_of("opt=0.5/1,weights=100,stash=1e3/2e3,out=7,bandwidth=2.5");
  REQUIRE(costs.stages.size() == 2);
  CHECK(costs.stages[0] == stage_cost{1.0, 1.0, 1.0, 0.5});
  CHECK(costs.stages[1] == stage_cost{1.0, 1.0, 1.0, 1.0});
  CHECK(costs.sizes == std::vector<stage_size>{{100.0, 1000.0, 7.0}, {100.0, 2000.0, 7.0}});
  CHECK(costs.bandwidth == 2.5);
  CHECK(costs_of("f=1").sizes.empty());
  CHECK(costs_of("f=1").bandwidth == 0.0);
  CHECK(parse_costs("f=1ms,i=1ms,w=1ms,opt=250us,out=10", "--cost").costs.stages[0].optimizer == Approx(250e-6));
}

TEST_CASE("a name that comes twice and a bandwidth of 0 are refused", "[cost]") {
  refuse("f=1,f=2", "found 'f=2', expected f= once");
  refuse("out=1,w=1,out=1", "found 'out=1', expected out= once");
  refuse("bandwidth=0,out=1", "found 'bandwidth=0', expected a bandwidth above 0, or none for no limit");
}

TEST_CASE("what is no size is refused with the term", "[cost]") {
  for (const std::string term : {"out=", "out=1ms", "stash=x", "weights=-1", "bandwidth=1/2", "bandwidth=inf"})
    refuse(term, "found '" + term + "', expected a size of at least 0, as in out=1e6");
  refuse("f=1/2,out=1/2/3", "found 'out=1/2/3', expected one number or 2, as many as in the list before");
}
