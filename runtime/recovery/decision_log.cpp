#include "runtime/recovery/decision_log.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/owned_path.hpp"
#include "runtime/recovery/decision_record.hpp"
#include "runtime/same_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <span>
#include <system_error>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr auto kind = error_kind::checkpoint;
constexpr const char* unfinished_begin = ".decisions.log.";
constexpr const char* unfinished_end = ".tmp";

/// Never used before: what its writer renames is its own, or gone.
std::string unused_name() {
  std::random_device chance;
  return fmt::format("{}{:08x}{:08x}{}", unfinished_begin, chance(), chance(), unfinished_end);
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// Where the first decision on a step at or after `step` is in the list.
std::size_t first_of(const std::vector<logged_decision>& decisions, std::uint64_t step) {
  const auto found = std::ranges::find_if(decisions, [&](const logged_decision& one) { return one.at.step >= step; });
  return static_cast<std::size_t>(found - decisions.begin());
}

} // namespace

decision_log::decision_log(const fs::path& directory, const run_spec& spec, const std::string& versions,
                           std::vector<std::string>& warnings, disk_faults* faults)
    : directory_(directory), path_(directory / decision_log_name), unfinished_(directory / unused_name()),
      faults_(faults), head_(decision_log_head(spec, versions)) {
  make_directory(directory, kind);
  if (std::error_code ignored; fs::symlink_status(path_, ignored).type() == fs::file_type::not_found) {
    replace(head_);
    remove_unfinished();
    return;
  }
  const decision_log_content found =
      parse_decision_log(regular_file(path_, kind).read_all(largest_decision_log), path_.string());
  expect_same_result(spec, found.spec, path_, "the log");
  expect_same_versions(versions, found.versions, path_, "the log");
  file_ = std::make_unique<appended_file>(path_, found.whole_bytes, kind, faults_);
  if (!found.decisions.empty())
    last_ = found.decisions.back().at;
  if (found.damage.empty())
    return;
  warnings.push_back(found.damage);
  file_->cut(found.whole_bytes);
  file_->sync();
}

/// What we have written ourselves must be whole to the end.
decision_log_content decision_log::content() const {
  decision_log_content found = parse_decision_log(file_->read_all(), path_.string());
  if (!found.damage.empty())
    throw checkpoint_error(found.damage);
  return found;
}

std::vector<logged_decision> decision_log::decisions() const {
  return content().decisions;
}

void decision_log::append(const logged_decision& one) {
  TROUPE_CHECK(!last_ || one.at > *last_, "decisions are logged in their order");
  const std::string record = decision_record(one);
  if (record.size() > largest_decision_log - file_->size())
    throw checkpoint_error(fmt::format("{}: found {} bytes, expected at most {}; checkpoints (checkpoint.every) let go "
                                       "of what is older",
                                       path_.string(), file_->size(), largest_decision_log));
  file_->append(bytes_of(record));
  last_ = one.at;
}

void decision_log::take_over() {
  replace(file_->read_all());
  remove_unfinished();
}

/// Of processes that died, or that are about to take the log over and were late: they find it replaced.
void decision_log::remove_unfinished() const {
  std::error_code ignored; // the next one tries again
  for (const fs::directory_entry& one : fs::directory_iterator(directory_, ignored))
    if (is_unfinished_log(one.path()))
      fs::remove(one.path(), ignored);
}

void decision_log::go_back_to(std::uint64_t steps_done) {
  const decision_log_content found = content();
  const std::size_t kept = first_of(found.decisions, steps_done);
  if (kept == found.decisions.size())
    return;
  file_->cut(found.starts[kept]);
  last_ = kept == 0 ? std::nullopt : std::optional(found.decisions[kept - 1].at);
  file_->sync();
}

void decision_log::drop_before(std::uint64_t steps_done) {
  const decision_log_content found = content();
  const std::size_t dropped = first_of(found.decisions, steps_done);
  std::string kept = head_;
  if (dropped < found.decisions.size())
    kept += file_->read_all().substr(found.starts[dropped]);
  replace(kept);
}

/// The file is whole under its name at any moment.
void decision_log::replace(const std::string& content) {
  make_directory(directory_, kind);
  while (!put_in_place(content)) {
  }
  sync_directory(directory_, kind, faults_);
}

/// The file is opened before it has the name, which another process may give its own in the next moment. False: one
/// that had the log before, and was late with remove_unfinished(), has taken it away, though the log is ours.
bool decision_log::put_in_place(const std::string& content) {
  bool made = false;
  try {
    output_file file(unfinished_, kind, faults_);
    made = true;
    file.write(bytes_of(content));
    file.sync_and_close();
    auto whole = std::make_unique<appended_file>(unfinished_, content.size(), kind, faults_);
    rename_path(unfinished_, path_, kind, faults_);
    whole->note_name(path_);
    file_ = std::move(whole);
    made_here_ = true;
  } catch (const checkpoint_error&) {
    std::error_code ignored;
    const bool taken_away = !fs::remove(unfinished_, ignored) && made;
    if (!taken_away || !fs::exists(path_, ignored))
      throw;
    if (!has_the_name())
      refuse_foreign_log(path_);
    return false;
  }
  return true;
}

/// Whether the log at the path is a file that we have made.
bool decision_log::has_the_name() const {
  if (!made_here_)
    return false;
  owned_path ours;
  ours.take(file_->descriptor(), path_, kind);
  return !ours.lost_to_another(path_);
}

bool is_unfinished_log(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(unfinished_begin) && name.ends_with(unfinished_end);
}

void refuse_foreign_log(const fs::path& path) {
  throw foreign_log_error(path.string() + ": found the log of another process, which has gone on with this run "
                                          "meanwhile, expected our own");
}

} // namespace troupe
