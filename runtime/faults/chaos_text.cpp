// The language of --chaos, read and written: VERB:KEY=VALUE,KEY=VALUE+VERB:...
#include "model/error.hpp"
#include "runtime/faults/chaos.hpp"
#include "runtime/nearest.hpp"
#include "runtime/run_spec_ranges.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

namespace troupe {

namespace {

constexpr std::uint64_t most_faults = 1000; ///< in a text, and of one order
constexpr double most_seconds = 3600.0;

/// Keys are separated by blanks.
struct verb_rule {
  chaos_verb verb;
  std::string_view name;
  std::string_view keys;
  std::string_view needed;
};

constexpr std::array<verb_rule, 9> verbs = {{
    {chaos_verb::kill, "kill", "rank step action at count seed", ""},
    {chaos_verb::kill_process, "kill-process", "rank step action at count seed", ""},
    {chaos_verb::kill_scheduler, "kill-scheduler", "step count seed", ""},
    {chaos_verb::freeze, "freeze", "rank step action at for count seed", "for"},
    {chaos_verb::drop, "drop", "share seed", "share"},
    {chaos_verb::duplicate, "duplicate", "share seed", "share"},
    {chaos_verb::delay, "delay", "share for seed", "share for"},
    {chaos_verb::reorder, "reorder", "share seed", "share"},
    {chaos_verb::disk, "disk", "write error", "write"},
}};

/// In the order of chaos_moment.
constexpr std::array<std::string_view, 4> moments = {"before-receive", "after-compute", "after-send",
                                                     "during-snapshot"};

constexpr std::array<std::pair<std::string_view, int>, 4> errors = {
    {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}}};

constexpr std::array<std::pair<std::string_view, double>, 3> units{{{"ms", 1e-3}, {"us", 1e-6}, {"s", 1.0}}};

template <class Names>
std::vector<std::string> names_of(const Names& table) {
  std::vector<std::string> names;
  for (const auto& one : table) {
    if constexpr (requires { one.name; })
      names.emplace_back(one.name);
    else if constexpr (requires { one.first; })
      names.emplace_back(one.first);
    else
      names.emplace_back(one);
  }
  return names;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\n");
  return first == std::string_view::npos ? std::string_view()
                                         : text.substr(first, text.find_last_not_of(" \t\n") + 1 - first);
}

/// Takes the text up to `separator`, and the separator, off the front of `rest`.
std::string_view take_until(char separator, std::string_view& rest) {
  const std::string_view taken = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), taken.size() + 1));
  return trimmed(taken);
}

/// The same where something has to follow a separator.
std::string_view take_term(char separator, std::string_view& rest) {
  const bool more = rest.find(separator) != std::string_view::npos;
  const std::string_view taken = take_until(separator, rest);
  if (more && trimmed(rest).empty())
    throw spec_error(
        fmt::format("faults.chaos: found nothing after '{}{}', expected more to follow", taken, separator));
  return taken;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty())
    words.emplace_back(take_until(' ', text));
  return words;
}

std::string one_of(std::string_view found, const std::vector<std::string>& known) {
  return fmt::format("one of {}{}", fmt::join(known, ", "), did_you_mean(found, known));
}

/// One term KEY=VALUE of an order.
class term_reader {
public:
  term_reader(std::string_view verb, std::string_view term) : verb_(verb), term_(term) {
    std::string_view rest = term;
    key_ = take_until('=', rest);
    value_ = trimmed(rest);
  }

  std::string_view key() const { return key_; }

  [[noreturn]] void refuse(const std::string& expected) const {
    throw spec_error(fmt::format("faults.chaos: {}: found '{}', expected {}", verb_, term_, expected));
  }

  template <class Number>
  Number whole(Number least, Number most) const {
    Number value{};
    if (!reads_as(value) || value < least || value > most)
      refuse(fmt::format("{}= and a whole number from {} to {}", key_, least, most));
    return value;
  }

  template <class Number>
  std::optional<Number> whole_or_any(Number least, Number most) const {
    if (value_ == "any")
      return std::nullopt;
    Number value{};
    if (!reads_as(value) || value < least || value > most)
      refuse(fmt::format("{}= and a whole number from {} to {}, or any", key_, least, most));
    return value;
  }

  std::optional<chaos_moment> moment_or_any() const {
    std::vector<std::string> known = names_of(moments);
    known.emplace_back("any");
    const auto place = static_cast<std::size_t>(std::ranges::find(known, value_) - known.begin());
    if (place == known.size())
      refuse(one_of(value_, known));
    return place < moments.size() ? std::optional(static_cast<chaos_moment>(place)) : std::nullopt;
  }

  double share() const {
    double value = 0.0;
    if (!reads_as(value) || !(value > 0.0 && value <= 1.0))
      refuse("the part of all messages, above 0 and at most 1, as in share=0.01");
    return value;
  }

  double seconds() const {
    double value = 0.0;
    const auto [stop, problem] = std::from_chars(value_.data(), value_.data() + value_.size(), value);
    const std::string_view ending = value_.substr(static_cast<std::size_t>(stop - value_.data()));
    const auto* const unit = std::ranges::find(units, ending, [](const auto& one) { return one.first; });
    if (problem != std::errc{} || unit == units.end() || !(value > 0.0 && value * unit->second <= most_seconds))
      refuse(
          fmt::format("a time above 0 and at most {:g} s, as in for=2s or for=5ms (units: s, ms, us)", most_seconds));
    return value * unit->second;
  }

  int error() const {
    const auto* const found = std::ranges::find(errors, value_, [](const auto& one) { return one.first; });
    if (found == errors.end())
      refuse(one_of(value_, names_of(errors)));
    return found->second;
  }

private:
  template <class Number>
  bool reads_as(Number& value) const {
    const auto [stop, problem] = std::from_chars(value_.data(), value_.data() + value_.size(), value);
    return problem == std::errc{} && stop == value_.data() + value_.size();
  }

  std::string_view verb_;
  std::string_view term_;
  std::string_view key_;
  std::string_view value_;
};

void read_term(const term_reader& term, chaos_order& into) {
  const std::string_view key = term.key();
  if (key == "rank")
    into.rank = term.whole_or_any<std::uint32_t>(0, most_ranks - 1);
  else if (key == "step") {
    into.step = term.whole_or_any<std::uint64_t>(1, most_steps);
    into.step = into.step ? std::optional(*into.step - 1) : std::nullopt;
  } else if (key == "action")
    into.action = term.whole_or_any<std::uint32_t>(0, std::numeric_limits<std::uint32_t>::max());
  else if (key == "at")
    into.moment = term.moment_or_any();
  else if (key == "count")
    into.count = term.whole<std::uint32_t>(1, most_faults);
  else if (key == "seed")
    into.seed = term.whole<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max());
  else if (key == "for")
    into.seconds = term.seconds();
  else if (key == "share")
    into.share = term.share();
  else if (key == "write")
    into.write = term.whole<std::uint64_t>(1, most_steps);
  else
    into.error = term.error();
}

/// Too few keys, or two that say different things of one moment.
void expect_whole(const chaos_order& order, const verb_rule& rule, const std::vector<std::string>& seen) {
  for (const std::string& key : words_of(rule.needed))
    if (std::ranges::find(seen, key) == seen.end())
      throw spec_error(fmt::format("faults.chaos: found '{}', expected {}= in it", order.text, key));
  if (seen.empty())
    throw spec_error(fmt::format("faults.chaos: found '{0}', expected {0}:KEY=VALUE, with at least one of {1}",
                                 order.text, fmt::join(words_of(rule.keys), ", ")));
  if (order.verb == chaos_verb::drop && order.share >= 1.0)
    throw spec_error(fmt::format("faults.chaos: found '{}', expected a share below 1, since a run in which nothing "
                                 "arrives never ends",
                                 order.text));
  if (order.action && order.moment == chaos_moment::during_snapshot)
    throw spec_error(
        fmt::format("faults.chaos: found '{}', expected no action=, since no action runs during-snapshot", order.text));
}

chaos_order read_order(std::string_view text) {
  std::string_view rest = text;
  const std::string_view name = take_term(':', rest);
  const auto* const rule = std::ranges::find(verbs, name, &verb_rule::name);
  if (rule == verbs.end())
    throw spec_error(fmt::format("faults.chaos: found '{}', expected {}", name, one_of(name, names_of(verbs))));
  const std::vector<std::string> keys = words_of(rule->keys);
  chaos_order order;
  order.verb = rule->verb;
  order.text = text;
  order.error = order.verb == chaos_verb::disk ? ENOSPC : 0;
  std::vector<std::string> seen;
  while (!rest.empty()) {
    const term_reader term(name, take_term(',', rest));
    if (std::ranges::find(keys, term.key()) == keys.end())
      term.refuse(one_of(term.key(), keys));
    if (std::ranges::find(seen, term.key()) != seen.end())
      term.refuse(fmt::format("{}= once", term.key()));
    seen.emplace_back(term.key());
    read_term(term, order);
  }
  expect_whole(order, *rule, seen);
  return order;
}

std::string point_text(const chaos_event& event) {
  const std::string where = fmt::format("rank={},step={}", event.rank, event.step + 1);
  const std::string_view moment = moments[static_cast<std::size_t>(event.moment)];
  return event.moment == chaos_moment::during_snapshot ? fmt::format("{},at={}", where, moment)
                                                       : fmt::format("{},action={},at={}", where, event.action, moment);
}

} // namespace

std::vector<chaos_order> parse_chaos(const std::string& text) {
  std::vector<chaos_order> orders;
  std::uint64_t faults = 0;
  if (trimmed(text).empty())
    return orders;
  for (std::string_view rest = text; !rest.empty();) {
    orders.push_back(read_order(take_term('+', rest)));
    faults += orders.back().count;
    if (faults > most_faults)
      throw spec_error(fmt::format("faults.chaos: found more than {0} faults, expected at most {0}", most_faults));
  }
  return orders;
}

std::string to_text(const chaos_event& event) {
  const std::string_view name = std::ranges::find(verbs, event.verb, &verb_rule::verb)->name;
  switch (event.verb) {
  case chaos_verb::kill:
  case chaos_verb::kill_process:
    return fmt::format("{}:{}", name, point_text(event));
  case chaos_verb::kill_scheduler:
    return fmt::format("{}:step={}", name, event.step + 1);
  case chaos_verb::freeze:
    return fmt::format("{}:{},for={}s", name, point_text(event), event.seconds);
  case chaos_verb::drop:
  case chaos_verb::duplicate:
  case chaos_verb::reorder:
    return fmt::format("{}:share={},seed={}", name, event.share, event.seed);
  case chaos_verb::delay:
    return fmt::format("{}:share={},for={}s,seed={}", name, event.share, event.seconds, event.seed);
  case chaos_verb::disk:
    break;
  }
  const auto* const error = std::ranges::find(errors, event.error, [](const auto& one) { return one.second; });
  return fmt::format("{}:write={},error={}", name, event.write, error->first);
}

std::string to_text(const std::vector<chaos_event>& events) {
  std::vector<std::string> all;
  std::ranges::transform(events, std::back_inserter(all), [](const chaos_event& one) { return to_text(one); });
  return fmt::format("{}", fmt::join(all, "+"));
}

} // namespace troupe
