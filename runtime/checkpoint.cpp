#include "runtime/checkpoint.hpp"

#include "model/error.hpp"
#include "runtime/digest.hpp"
#include "runtime/file_io.hpp"
#include "runtime/generation.hpp"
#include "runtime/manifest.hpp"
#include "runtime/regular_file.hpp"
#include "runtime/safetensors.hpp"
#include "runtime/same_result.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t largest_manifest = std::uint64_t{64} << 20;
constexpr std::size_t hash_chunk = std::size_t{1} << 20;

std::string sha256_of(const fs::path& path, const regular_file& file) {
  sha256_stream digest;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), hash_chunk)));
  for (std::uint64_t offset = 0; offset < file.size(); offset += hash_chunk) {
    const std::uint64_t length = std::min<std::uint64_t>(file.size() - offset, hash_chunk);
    const std::span<std::byte> chunk(buffer.data(), static_cast<std::size_t>(length));
    read_at(file, path, offset, chunk, error_kind::checkpoint);
    digest.add(chunk);
  }
  return to_hex(digest.finish());
}

/// Throws unless the file has the size and hash that the manifest names.
void expect_undamaged(const fs::path& path, const manifest_file& expected) {
  const regular_file file(path, error_kind::checkpoint);
  if (file.size() != expected.bytes)
    throw checkpoint_error(fmt::format("{}: found {} bytes, expected {}", path.string(), file.size(), expected.bytes));
  if (const std::string found = sha256_of(path, file); found != expected.sha256)
    throw checkpoint_error(fmt::format("{}: found SHA-256 {}, expected {}", path.string(), found, expected.sha256));
}

/// Throws unless the file holds exactly the tensors that it should, whatever their order.
void expect_tensors(const fs::path& path, std::set<std::string> expected) {
  const safetensors_file file(path);
  for (const auto& one : file.entries())
    if (expected.erase(one.name) == 0)
      throw checkpoint_error(fmt::format("{}: found tensor {}, expected only those that the manifest implies",
                                         path.string(), printable(one.name)));
  if (!expected.empty())
    throw checkpoint_error(fmt::format("{}: found no tensor {}, expected it as in the manifest", path.string(),
                                       printable(*expected.begin())));
}

/// The manifest of a generation, all of whose files have been verified against it.
manifest read_verified(const fs::path& generation) {
  const fs::path path = generation / manifest_name;
  manifest content =
      parse_manifest(regular_file(path, error_kind::checkpoint).read_all(largest_manifest), path.string());
  const auto named = parse_generation_name(generation.filename().string());
  if (named && *named != content.step)
    throw checkpoint_error(
        fmt::format("{}: step: found {}, expected {} as in the directory's name", path.string(), content.step, *named));
  for (const manifest_layers& one : content.layers) {
    expect_undamaged(generation / one.weights.name, one.weights);
    expect_undamaged(generation / one.optimizer.name, one.optimizer);
    expect_tensors(generation / one.weights.name, {one.parameters.begin(), one.parameters.end()});
    std::set<std::string> states;
    for (const std::string& parameter : one.parameters)
      for (const std::string& state : content.state_names)
        states.insert(fmt::format("{}.{}", parameter, state));
    expect_tensors(generation / one.optimizer.name, std::move(states));
  }
  return content;
}

/// The generations that may be used, newest first: those below `directory`, or itself when it is one.
std::vector<fs::path> candidates(const fs::path& directory) {
  std::error_code ignored;
  // A path such as "checkpoints/step-00000012/" ends in an empty name.
  const fs::path plain = directory.has_filename() ? directory : directory.parent_path();
  if (parse_generation_name(plain.filename().string()) || fs::exists(plain / manifest_name, ignored))
    return {plain};
  const std::string expected = "expected a directory with at least one step-NNNNNNNN generation, found ";
  if (!fs::is_directory(directory, ignored))
    throw checkpoint_error(directory.string() + ": " + expected +
                           (fs::exists(directory, ignored) ? "a file" : "nothing there"));
  std::vector<fs::path> found;
  for (const std::uint64_t step : list_generations(directory).steps)
    found.push_back(directory / generation_name(step));
  if (found.empty())
    throw checkpoint_error(directory.string() + ": " + expected + "none");
  return found;
}

} // namespace

checkpoint checkpoint::open_latest(const fs::path& directory, std::vector<std::string>& warnings) {
  std::vector<std::string> damages;
  for (const fs::path& generation : candidates(directory)) {
    try {
      manifest content = read_verified(generation);
      checkpoint result;
      result.path_ = generation;
      result.steps_done_ = content.step;
      result.spec_ = std::move(content.spec);
      if (result.spec_.training.gradient_groups == 0)
        result.spec_.training.gradient_groups = 1; // written when nothing else was possible
      result.state_names_ = std::move(content.state_names);
      result.versions_ = std::move(content.versions);
      for (const manifest_layers& one : content.layers) {
        result.files_.insert(result.files_.end(), {one.weights.name, one.optimizer.name});
        const auto weights = std::make_shared<const safetensors_file>(generation / one.weights.name);
        const auto state = std::make_shared<const safetensors_file>(generation / one.optimizer.name);
        for (const std::string& parameter : one.parameters)
          result.where_[parameter] = {.weights = weights, .state = state};
      }
      for (const std::string& damage : damages)
        warnings.push_back(damage + "; passed over for " + generation.filename().string());
      return result;
    } catch (const checkpoint_error& damage) {
      damages.emplace_back(damage.what());
    }
  }
  throw checkpoint_error(fmt::format("{}: expected an undamaged generation, found {} damaged: {}", directory.string(),
                                     damages.size(), fmt::join(damages, "; ")));
}

void checkpoint::read(const std::string& parameter, tensor& value, std::span<tensor> state) const {
  TROUPE_CHECK(state.empty() || state.size() == state_names_.size(), "the caller wants all state tensors or none");
  const auto found = where_.find(parameter);
  if (found == where_.end())
    throw checkpoint_error(fmt::format("{}: found no parameter {}, expected it with shape {}", path_.string(),
                                       printable(parameter), to_string(value.extents())));
  found->second.weights->read(parameter, value);
  for (std::size_t index = 0; index < state.size(); ++index)
    found->second.state->read(parameter + "." + state_names_[index], state[index]);
}

void checkpoint::expect_same_run(const run_spec& spec) const {
  expect_same_result(spec, spec_, path_, "the checkpoint");
}

} // namespace troupe
