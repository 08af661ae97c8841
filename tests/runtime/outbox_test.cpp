#include "runtime/recovery/outbox.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace troupe;

namespace {

std::vector<std::uint64_t> steps_of_losses(const outbox& box) {
  std::vector<std::uint64_t> steps;
  for (const rank_output& one : box.for_scheduler())
    if (const auto* const loss = std::get_if<loss_message>(&one))
      steps.push_back(loss->at.step);
  return steps;
}

} // namespace

TEST_CASE("what the scheduler was told is kept in order from the recovery line on, and digests to the end") {
  outbox box(2);
  for (std::uint64_t step = 0; step < 3; ++step) {
    box.keep(loss_message{.at = {step}});
    box.keep(step_report{.at = {step}, .squares = {}, .usage = {}});
    box.keep(credit_message{});
  }
  box.keep(digest_report{});
  CHECK(box.for_scheduler().size() == 7); // credits are totals
  CHECK(steps_of_losses(box) == std::vector<std::uint64_t>{0, 1, 2});
  box.trim(2);
  CHECK(steps_of_losses(box) == std::vector<std::uint64_t>{2});
  box.trim(3);
  CHECK(box.for_scheduler().size() == 1);
  CHECK(std::holds_alternative<digest_report>(box.for_scheduler().front()));
}
