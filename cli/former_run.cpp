#include "cli/former_run.hpp"

#include "cli/console.hpp"
#include "runtime/generation.hpp"
#include "runtime/recovery/run_log.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/same_result.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

namespace troupe {

namespace {

namespace fs = std::filesystem;

bool has_only_log(const fs::path& directory) {
  std::error_code ignored; // what cannot be looked at is refused where it is opened
  return fs::is_regular_file(directory / decision_log_name, ignored) && list_generations(directory).steps.empty();
}

} // namespace

std::optional<former_run> open_former(const std::string& directory) {
  if (directory.empty())
    return std::nullopt;
  if (has_only_log(directory))
    return former_run{std::nullopt, spec_in_log(directory)};
  std::vector<std::string> warnings;
  checkpoint found = checkpoint::open_latest(directory, warnings);
  for (const std::string& warning : warnings)
    warn(warning);
  run_spec spec = found.spec();
  return former_run{std::move(found), std::move(spec)};
}

void expect_same_run(const former_run& former, const run_spec& spec, const std::string& directory) {
  if (former.saved)
    former.saved->expect_same_run(spec);
  else
    expect_same_result(spec, former.spec, fs::path(directory) / decision_log_name, "the log");
}

void tell_if_over(const former_run& former, const run_spec& spec) {
  if (!former.saved || former.steps_done() < final_step(spec))
    return;
  const bool stopped = final_step(spec) < spec.training.steps;
  put_notice(fmt::format("nothing is left to do: {} is after step {}, and training.{} is {}\n",
                         former.saved->path().string(), former.steps_done(), stopped ? "stop_after" : "steps",
                         stopped ? spec.training.stop_after : spec.training.steps));
}

} // namespace troupe
