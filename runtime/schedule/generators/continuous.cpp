// What the asynchronous schedules share: 1F1B without a flush between steps.
#include "model/error.hpp"
#include "runtime/schedule/generators/generators.hpp"

#include <fmt/format.h>

namespace troupe {

schedule continuous_one_f_one_b(const schedule_request& request) {
  if (request.microbatches < request.ranks)
    throw spec_error(fmt::format("schedule '{}': found {} microbatches, expected at least {}, one a rank, so that no "
                                 "rank runs further ahead than into the next step",
                                 request.name, request.microbatches, request.ranks));
  schedule result = generate_one_f_one_b(request);
  asynchrony& rule = result.asynchronous.emplace();
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank)
    rule.ahead.push_back(request.ranks - 1 - rank);
  return result;
}

} // namespace troupe
