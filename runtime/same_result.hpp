// Whether two run specs give the same weights: what a checkpoint or a decision log is checked against before a run goes
// on from it.
#pragma once

#include "runtime/run_spec.hpp"

#include <filesystem>
#include <optional>
#include <string>

namespace troupe {

struct spec_difference {
  std::string field;
  std::string found;
  std::string expected;
};

/// The first field in which `spec` would give another result than `expected`; nothing when it gives the same. Model,
/// data, training, optimizer, pipeline.threads_per_stage, pipeline.wire and, when that is bf16, the cuts between stages
/// decide; data.path (the file may have moved; its content is not compared), training.steps (the learning rate depends
/// on optimizer.decay_steps alone), training.stop_after, and all other sections do not.
std::optional<spec_difference> first_difference(const run_spec& spec, const run_spec& expected);

/// Throws checkpoint_error when there is such a field. `place` is where `expected` was found, `what` it is "the log".
void expect_same_result(const run_spec& spec, const run_spec& expected, const std::filesystem::path& place,
                        const char* what);

/// The same of the rules of weight versions (versions_rule), which go by the schedule; empty: a synchronous one.
void expect_same_versions(const std::string& rule, const std::string& expected, const std::filesystem::path& place,
                          const char* what);

/// All fields that decide, with their values, a line each; the cuts are not among them.
std::string deciding_fields(const run_spec& spec);

} // namespace troupe
