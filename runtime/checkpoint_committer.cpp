// Everything goes to a hidden directory that takes the generation's name when it is whole.
#include "runtime/checkpoint_committer.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/generation.hpp"
#include "runtime/regular_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr auto kind = error_kind::checkpoint;

/// Removes all generations but the `keep` newest up to `step`, and what crashed writers of earlier steps left. Later
/// generations are another run's, or of this one before it went back; they are not ours to remove.
void remove_old(const fs::path& directory, std::uint64_t step, std::uint32_t keep, disk_faults* faults) {
  const generation_list found = list_generations(directory);
  for (const std::uint64_t one : found.unfinished)
    if (one < step)
      remove_tree(directory / unfinished_name(one), kind);
  std::uint32_t kept = 0;
  for (const std::uint64_t one : found.steps) {
    if (one > step || ++kept <= keep)
      continue;
    // Renamed first: half a generation must never look like one.
    rename_path(directory / generation_name(one), directory / unfinished_name(one), kind, faults);
    remove_tree(directory / unfinished_name(one), kind);
  }
}

} // namespace

checkpoint_committer::checkpoint_committer(const fs::path& directory, const run_spec& spec, std::uint64_t step,
                                           std::vector<std::string> state_names, std::string versions,
                                           disk_faults* faults)
    : directory_(directory), keep_(std::max<std::uint32_t>(spec.checkpoint.keep, 2)),
      faults_(faults), content_{.step = step,
                                .state_names = std::move(state_names),
                                .spec = spec,
                                .versions = std::move(versions)} {
  make_directory(directory, kind);
  const fs::path unfinished = directory / unfinished_name(step);
  remove_tree(unfinished, kind);
  create_directory(unfinished, kind, faults_);
  ours_.take(unfinished, kind);
  unfinished_ = unfinished;
}

checkpoint_committer::~checkpoint_committer() {
  std::error_code ignored; // nothing reads the leftovers, and the next writer removes them
  if (!unfinished_.empty() && !ours_.lost_to_another(unfinished_))
    fs::remove_all(unfinished_, ignored);
}

std::string checkpoint_committer::where() const {
  return (directory_ / generation_name(content_.step)).string();
}

void checkpoint_committer::add(const std::vector<manifest_layers>& part) {
  TROUPE_CHECK(!unfinished_.empty(), "nothing is added after commit");
  for (const manifest_layers& one : part) {
    expect_own_files(one, where());
    expect_file(one.weights);
    expect_file(one.optimizer);
    expect_new(one);
    content_.layers.push_back(one);
  }
}

/// Throws when a layer of it or a parameter has been taken down before.
void checkpoint_committer::expect_new(const manifest_layers& one) {
  for (const manifest_layers& other : content_.layers)
    if (const std::int64_t layer = std::max(one.first, other.first); layer <= std::min(one.last, other.last))
      throw checkpoint_error(fmt::format("{}: found layer {} twice, expected it once", where(), layer));
  for (const std::string& name : one.parameters)
    if (!parameters_.insert(name).second)
      throw checkpoint_error(fmt::format("{}: parameters: found {} twice, expected it once", where(), printable(name)));
}

/// The content is left to the reader, which compares the hash.
void checkpoint_committer::expect_file(const manifest_file& one) const {
  const regular_file file(unfinished_ / one.name, kind);
  if (file.size() != one.bytes)
    throw checkpoint_error(fmt::format("{}: found {} bytes, expected {} as its writer says",
                                       (unfinished_ / one.name).string(), file.size(), one.bytes));
}

void checkpoint_committer::expect_complete(std::int64_t layer_count) const {
  const auto refuse = [&](const char* what, std::int64_t layer) {
    throw checkpoint_error(
        fmt::format("{}: found {} {}, expected layers 0 to {}", where(), what, layer, layer_count - 1));
  };
  std::int64_t next = 0;
  for (const manifest_layers& one : content_.layers) {
    if (one.first > next && next < layer_count)
      refuse("no layer", next);
    if (one.last >= layer_count)
      refuse("layer", std::max(one.first, layer_count));
    next = one.last + 1;
  }
  if (next < layer_count)
    refuse("no layer", next);
}

fs::path checkpoint_committer::commit(std::int64_t layer_count) {
  TROUPE_CHECK(!unfinished_.empty(), "a generation is committed once");
  std::ranges::sort(content_.layers, {}, &manifest_layers::first);
  expect_complete(layer_count);
  if (ours_.lost_to_another(unfinished_))
    throw checkpoint_error(unfinished_.string() +
                           ": found a checkpoint that another process has begun, expected our own");
  const std::string text = to_text(content_);
  output_file file(unfinished_ / manifest_name, kind, faults_);
  file.write(std::as_bytes(std::span(text)));
  file.sync_and_close();
  sync_directory(unfinished_, kind, faults_);
  // A generation of this step that is there already was written before the run was resumed, or was damaged.
  fs::path generation = directory_ / generation_name(content_.step);
  exchange_paths(unfinished_, generation, kind, faults_);
  sync_directory(directory_, kind, faults_);
  try {
    remove_tree(std::exchange(unfinished_, {}), kind);
    remove_old(directory_, content_.step, keep_, faults_);
  } catch (const checkpoint_error& failure) { // the new one is there all the same
    warning_ = failure.what();
  }
  return generation;
}

void prepare_checkpoints(const run_spec& spec) {
  if (!spec.checkpoint.directory.empty())
    make_directory(spec.checkpoint.directory, kind);
}

} // namespace troupe
