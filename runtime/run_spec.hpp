// RunSpec: everything that defines a run, as plain data. Its text form is protobuf text format (run_spec.proto).
#pragma once

#include "model/model_spec.hpp"
#include "model/optimizer.hpp"
#include "model/stage_model.hpp"
#include "runtime/action_queue.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

enum class token_format { bytes, uint16 };

/// What activations and gradients are rounded to where they cross from one stage to the next, be it to another machine
/// or within a rank.
enum class wire_precision { fp32, bf16 };

struct data_spec {
  std::string path;
  token_format tokens = token_format::bytes;
  double validation_fraction = 0.1; ///< the last part of the file, never trained on

  /// SHA-256 of the file in hexadecimal; empty: not checked. A run that writes checkpoints notes it there.
  std::string sha256;

  friend bool operator==(const data_spec&, const data_spec&) = default;
};

struct training_spec {
  std::uint64_t steps = 100;
  std::uint32_t microbatches = 8;    ///< m, in a step
  std::uint32_t microbatch_size = 4; ///< B, sequences in a microbatch
  std::uint64_t seed = 1;
  std::uint64_t stop_after = 0; ///< end after this step, as if the rest were to be resumed later; 0: run all steps
  /// Contiguous groups of microbatches: a step's gradient is the sum of the groups' sums. 0: what the schedule needs,
  /// which is 1, or 2 with two copies of the model.
  std::uint32_t gradient_groups = 0;

  friend bool operator==(const training_spec&, const training_spec&) = default;
};

struct pipeline_spec {
  std::uint32_t stages = 1;      ///< ranks, p
  std::uint32_t chunks = 0;      ///< stages per rank, v; 0: what the schedule needs
  std::string schedule = "1f1b"; ///< a generator's name, "reference", or a file that ends in .csv
  recompute recomputation = recompute::none;
  std::uint32_t threads_per_stage = 1; ///< threads of a rank's matrix products; part of the arithmetic
  std::string partition;               ///< layers of each stage, "2,3,1"; empty: balanced by cost
  std::uint32_t group_size = 0;        ///< of the interleaved schedules, see schedule_request; 0: about `stages`
  std::uint32_t waves = 1;             ///< of hanayo
  dispatch_mode dispatch = dispatch_mode::fixed;
  std::string emulate; ///< times that passes take instead of computing, see parse_emulation; empty: they compute
  /// Microbatches that a rank may hold at once. Of auto: see search_request; 0: `stages`. Of reactive ranks: room
  /// beyond the list's own peaks, at least those; 0: those.
  std::uint32_t memory_limit = 0;
  wire_precision wire = wire_precision::fp32; ///< with bf16 the cuts between stages are part of the arithmetic

  bool emulated() const { return !emulate.empty(); }

  friend bool operator==(const pipeline_spec&, const pipeline_spec&) = default;
};

struct validation_spec {
  std::uint64_t every = 0; ///< steps between validations; 0: none
  std::uint32_t microbatches = 4;

  friend bool operator==(const validation_spec&, const validation_spec&) = default;
};

struct checkpoint_spec {
  std::string directory;   ///< empty: no checkpoints
  std::uint64_t every = 0; ///< steps between checkpoints; 0: only at the end
  std::uint32_t keep = 2;  ///< generations, at least 2

  friend bool operator==(const checkpoint_spec&, const checkpoint_spec&) = default;
};

/// What a step does whose loss or gradient norm is not a finite number: end the run, or leave the weights as they are.
enum class nan_rule { stop, skip };

/// What is done against the death of ranks; none of it changes the result but on_nan.
struct faults_spec {
  std::uint64_t snapshot_every = 1; ///< steps between snapshots that dead ranks restart from; 0: none do
  std::uint32_t max_restarts = 5;   ///< of a rank within the window, before the run gives up
  double restart_window_seconds = 60.0;
  nan_rule on_nan = nan_rule::stop;
  std::string snapshot_directory; ///< where snapshots are kept; empty: in memory
  std::string chaos;              ///< faults that the run makes itself, see parse_chaos; empty: none

  friend bool operator==(const faults_spec&, const faults_spec&) = default;
};

struct run_spec {
  model_spec model;
  data_spec data;
  training_spec training;
  optimizer_spec optimizer;
  pipeline_spec pipeline;
  validation_spec validation;
  checkpoint_spec checkpoint;
  faults_spec faults;

  friend bool operator==(const run_spec&, const run_spec&) = default;
};

/// Parses protobuf text format over `base`: fields that the text does not name keep base's value, so an empty text is
/// base itself. `name` is the file's name in error messages. Throws spec_error with "name:line:column: ..."; an unknown
/// field is answered with the nearest known one, a word that is none of a field's choices by the field and its choices.
run_spec parse_run_spec(const std::string& text, const std::string& name, const run_spec& base = {});

/// Reads and parses a spec file. Throws spec_error when it is missing, not a regular file, or larger than 1 MiB.
run_spec read_run_spec(const std::string& path, const run_spec& base = {});

/// Sets one field from text, `field` as in "optimizer.learning_rate". Throws spec_error naming field, found and
/// expected.
void set_field(run_spec& spec, const std::string& field, const std::string& value);

/// The value of one field as text, as set_field reads it.
std::string get_field(const run_spec& spec, const std::string& field);

/// All fields, such as "model.layers", in the order of the .proto file.
std::vector<std::string> field_names();

/// The whole spec in text format, every field written; parse_run_spec gives it back bit for bit.
std::string to_text(const run_spec& spec);

/// Throws spec_error on the first field that makes no sense: zero or absurd sizes, products that overflow, numbers that
/// are not finite, more stages than layers, unknown names. The message names field, found and expected. Looks at no
/// file.
void validate(const run_spec& spec);
/// The same for a family that is not built in; spec.model.family is not looked up.
void validate(const run_spec& spec, const model_family& family);

/// Trainable numbers of the model, a tied head counted once. Allocates none of them.
std::int64_t parameter_count(const model_spec& spec, const model_family& family);

} // namespace troupe
