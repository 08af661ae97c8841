#include "runtime/recovery/run_log.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/generation.hpp"
#include "runtime/regular_file.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <system_error>
#include <utility>

namespace troupe {

namespace {

namespace fs = std::filesystem;

/// Nothing is left of what a run without a checkpoint has written.
const fs::path& begun(const fs::path& directory, log_start start, const owned_path& ours) {
  expect_own_log(directory / decision_log_name, ours);
  if (start == log_start::anew)
    remove_tree(directory / decision_log_name, error_kind::checkpoint);
  return directory;
}

/// With the way out where the log is damaged.
decision_log opened(const fs::path& directory, const run_spec& spec, const std::string& versions,
                    std::vector<std::string>& warnings, disk_faults* faults) {
  try {
    return {directory, spec, versions, warnings, faults};
  } catch (const damaged_log_error& damage) {
    throw checkpoint_error(
        fmt::format("{}; --resume {} --checkpoint OTHER_DIR goes on from the newest checkpoint without it",
                    damage.what(), directory.string()));
  }
}

logged_decision logged(const step_closed& in) {
  if (in.at.mode == pass_mode::evaluate)
    return {.at = in.at, .loss = in.loss};
  return {.at = in.at,
          .loss = in.loss,
          .gradient_norm = in.gradient_norm,
          .gradient_scale = in.gradient_scale,
          .learning_rate = in.learning_rate,
          .skipped = in.poison.has_value(),
          .snapshot = in.snapshot};
}

decision_log_content read_log(const fs::path& directory) {
  const fs::path path = directory / decision_log_name;
  return parse_decision_log(regular_file(path, error_kind::checkpoint).read_all(largest_decision_log), path.string());
}

/// One NaN is as good as another.
bool same_bits(double one, double other) {
  return (std::isnan(one) && std::isnan(other)) ||
         std::bit_cast<std::uint64_t>(one) == std::bit_cast<std::uint64_t>(other);
}

} // namespace

run_log::run_log(const run_spec& spec, const std::string& versions, log_start start, std::uint64_t first_step,
                 std::shared_ptr<owned_path> ours, std::vector<std::string>& warnings, disk_faults* faults)
    : directory_(spec.checkpoint.directory), ours_(std::move(ours)),
      log_(opened(begun(directory_, start, *ours_), spec, versions, warnings, faults)) {
  const std::string refused = attempt([&] { log_.take_over(); });
  take();
  expect_own_log(log_.path(), *ours_);
  if (!refused.empty())
    warnings.push_back(refused);
  for (const logged_decision& one : log_.decisions()) {
    newest_ = one.at;
    if (one.at.step >= first_step)
      known_.emplace(one.at, one);
  }
}

template <class Act>
std::string run_log::attempt(const Act& act) {
  try {
    act();
  } catch (const foreign_log_error&) { // is not the disk's refusal
    throw;
  } catch (const checkpoint_error& failure) {
    if (!std::exchange(told_, true))
      return fmt::format("decision log: {}; going on without", failure.what());
  }
  return {};
}

std::string run_log::note(const step_closed& in) {
  expect_own_log(log_.path(), *ours_);
  const logged_decision found = logged(in);
  if (const auto known = known_.extract(in.at)) {
    expect_same(found, known.mapped());
    return {};
  }
  if (newest_ && in.at <= *newest_) // the disk had refused it; steps are logged in their order
    return {};
  return attempt([&] { log_.append(found); });
}

/// Whether a snapshot was taken is no part of the result.
void run_log::expect_same(const logged_decision& found, const logged_decision& expected) const {
  const std::string place =
      fmt::format("{}: {} {}", log_.path().string(),
                  found.at.mode == pass_mode::train ? "step" : "the validation after step", found.at.step + 1);
  const auto expect = [&](const char* field, double here, double there) {
    if (!same_bits(here, there))
      throw checkpoint_error(
          fmt::format("{}: {}: found {:.17g} in this run, expected {:.17g} as in the log", place, field, here, there));
  };
  expect("loss", found.loss, expected.loss);
  expect("gradient_norm", found.gradient_norm, expected.gradient_norm);
  expect("gradient_scale", found.gradient_scale, expected.gradient_scale);
  expect("learning_rate", found.learning_rate, expected.learning_rate);
  if (found.skipped != expected.skipped)
    throw checkpoint_error(fmt::format("{}: skipped: found {} in this run, expected {} as in the log", place,
                                       found.skipped, expected.skipped));
}

/// After the log was written anew, and also when the disk has refused a part of that: the file may be in place by then.
void run_log::take() {
  ours_->take(log_.file(), log_.path(), error_kind::checkpoint);
}

std::string run_log::note_checkpoint() {
  expect_own_log(log_.path(), *ours_);
  const std::string refused = attempt([&] {
    const std::vector<std::uint64_t> steps = list_generations(directory_).steps;
    if (steps.empty() || steps.back() <= oldest_)
      return;
    log_.drop_before(steps.back());
    oldest_ = steps.back();
  });
  take();
  expect_own_log(log_.path(), *ours_);
  return refused;
}

void expect_own_log(const fs::path& log, const owned_path& ours) {
  if (ours.lost_to_another(log))
    refuse_foreign_log(log);
}

run_spec spec_in_log(const fs::path& directory) {
  try {
    return read_log(directory).spec;
  } catch (const damaged_log_error& damage) {
    throw checkpoint_error(
        fmt::format("{}; there is no checkpoint, either: without --resume the run begins anew", damage.what()));
  }
}

std::optional<std::uint64_t> steps_decided(const fs::path& directory) {
  try {
    const decision_log_content found = read_log(directory);
    return found.decisions.empty() ? 0 : found.decisions.back().at.step + 1;
  } catch (const checkpoint_error&) { // whoever opens it to go on says why
    return std::nullopt;
  }
}

log_start log_start_of(const run_spec& spec, const checkpoint* resumed, const fs::path& followed) {
  std::error_code ignored; // a directory that is not there is no other run's
  const auto is_ours = [&](const fs::path& one) { return fs::equivalent(one, spec.checkpoint.directory, ignored); };
  return is_ours(followed) || (resumed != nullptr && is_ours(resumed->path().parent_path())) ? log_start::go_on
                                                                                             : log_start::anew;
}

} // namespace troupe
