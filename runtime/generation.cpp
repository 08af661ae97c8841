#include "runtime/generation.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>

namespace troupe {

namespace {

constexpr std::string_view prefix = "step-";
constexpr std::string_view hidden = ".";
constexpr std::string_view unfinished_suffix = ".tmp";

std::optional<std::uint64_t> parse_unfinished_name(std::string_view name) {
  if (!name.starts_with(hidden) || !name.ends_with(unfinished_suffix))
    return std::nullopt;
  name.remove_prefix(hidden.size());
  name.remove_suffix(std::min(name.size(), unfinished_suffix.size()));
  return parse_generation_name(name);
}

} // namespace

std::string generation_name(std::uint64_t step) {
  return fmt::format("{}{:08}", prefix, step);
}

std::string unfinished_name(std::uint64_t step) {
  return fmt::format("{}{}{}", hidden, generation_name(step), unfinished_suffix);
}

std::optional<std::uint64_t> parse_generation_name(std::string_view name) {
  if (!name.starts_with(prefix))
    return std::nullopt;
  std::uint64_t step = 0;
  std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
  // Only the one spelling that the writer uses: no sign, no other width, nothing behind.
  return generation_name(step) == name ? std::optional(step) : std::nullopt;
}

generation_list list_generations(const std::filesystem::path& directory) {
  generation_list found;
  std::error_code reason;
  for (std::filesystem::directory_iterator at(directory, reason), end; !reason && at != end; at.increment(reason)) {
    const std::string name = at->path().filename().string();
    if (const auto step = parse_generation_name(name))
      found.steps.push_back(*step);
    else if (const auto unfinished = parse_unfinished_name(name))
      found.unfinished.push_back(*unfinished);
  }
  if (reason)
    throw_system_error(error_kind::checkpoint, directory, "list", reason.value());
  std::ranges::sort(found.steps, std::ranges::greater{});
  std::ranges::sort(found.unfinished);
  return found;
}

} // namespace troupe
