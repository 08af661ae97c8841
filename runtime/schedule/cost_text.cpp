#include "runtime/schedule/cost_text.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

namespace {

constexpr std::array<std::pair<std::string_view, double>, 3> units{{{"ms", 1e-3}, {"us", 1e-6}, {"s", 1.0}}};

/// Takes the text up to `separator`, and the separator, off the front of `rest`.
std::string_view take_until(char separator, std::string_view& rest) {
  const std::string_view taken = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), taken.size() + 1));
  return taken;
}

class cost_reader {
public:
  explicit cost_reader(const std::string& flag) : flag_(flag) {}

  written_costs read(std::string_view text) {
    while (!text.empty())
      read_term(take_until(',', text));
    if (unit_ == time_unit::seconds)
      expect_all_passes();
    written_costs result;
    result.unit = unit_.value_or(time_unit::any);
    result.costs.communication = communication_;
    result.costs.bandwidth = bandwidth_;
    for (std::size_t stage = 0; stage < list_size_; ++stage) {
      result.costs.stages.push_back(
          {at(forward_, stage), at(input_, stage), at(weight_, stage), at(optimizer_, stage)});
      if (has_sizes_)
        result.costs.sizes.push_back({at(weights_, stage), at(stash_, stage), at(output_, stage)});
    }
    return result;
  }

private:
  using numbers = std::vector<double>;
  using number_reader = double (cost_reader::*)(std::string_view term, std::string_view text);

  static double at(const numbers& list, std::size_t stage) { return list[list.size() == 1 ? 0 : stage]; }

  [[noreturn]] void refuse(std::string_view term, const std::string& expected) const {
    throw spec_error(fmt::format("{}: found '{}', expected {}", flag_, term, expected));
  }

  void read_term(std::string_view term) {
    std::string_view value = term;
    const std::string_view name = take_until('=', value);
    if (name.size() < term.size() && std::ranges::find(seen_, name) != seen_.end())
      refuse(term, fmt::format("{}= once", name));
    seen_.emplace_back(name);
    const auto is = [&](std::string_view known) { return name.size() < term.size() && name == known; };
    if (is("f"))
      forward_ = read_pass(term, value);
    else if (is("i"))
      input_ = read_pass(term, value);
    else if (is("w"))
      weight_ = read_pass(term, value);
    else if (is("opt"))
      optimizer_ = read_list(term, value, &cost_reader::read_time);
    else if (is("comm"))
      communication_ = read_time(term, value);
    else if (is("bandwidth"))
      bandwidth_ = read_bandwidth(term, value);
    else if (is("weights"))
      weights_ = read_sizes(term, value);
    else if (is("stash"))
      stash_ = read_sizes(term, value);
    else if (is("out"))
      output_ = read_sizes(term, value);
    else
      refuse(term, "f=, i=, w=, opt= or comm= and a time, or bandwidth=, weights=, stash= or out= and a size");
  }

  /// None is no limit, so 0 cannot mean that, too.
  double read_bandwidth(std::string_view term, std::string_view value) {
    const double read = read_size(term, value);
    if (read == 0.0)
      refuse(term, "a bandwidth above 0, or none for no limit");
    return read;
  }

  numbers read_pass(std::string_view term, std::string_view value) {
    named_.push_back(term.front());
    return read_list(term, value, &cost_reader::read_time);
  }

  numbers read_sizes(std::string_view term, std::string_view value) {
    has_sizes_ = true;
    return read_list(term, value, &cost_reader::read_size);
  }

  numbers read_list(std::string_view term, std::string_view value, number_reader read_one) {
    numbers read;
    do
      read.push_back((this->*read_one)(term, take_until('/', value)));
    while (!value.empty());
    if (term.ends_with('/'))
      refuse(term, "a number after each /");
    if (read.size() > 1 && list_size_ > 1 && read.size() != list_size_)
      refuse(term, fmt::format("one number or {}, as many as in the list before", list_size_));
    list_size_ = std::max(list_size_, read.size());
    return read;
  }

  double read_size(std::string_view term, std::string_view text) {
    double value = -1.0;
    const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc{} || stop != text.data() + text.size() || !std::isfinite(value) || value < 0.0)
      refuse(term, "a size of at least 0, as in out=1e6");
    return value;
  }

  double read_time(std::string_view term, std::string_view text) {
    double value = -1.0;
    const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    const std::string_view ending = text.substr(static_cast<std::size_t>(stop - text.data()));
    const auto* const unit = std::ranges::find(units, ending, [](const auto& one) { return one.first; });
    if (problem != std::errc{} || !std::isfinite(value) || value < 0.0 || (unit == units.end() && !ending.empty()))
      refuse(term, "a time of at least 0, as in f=1.5 or f=1.5ms (units: s, ms, us)");
    const time_unit found = ending.empty() ? time_unit::any : time_unit::seconds;
    if (unit_.value_or(found) != found)
      refuse(term, found == time_unit::any ? "a unit (s, ms or us) as the times before it have"
                                           : "no unit, as the times before it have none");
    unit_ = found;
    return ending.empty() ? value : value * unit->second;
  }

  /// What is left out would be a second.
  void expect_all_passes() const {
    for (const char name : {'f', 'i', 'w'})
      if (named_.find(name) == std::string::npos)
        throw spec_error(fmt::format("{}: found no {}=, expected f=, i= and w=, since times have units", flag_, name));
  }

  const std::string& flag_;
  std::optional<time_unit> unit_; ///< none before the first time
  std::string named_;             ///< the passes that have a term
  std::size_t list_size_ = 1;
  std::vector<std::string> seen_; ///< names so far
  bool has_sizes_ = false;
  numbers forward_ = {1.0};
  numbers input_ = {1.0};
  numbers weight_ = {1.0};
  numbers optimizer_ = {0.0};
  numbers weights_ = {0.0};
  numbers stash_ = {0.0};
  numbers output_ = {0.0};
  double communication_ = 0.0;
  double bandwidth_ = 0.0;
};

} // namespace

written_costs parse_costs(const std::string& text, const std::string& flag) {
  return cost_reader(flag).read(text);
}

void expect_stage_count(const simulation_costs& costs, std::uint32_t stages, const std::string& flag) {
  if (costs.stages.size() != 1 && costs.stages.size() != stages)
    throw spec_error(fmt::format("{}: found a list of {} times, expected one time or {}, one for each stage", flag,
                                 costs.stages.size(), stages));
}

} // namespace troupe
