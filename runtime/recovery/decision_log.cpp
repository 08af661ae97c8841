#include "runtime/recovery/decision_log.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/recovery/decision_record.hpp"
#include "runtime/same_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <system_error>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr auto kind = error_kind::checkpoint;
constexpr const char* unfinished_name = ".decisions.log.tmp";

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
    : directory_(directory), path_(directory / decision_log_name), faults_(faults),
      head_(decision_log_head(spec, versions)) {
  make_directory(directory, kind);
  remove_tree(directory / unfinished_name, kind); // of a process that died
  if (std::error_code ignored; fs::symlink_status(path_, ignored).type() == fs::file_type::not_found) {
    replace(head_);
    return;
  }
  const decision_log_content found =
      parse_decision_log(regular_file(path_, kind).read_all(largest_decision_log), path_.string());
  expect_same_result(spec, found.spec, path_, "the log");
  expect_same_versions(versions, found.versions, path_, "the log");
  file_.emplace(path_, found.whole_bytes, kind, faults_);
  if (!found.decisions.empty())
    last_ = found.decisions.back().at;
  if (!found.damage.empty())
    warnings.push_back(found.damage);
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
  const fs::path unfinished = directory_ / unfinished_name;
  try {
    output_file file(unfinished, kind, faults_);
    file.write(bytes_of(content));
    file.sync_and_close();
    rename_path(unfinished, path_, kind, faults_);
  } catch (const checkpoint_error&) {
    std::error_code ignored; // the next one that is opened removes it
    fs::remove(unfinished, ignored);
    throw;
  }
  file_.emplace(path_, content.size(), kind, faults_);
  sync_directory(directory_, kind, faults_);
}

} // namespace troupe
