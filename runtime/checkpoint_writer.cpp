// Writing a checkpoint: everything goes to a hidden directory that takes the generation's name when it is whole.
#include "model/error.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/file_io.hpp"
#include "runtime/generation.hpp"
#include "runtime/manifest.hpp"
#include "runtime/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr auto kind = error_kind::checkpoint;

/// Creates the checkpoint directory with all above it.
void create_durably(const fs::path& directory) {
  std::error_code reason;
  const bool created = fs::create_directories(directory, reason);
  if (!reason && !fs::is_directory(directory))
    reason = std::make_error_code(std::errc::not_a_directory);
  if (reason)
    throw_system_error(kind, directory, "create a directory", reason.value());
  if (created)
    sync_directory(directory_of(directory), kind);
}

/// Removes all generations but the `keep` newest up to `step`, and what crashed writers of earlier steps left. Later
/// generations are another run's, or of this one before it went back; they are not ours to remove.
void remove_old(const fs::path& directory, std::uint64_t step, std::uint32_t keep) {
  const generation_list found = list_generations(directory);
  for (const std::uint64_t one : found.unfinished)
    if (one < step)
      remove_tree(directory / unfinished_name(one), kind);
  std::uint32_t kept = 0;
  for (const std::uint64_t one : found.steps) {
    if (one > step || ++kept <= keep)
      continue;
    // Renamed first: half a generation must never look like one.
    rename_path(directory / generation_name(one), directory / unfinished_name(one), kind);
    remove_tree(directory / unfinished_name(one), kind);
  }
}

/// Where the run that starts at `begin` ends: layers that follow each other.
using layer_iterator = std::vector<const layer_snapshot*>::const_iterator;
layer_iterator end_of_run(layer_iterator begin, layer_iterator end) {
  return std::adjacent_find(begin, end, [](auto a, auto b) { return b->layer != a->layer + 1; });
}

} // namespace

struct checkpoint_writer::state {
  fs::path directory;
  fs::path unfinished; ///< empty once committed
  std::uint32_t keep = 2;
  manifest content;
  std::set<std::int64_t> added;

  std::string where() const { return (directory / generation_name(content.step)).string(); }
  void write_run(layer_iterator begin, layer_iterator end);
  manifest_file write(const std::string& name, const std::vector<named_tensor>& tensors) const;
  void expect_complete(std::int64_t layer_count) const;
};

checkpoint_writer::checkpoint_writer(const fs::path& directory, const run_spec& spec, std::uint64_t step,
                                     std::vector<std::string> state_names, std::string versions)
    : state_(std::make_unique<state>()) {
  create_durably(directory);
  state_->directory = directory;
  state_->keep = std::max<std::uint32_t>(spec.checkpoint.keep, 2);
  state_->content = {
      .step = step, .state_names = std::move(state_names), .spec = spec, .versions = std::move(versions)};
  const fs::path unfinished = directory / unfinished_name(step);
  remove_tree(unfinished, kind);
  std::error_code reason;
  fs::create_directory(unfinished, reason);
  if (reason)
    throw_system_error(kind, unfinished, "create a directory", reason.value());
  state_->unfinished = unfinished;
}

checkpoint_writer::~checkpoint_writer() {
  std::error_code ignored; // nothing reads the leftovers, and the next writer removes them
  if (!state_->unfinished.empty())
    fs::remove_all(state_->unfinished, ignored);
}

manifest_file checkpoint_writer::state::write(const std::string& name, const std::vector<named_tensor>& tensors) const {
  const written_file written = write_safetensors(unfinished / name, tensors, {{"format", "pt"}});
  return {.name = name, .bytes = written.bytes, .sha256 = written.sha256};
}

void checkpoint_writer::state::write_run(layer_iterator begin, layer_iterator end) {
  std::vector<named_tensor> weights;
  std::vector<named_tensor> optimizer;
  manifest_layers run{.first = (*begin)->layer, .last = (*(end - 1))->layer};
  for (auto layer = begin; layer != end; ++layer) {
    if (!added.insert((*layer)->layer).second)
      throw checkpoint_error(fmt::format("{}: found layer {} twice, expected it once", where(), (*layer)->layer));
    for (const parameter_snapshot& one : (*layer)->parameters) {
      TROUPE_CHECK(one.state.size() == content.state_names.size(), "a snapshot has each state tensor");
      run.parameters.push_back(one.name);
      weights.push_back({one.name, one.value});
      for (std::size_t index = 0; index < one.state.size(); ++index)
        optimizer.push_back({one.name + "." + content.state_names[index], one.state[index]});
    }
  }
  run.weights = write(weights_file_name(run.first, run.last), weights);
  run.optimizer = write(optimizer_file_name(run.first, run.last), optimizer);
  content.layers.push_back(std::move(run));
}

void checkpoint_writer::add(const std::vector<layer_snapshot>& layers) {
  TROUPE_CHECK(!state_->unfinished.empty(), "nothing is added after commit");
  std::vector<const layer_snapshot*> sorted;
  for (const layer_snapshot& one : layers) {
    TROUPE_CHECK(one.layer >= 0, "layers count from 0");
    sorted.push_back(&one);
  }
  std::ranges::sort(sorted, {}, &layer_snapshot::layer);
  for (auto begin = sorted.cbegin(); begin != sorted.cend();) {
    const auto last = end_of_run(begin, sorted.cend());
    const auto end = last == sorted.cend() ? last : last + 1;
    state_->write_run(begin, end);
    begin = end;
  }
}

void checkpoint_writer::state::expect_complete(std::int64_t layer_count) const {
  for (std::int64_t layer = 0; layer < layer_count; ++layer)
    if (!added.contains(layer))
      throw checkpoint_error(
          fmt::format("{}: found no layer {}, expected layers 0 to {}", where(), layer, layer_count - 1));
  if (std::cmp_not_equal(added.size(), layer_count))
    throw checkpoint_error(fmt::format("{}: found layer {}, expected layers 0 to {}", where(),
                                       *added.lower_bound(layer_count), layer_count - 1));
}

fs::path checkpoint_writer::commit(std::int64_t layer_count) {
  TROUPE_CHECK(!state_->unfinished.empty(), "a writer commits once");
  state_->expect_complete(layer_count);
  std::ranges::sort(state_->content.layers, {}, &manifest_layers::first);
  const std::string text = to_text(state_->content);
  output_file file(state_->unfinished / manifest_name, kind);
  file.write(std::as_bytes(std::span(text)));
  file.sync_and_close();
  sync_directory(state_->unfinished, kind);
  // A generation of this step that is there already was written before the run was resumed, or was damaged.
  fs::path generation = state_->directory / generation_name(state_->content.step);
  exchange_paths(state_->unfinished, generation, kind);
  sync_directory(state_->directory, kind);
  remove_tree(std::exchange(state_->unfinished, {}), kind);
  remove_old(state_->directory, state_->content.step, state_->keep);
  return generation;
}

} // namespace troupe
