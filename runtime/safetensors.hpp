// The safetensors file format: a length, a JSON header, raw little-endian tensors. docs/checkpoint.md describes what we
// write.
#pragma once

#include "model/tensor.hpp"
#include "runtime/disk_faults.hpp"
#include "runtime/regular_file.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

struct named_tensor {
  std::string name;
  tensor values;
};

/// Writes the tensors as F32 in the given order, syncs the file, and returns its size and SHA-256 (hex). Throws
/// checkpoint_error naming the path and the system's reason. `faults` may be null.
struct written_file {
  std::uint64_t bytes = 0;
  std::string sha256;
};
written_file write_safetensors(const std::filesystem::path& path, const std::vector<named_tensor>& tensors,
                               const std::map<std::string, std::string>& metadata, disk_faults* faults = nullptr);

/// An opened file; every length, offset, shape product and name in its header has been checked before use.
/// The file stays open, and readable when it has lost its name.
class safetensors_file {
public:
  /// Throws checkpoint_error naming the path, what was found and what was expected.
  explicit safetensors_file(const std::filesystem::path& path);

  struct entry {
    std::string name;
    shape extents;
    std::uint64_t offset = 0; ///< from the start of the file
    std::uint64_t bytes = 0;
  };
  const std::vector<entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Reads one tensor into `out`. Throws checkpoint_error when it is missing or its shape is not out's.
  void read(const std::string& name, tensor& out) const;

private:
  std::filesystem::path path_;
  std::shared_ptr<const regular_file> file_;
  std::vector<entry> entries_;
  std::map<std::string, std::string> metadata_;
};

} // namespace troupe
