#include "runtime/run_spec_ranges.hpp"

#include "model/error.hpp"
#include "model/gemm.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

namespace troupe {

namespace {

struct field_range {
  std::string_view field;
  whole_range range;
};

constexpr std::uint64_t most_of_one_step = 65536; ///< microbatches, sequences
constexpr std::uint64_t most_width = 65536;

constexpr auto table = std::to_array<field_range>({
    {"model.layers", {1, 4096}},
    {"model.width", {1, most_width}},
    {"model.heads", {1, most_width}},
    {"model.vocabulary", {2, 1 << 20}},
    {"model.sequence_length", {1, 1 << 20}},
    {"model.embedding_width", {1, most_width}},

    {"training.steps", {1, most_steps}},
    {"training.microbatches", {1, most_of_one_step}},
    {"training.microbatch_size", {1, most_of_one_step}},
    {"training.seed", {0, std::numeric_limits<std::uint64_t>::max()}},
    {"training.stop_after", {0, most_steps}},
    {"training.gradient_groups", {0, most_of_one_step}},

    {"optimizer.warmup_steps", {0, most_steps}},
    {"optimizer.decay_steps", {0, most_steps}},

    {"pipeline.stages", {1, most_ranks}},
    {"pipeline.chunks", {0, 4096}},
    {"pipeline.group_size", {0, most_of_one_step}},
    {"pipeline.waves", {1, 2048}},
    {"pipeline.memory_limit", {0, most_of_one_step}},

    {"validation.every", {0, most_steps}},
    {"validation.microbatches", {1, most_of_one_step}},

    {"checkpoint.every", {0, most_steps}},
    {"checkpoint.keep", {2, 65536}},

    {"faults.snapshot_every", {0, most_steps}},
    {"faults.max_restarts", {0, 65536}},
});

} // namespace

whole_range range_of(const std::string& field) {
  if (field == "pipeline.threads_per_stage")
    return {1, static_cast<std::uint64_t>(max_gemm_threads())};
  const auto* const found = std::ranges::find(table, field, &field_range::field);
  TROUPE_CHECK(found != table.end(), "a whole number of run_spec.proto without a range: " + field);
  return found->range;
}

} // namespace troupe
