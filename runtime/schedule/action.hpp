// One action of a pipeline schedule, and its text form "<stage><op><microbatch>" ("2F0", "1I3", "1W3", "0B5"), as
// PyTorch writes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// F: forward. I: backward for the input. W: backward for the weights. B: full backward, I then W.
enum class operation : std::uint8_t { forward, backward_input, backward_weight, backward };

char letter(operation op);

struct action {
  std::uint32_t stage = 0;
  operation op = operation::forward;
  std::uint32_t microbatch = 0;

  friend auto operator<=>(const action&, const action&) = default;
};

std::string to_string(const action& one);
/// Empty when `text` is not an action.
std::optional<action> parse_action(std::string_view text);

} // namespace troupe
