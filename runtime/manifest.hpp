// The manifest of a checkpoint: which step of which run, and which files with which content. Its text form is protobuf
// text format (checkpoint.proto), closed by a hash of itself.
#pragma once

#include "runtime/run_spec.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

struct manifest_file {
  std::string name;
  std::uint64_t bytes = 0;
  std::string sha256; ///< hex

  friend bool operator==(const manifest_file&, const manifest_file&) = default;
};

/// The files of layers first..last, both included, and the parameters in them.
struct manifest_layers {
  std::int64_t first = 0;
  std::int64_t last = 0;
  manifest_file weights = {};
  manifest_file optimizer = {};
  std::vector<std::string> parameters = {};

  friend bool operator==(const manifest_layers&, const manifest_layers&) = default;
};

struct manifest {
  std::uint64_t step = 0;
  std::vector<std::string> state_names;
  std::vector<manifest_layers> layers = {}; ///< ascending, from layer 0, without a gap
  run_spec spec;
  std::string versions = {}; ///< see versions_rule

  friend bool operator==(const manifest&, const manifest&) = default;
};

/// "layers-0000-0003.safetensors"
std::string weights_file_name(std::int64_t first, std::int64_t last);
/// "layers-0000-0003.optimizer.safetensors"
std::string optimizer_file_name(std::int64_t first, std::int64_t last);

/// Throws checkpoint_error, one line that starts with `name`, unless first..last is a run of layers and each file has
/// the name that the run gives (so that none can lead out of the directory), a size and a SHA-256.
void expect_own_files(const manifest_layers& one, const std::string& name);

std::string to_text(const manifest& content);

/// Throws checkpoint_error, one line that starts with `name`, unless the text is whole and in order: its hash is right,
/// every field is there, layers follow each other, parameters come once, and file names are the ones of their layers
/// (so that none can lead out of the directory).
manifest parse_manifest(const std::string& text, const std::string& name);

} // namespace troupe
