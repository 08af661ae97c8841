// Training data: a file of tokens, memory-mapped, and the rule which tokens a microbatch sees.
#pragma once

#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>

namespace troupe {

/// One microbatch: inputs of B*T tokens, and the targets that follow them.
struct microbatch_data {
  token_block tokens;
  token_block targets;
};

/// A source of microbatches. What it returns is a function of its arguments and the run spec alone.
class data_source {
public:
  virtual ~data_source() = default;
  /// Throws data_error when a token is not below the vocabulary (naming file, position, found and expected).
  virtual microbatch_data sample(const step_id& at, std::uint32_t microbatch) const = 0;
};

/// Tokens from a file: bytes as they are, or little-endian uint16. For training, the B windows of T+1 tokens start at
/// places drawn from (seed, step, microbatch), all inside the training part; for validation they are spread evenly over
/// the held-out end of the file, the same each time. With `targets_per_sequence` 1 only the last token of a window is a
/// target. The file must not change while it is in use.
class file_data : public data_source {
public:
  /// Throws data_error when the file is missing, not a regular file, empty, odd-sized (uint16), or a part is shorter
  /// than T+1 tokens; the held-out part may be that short when the spec asks for no validation.
  file_data(const run_spec& spec, std::int64_t targets_per_sequence);
  file_data(const file_data&) = delete;
  file_data& operator=(const file_data&) = delete;
  ~file_data() override;
  microbatch_data sample(const step_id& at, std::uint32_t microbatch) const override;

  /// Tokens in the part that is trained on, and in the part held out.
  std::uint64_t training_tokens() const;
  std::uint64_t validation_tokens() const;
  /// SHA-256 of the whole file, in hexadecimal; reads all of it.
  std::string content_sha256() const;

private:
  struct mapping;
  std::unique_ptr<mapping> map_;
};

} // namespace troupe
