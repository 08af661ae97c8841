#include "runtime/emulation.hpp"

#include "model/error.hpp"
#include "model/random.hpp"
#include "runtime/schedule/cost_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace troupe {

namespace {

constexpr std::string_view jitter_name = "jitter=";

double parse_jitter(std::string_view term, const std::string& field) {
  const std::string_view text = term.substr(jitter_name.size());
  double value = -1.0;
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || stop != text.data() + text.size() || !(value >= 0.0 && value < 1.0))
    throw spec_error(
        fmt::format("{}: found '{}', expected a number from 0 to 1, itself excluded, as in jitter=0.3", field, term));
  return value;
}

} // namespace

emulation parse_emulation(const std::string& text, const std::string& field) {
  emulation result;
  std::string times;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view term = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), term.size() + 1));
    if (term.starts_with(jitter_name))
      result.jitter = parse_jitter(term, field);
    else
      times += fmt::format("{}{}", times.empty() ? "" : ",", term);
  }
  const written_costs read = parse_costs(times, field);
  if (read.unit != time_unit::seconds)
    throw spec_error(fmt::format("{}: found '{}', expected times with units, as in f=10ms,i=10ms,w=10ms", field, text));
  if (read.costs.communication != 0.0)
    throw spec_error(fmt::format("{}: found a time for comm, expected none, as messages are real", field));
  if (read.costs.bandwidth != 0.0 || !read.costs.sizes.empty() ||
      std::ranges::any_of(read.costs.stages, [](const stage_cost& one) { return one.optimizer != 0.0; }))
    throw spec_error(
        fmt::format("{}: found '{}', expected times of f, i and w alone, as nothing else is emulated", field, text));
  result.costs = read.costs;
  return result;
}

double emulation::seconds(const action& one, std::uint64_t seed, std::uint64_t step) const {
  const double stated = duration_of(one, costs);
  if (jitter == 0.0)
    return stated;
  constexpr std::uint64_t operations = 4;
  const random_stream chance{.seed = seed,
                             .purpose = random_purpose::jitter,
                             .x = step,
                             .y = one.stage * operations + static_cast<std::uint64_t>(one.op),
                             .z = one.microbatch};
  return stated * (1.0 + jitter * (2.0 * chance.uniform(0) - 1.0));
}

} // namespace troupe
