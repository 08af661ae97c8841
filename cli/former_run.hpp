// The run that `troupe train --resume` goes on with.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/run_spec.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace troupe {

/// What a run goes on from: its newest checkpoint, or, when it was cut off before its first one, its decision log.
struct former_run {
  std::optional<checkpoint> saved;
  run_spec spec;

  const checkpoint* start() const { return saved ? &*saved : nullptr; }
  std::uint64_t steps_done() const { return saved ? saved->steps_done() : 0; }
};

/// What is in the directory, with a warning for each damaged generation; nothing for an empty name. Throws
/// checkpoint_error.
std::optional<former_run> open_former(const std::string& directory);

/// Throws checkpoint_error unless `spec` has the result of the former run, which was found in the directory.
void expect_same_run(const former_run& former, const run_spec& spec, const std::string& directory);

/// A run may have had its end already: then there are the summary and the hashes, and a word on why no more.
void tell_if_over(const former_run& former, const run_spec& spec);

} // namespace troupe
