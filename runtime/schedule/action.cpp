#include "runtime/schedule/action.hpp"

#include <charconv>

namespace troupe {

namespace {

std::optional<operation> parse_letter(char text) {
  switch (text) {
  case 'F':
    return operation::forward;
  case 'I':
    return operation::backward_input;
  case 'W':
    return operation::backward_weight;
  case 'B':
    return operation::backward;
  default:
    return std::nullopt;
  }
}

/// Empty unless all of `text` is a decimal number that fits. from_chars takes no sign and no space for unsigned types.
std::optional<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (status != std::errc() || stop != end)
    return std::nullopt;
  return value;
}

} // namespace

char letter(operation op) {
  switch (op) {
  case operation::forward:
    return 'F';
  case operation::backward_input:
    return 'I';
  case operation::backward_weight:
    return 'W';
  case operation::backward:
    break;
  }
  return 'B';
}

std::string to_string(const action& one) {
  return std::to_string(one.stage) + letter(one.op) + std::to_string(one.microbatch);
}

std::optional<action> parse_action(std::string_view text) {
  const std::size_t split = text.find_first_not_of("0123456789");
  if (split == std::string_view::npos)
    return std::nullopt;
  const auto stage = parse_number(text.substr(0, split));
  const auto op = parse_letter(text[split]);
  const auto microbatch = parse_number(text.substr(split + 1));
  if (!stage || !op || !microbatch)
    return std::nullopt;
  return action{*stage, *op, *microbatch};
}

} // namespace troupe
