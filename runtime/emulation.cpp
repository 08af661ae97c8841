#include "runtime/emulation.hpp"

#include "model/error.hpp"
#include "model/random.hpp"
#include "runtime/schedule/cost_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace troupe {

namespace {

constexpr std::string_view jitter_name = "jitter=";
constexpr std::string_view slow_name = "slow=";

/// The whole of `text` as a number; nothing if it is none.
std::optional<double> number_of(std::string_view text) {
  double value = 0.0;
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc{} && stop == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

void read_jitter(std::string_view term, const std::string& field, emulation& into) {
  const std::optional<double> value = number_of(term.substr(jitter_name.size()));
  if (!value || !(*value >= 0.0 && *value < 1.0))
    throw spec_error(
        fmt::format("{}: found '{}', expected a number from 0 to 1, itself excluded, as in jitter=0.3", field, term));
  into.jitter = *value;
}

void read_slow(std::string_view term, const std::string& field, emulation& into) {
  constexpr double most = 1000.0; // times as long
  const std::string_view text = term.substr(slow_name.size());
  const std::size_t times = text.find('x');
  const std::optional<double> share = number_of(text.substr(0, times));
  const std::optional<double> factor =
      times == std::string_view::npos ? std::nullopt : number_of(text.substr(times + 1));
  if (!share || !factor || !(*share >= 0.0 && *share <= 1.0) || !(*factor >= 1.0 && *factor <= most))
    throw spec_error(fmt::format("{}: found '{}', expected a part of all passes from 0 to 1, and from 1 to {:g} times "
                                 "as long, as in slow=0.05x6",
                                 field, term, most));
  into.slow_share = *share;
  into.slow_factor = *factor;
}

} // namespace

emulation parse_emulation(const std::string& text, const std::string& field) {
  emulation result;
  std::string times;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view term = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), term.size() + 1));
    if (term.starts_with(jitter_name))
      read_jitter(term, field, result);
    else if (term.starts_with(slow_name))
      read_slow(term, field, result);
    else
      times += fmt::format("{}{}", times.empty() ? "" : ",", term);
  }
  const written_costs read = parse_costs(times, field);
  if (read.unit != time_unit::seconds)
    throw spec_error(fmt::format("{}: found '{}', expected times with units, as in f=10ms,i=10ms,w=10ms", field, text));
  const auto updates = [](const stage_cost& stage) { return stage.optimizer != 0.0; };
  if (read.costs.communication != 0.0 || read.costs.bandwidth != 0.0 || !read.costs.sizes.empty() ||
      std::ranges::any_of(read.costs.stages, updates))
    throw spec_error(fmt::format(
        "{}: found '{}', expected just f=, i=, w=, jitter= and slow=, as all but passes is real", field, text));
  result.costs = read.costs;
  return result;
}

double emulation::seconds(const action& one, std::uint64_t seed, std::uint64_t step) const {
  const double stated = duration_of(one, costs);
  if (jitter == 0.0 && slow_share == 0.0)
    return stated;
  constexpr std::uint64_t operations = 4;
  const random_stream chance{.seed = seed,
                             .purpose = random_purpose::jitter,
                             .x = step,
                             .y = one.stage * operations + static_cast<std::uint64_t>(one.op),
                             .z = one.microbatch};
  const double factor = chance.uniform(1) < slow_share ? slow_factor : 1.0;
  return stated * factor * (1.0 + jitter * (2.0 * chance.uniform(0) - 1.0));
}

} // namespace troupe
