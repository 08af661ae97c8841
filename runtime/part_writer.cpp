#include "runtime/part_writer.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/generation.hpp"
#include "runtime/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace troupe {

namespace {

namespace fs = std::filesystem;

manifest_file write_file(const fs::path& directory, const std::string& name, const std::vector<named_tensor>& tensors,
                         disk_faults* faults) {
  const written_file written = write_safetensors(directory / name, tensors, {{"format", "pt"}}, faults);
  return {.name = name, .bytes = written.bytes, .sha256 = written.sha256};
}

} // namespace

void expect_shared_directory(const fs::path& directory, const char* expected) {
  if (std::error_code ignored; !fs::is_directory(directory, ignored))
    throw checkpoint_error(
        fmt::format("{}: found no such directory, expected {} (--checkpoint-via coordinator needs none)",
                    directory.string(), expected));
}

part_writer::part_writer(const fs::path& directory, std::uint64_t step, std::vector<std::string> state_names,
                         disk_faults* faults)
    : unfinished_(directory / unfinished_name(step)), state_names_(std::move(state_names)), faults_(faults) {}

std::vector<manifest_layers> part_writer::write(const std::vector<layer_snapshot>& layers) const {
  expect_shared_directory(unfinished_);
  layer_run sorted;
  for (const layer_snapshot& one : layers) {
    TROUPE_CHECK(one.layer >= 0, "layers count from 0");
    sorted.push_back(&one);
  }
  std::ranges::sort(sorted, {}, &layer_snapshot::layer);
  std::vector<manifest_layers> written;
  for (auto begin = sorted.cbegin(); begin != sorted.cend();) {
    const auto last =
        std::adjacent_find(begin, sorted.cend(), [](const auto* a, const auto* b) { return b->layer != a->layer + 1; });
    const auto end = last == sorted.cend() ? last : last + 1;
    written.push_back(write_run({begin, end}));
    begin = end;
  }
  sync_directory(unfinished_, error_kind::checkpoint, faults_);
  return written;
}

manifest_layers part_writer::write_run(const layer_run& run) const {
  std::vector<named_tensor> weights;
  std::vector<named_tensor> optimizer;
  manifest_layers described{.first = run.front()->layer, .last = run.back()->layer};
  for (const layer_snapshot* layer : run)
    for (const parameter_snapshot& one : layer->parameters) {
      TROUPE_CHECK(one.state.size() == state_names_.size(), "a snapshot has each state tensor");
      described.parameters.push_back(one.name);
      weights.push_back({one.name, one.value});
      for (std::size_t index = 0; index < one.state.size(); ++index)
        optimizer.push_back({one.name + "." + state_names_[index], one.state[index]});
    }
  described.weights = write_file(unfinished_, weights_file_name(described.first, described.last), weights, faults_);
  described.optimizer =
      write_file(unfinished_, optimizer_file_name(described.first, described.last), optimizer, faults_);
  return described;
}

} // namespace troupe
