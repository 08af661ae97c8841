// Generations of a checkpoint directory: their names, and which are there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// The manifest's name within a generation.
inline constexpr std::string_view manifest_name = "manifest.textproto";

/// "step-00000012"; longer when the step is.
std::string generation_name(std::uint64_t step);
/// The step of a generation's name; empty for any other name.
std::optional<std::uint64_t> parse_generation_name(std::string_view name);

/// ".step-00000012.tmp": what a writer fills, or a remover has not emptied yet. Never read.
std::string unfinished_name(std::uint64_t step);

/// What is below a checkpoint directory.
struct generation_list {
  std::vector<std::uint64_t> steps;      ///< of the generations, newest first
  std::vector<std::uint64_t> unfinished; ///< steps of what a writer that is gone has left
};

/// Lists `directory`. Throws checkpoint_error when it cannot be read.
generation_list list_generations(const std::filesystem::path& directory);

} // namespace troupe
