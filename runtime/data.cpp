#include "runtime/data.hpp"

#include "model/error.hpp"
#include "model/random.hpp"
#include "runtime/digest.hpp"
#include "runtime/regular_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <span>
#include <sys/mman.h>
#include <system_error>

namespace troupe {

namespace {

/// floor(numerator / 2^64 * count): maps a 64-bit word to [0, count). Some values get one word in 2^64 / count more
/// than others; with files below 2^50 tokens that bias is below 2^-14 of a value's share.
std::uint64_t scale_word(std::uint64_t word, std::uint64_t count) {
  __extension__ using wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<wide>(word) * count) >> 64U);
}

/// floor(index / total * count), without overflow.
std::uint64_t spread(std::uint64_t index, std::uint64_t total, std::uint64_t count) {
  __extension__ using wide = unsigned __int128;
  return static_cast<std::uint64_t>(static_cast<wide>(index) * count / total);
}

} // namespace

struct file_data::mapping {
  mapping(const run_spec& of_run, std::int64_t targets);
  ~mapping() { ::munmap(const_cast<std::uint8_t*>(bytes), size); } // NOLINT(*-const-cast): munmap takes no const
  mapping(const mapping&) = delete;
  mapping& operator=(const mapping&) = delete;

  std::uint64_t start_of(const step_id& at, std::uint32_t microbatch, std::uint32_t sequence) const;
  std::int32_t token(std::uint64_t index) const;
  void expect_lengths() const;
  void expect_content() const;
  std::string hash() const { return to_hex(sha256(std::as_bytes(std::span(bytes, size)))); }

  run_spec spec;
  std::uint64_t window_tokens;  ///< T + 1
  std::uint64_t window_targets; ///< the last so many tokens of a window are targets
  std::size_t token_bytes;
  const std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  std::uint64_t training = 0; ///< tokens
  std::uint64_t held_out = 0; ///< tokens, right after the training part
};

file_data::mapping::mapping(const run_spec& of_run, std::int64_t targets)
    : spec(of_run), window_tokens(static_cast<std::uint64_t>(of_run.model.sequence_length) + 1),
      window_targets(static_cast<std::uint64_t>(targets)),
      token_bytes(of_run.data.tokens == token_format::uint16 ? 2 : 1) {
  TROUPE_CHECK(targets >= 1 && window_targets < window_tokens, "targets per sequence: " + std::to_string(targets));
  const std::string& path = spec.data.path;
  const regular_file file(path, error_kind::data);
  if (file.size() == 0)
    throw data_error(fmt::format("{}: found an empty file, expected tokens", path));
  if (file.size() % token_bytes != 0)
    throw data_error(
        fmt::format("{}: found {} bytes, expected an even number, since data.tokens is uint16", path, file.size()));
  const std::uint64_t tokens = file.size() / token_bytes;
  held_out = static_cast<std::uint64_t>(static_cast<double>(tokens) * spec.data.validation_fraction);
  training = tokens - held_out;
  expect_lengths();
  void* start = ::mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (start == MAP_FAILED)
    throw data_error(
        fmt::format("{}: mapping {} bytes failed: {}", path, file.size(), std::generic_category().message(errno)));
  bytes = static_cast<const std::uint8_t*>(start);
  size = file.size();
  expect_content();
  ::madvise(start, size, MADV_RANDOM); // windows lie anywhere; reading ahead would be wasted. Only advice: may fail.
}

void file_data::mapping::expect_lengths() const {
  const auto expect = [&](const char* part, std::uint64_t found) {
    if (found < window_tokens)
      throw data_error(fmt::format("{}: found {} tokens {}, expected at least {} (model.sequence_length + 1)",
                                   spec.data.path, found, part, window_tokens));
  };
  expect("for training", training);
  if (spec.validation.every > 0)
    expect("held out for validation", held_out);
}

/// A run goes on with the data it began with, or not at all.
void file_data::mapping::expect_content() const {
  if (const std::string& expected = spec.data.sha256; !expected.empty() && hash() != expected)
    throw data_error(fmt::format("{}: found SHA-256 {}, expected {} (data.sha256)", spec.data.path, hash(), expected));
}

std::uint64_t file_data::mapping::start_of(const step_id& at, std::uint32_t microbatch, std::uint32_t sequence) const {
  const std::uint64_t span = window_tokens - 1;
  if (at.mode == pass_mode::train) {
    const random_stream places{
        .seed = spec.training.seed, .purpose = random_purpose::data, .x = at.step, .y = microbatch};
    return scale_word(places.word64(sequence), training - span);
  }
  TROUPE_CHECK(held_out > span && microbatch < spec.validation.microbatches, "validation data that the spec has not");
  const std::uint64_t per_microbatch = spec.training.microbatch_size;
  const std::uint64_t windows = per_microbatch * spec.validation.microbatches;
  return training + spread(microbatch * per_microbatch + sequence, windows, held_out - span);
}

std::int32_t file_data::mapping::token(std::uint64_t index) const {
  const std::uint8_t* at = bytes + index * token_bytes;
  const std::int32_t found = token_bytes == 1 ? at[0] : at[0] | (at[1] << 8);
  if (found >= spec.model.vocabulary)
    throw data_error(fmt::format("{}: token {} is {}, expected less than model.vocabulary ({})", spec.data.path, index,
                                 found, spec.model.vocabulary));
  return found;
}

file_data::file_data(const run_spec& spec, std::int64_t targets_per_sequence)
    : map_(std::make_unique<mapping>(spec, targets_per_sequence)) {}

file_data::~file_data() = default;

microbatch_data file_data::sample(const step_id& at, std::uint32_t microbatch) const {
  const std::uint32_t sequences = map_->spec.training.microbatch_size;
  const std::uint64_t inputs = map_->window_tokens - 1;
  const std::uint64_t first_target = map_->window_tokens - map_->window_targets;
  auto tokens = std::make_shared<std::vector<std::int32_t>>();
  auto targets = std::make_shared<std::vector<std::int32_t>>();
  tokens->reserve(sequences * inputs);
  targets->reserve(sequences * map_->window_targets);
  for (std::uint32_t sequence = 0; sequence < sequences; ++sequence) {
    const std::uint64_t start = map_->start_of(at, microbatch, sequence);
    for (std::uint64_t i = 0; i < inputs; ++i)
      tokens->push_back(map_->token(start + i));
    for (std::uint64_t i = first_target; i < map_->window_tokens; ++i)
      targets->push_back(map_->token(start + i));
  }
  return {std::move(tokens), std::move(targets)};
}

std::uint64_t file_data::training_tokens() const {
  return map_->training;
}

std::uint64_t file_data::validation_tokens() const {
  return map_->held_out;
}

std::string file_data::content_sha256() const {
  return map_->hash();
}

} // namespace troupe
