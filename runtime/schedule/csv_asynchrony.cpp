#include "runtime/schedule/csv_asynchrony.hpp"

#include "model/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

namespace troupe {

namespace {

constexpr std::string_view keyword = "#asynchronous";
constexpr std::size_t most_numbers = std::size_t{1} << 16;

[[noreturn]] void refuse(const std::string& name) {
  throw spec_error(
      fmt::format("{}: line 1: found a comment, expected '{} update_every=U lag=K/K/.. ahead=N/N/..' with a "
                  "lag for each stage and an ahead for each rank, or none",
                  name, keyword));
}

/// Removes `text` from the front of `rest`, or refuses.
void expect(std::string_view& rest, std::string_view text, const std::string& name) {
  if (!rest.starts_with(text))
    refuse(name);
  rest.remove_prefix(text.size());
}

/// Numbers between slashes.
std::vector<std::uint32_t> take_numbers(std::string_view& rest, const std::string& name) {
  std::vector<std::uint32_t> numbers;
  do {
    std::uint32_t value = 0;
    const auto [stop, status] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (status != std::errc() || numbers.size() == most_numbers)
      refuse(name);
    numbers.push_back(value);
    rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
    if (!rest.starts_with('/'))
      return numbers;
    rest.remove_prefix(1);
  } while (true);
}

} // namespace

std::string to_csv_line(const asynchrony& rule) {
  return fmt::format("{} update_every={} lag={} ahead={}\n", keyword, rule.update_every, fmt::join(rule.lag, "/"),
                     fmt::join(rule.ahead, "/"));
}

std::optional<asynchrony> parse_csv_line(std::string_view line, const std::string& name) {
  if (!line.starts_with('#'))
    return std::nullopt;
  asynchrony rule;
  line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
  expect(line, keyword, name);
  expect(line, " update_every=", name);
  const std::vector<std::uint32_t> every = take_numbers(line, name);
  expect(line, " lag=", name);
  rule.lag = take_numbers(line, name);
  expect(line, " ahead=", name);
  rule.ahead = take_numbers(line, name);
  if (every.size() != 1 || !line.empty())
    refuse(name);
  rule.update_every = every.front();
  return rule;
}

} // namespace troupe
