#include "cli/inspect_command.hpp"

#include "cli/console.hpp"
#include "model/error.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/plan.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/safetensors.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/simulate.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr const char* inspect_examples = R"(Examples:
  troupe inspect run/                                   the newest checkpoint; every hash is checked
  troupe inspect run/step-00000100                      this one
  troupe inspect run/step-00000100/layers-0000-0002.safetensors
  troupe inspect run.textproto                          the run spec with all defaults filled in
  troupe inspect schedule.csv                           whether a schedule can run, and what it would cost)";

void inspect_checkpoint(const fs::path& path) {
  std::vector<std::string> warnings;
  const checkpoint found = checkpoint::open_latest(path, warnings);
  for (const std::string& warning : warnings)
    warn(warning);
  const run_spec& spec = found.spec();
  fmt::print("generation  {}\n", found.path().string());
  fmt::print("step        {} of {}\n", found.steps_done(), spec.training.steps);
  fmt::print("parameters  {}\n", parameter_count(spec.model, find_family(spec.model.family)));
  fmt::print("state       {}\n", fmt::join(found.state_names(), ", "));
  fmt::print("files       sizes and SHA-256 are as in the manifest\n");
  for (const std::string& file : found.files())
    fmt::print("  {:>12}  {}\n", fs::file_size(found.path() / file), file);
  fmt::print("run spec\n{}", to_text(spec));
}

void inspect_tensors(const fs::path& path) {
  const safetensors_file file(path);
  std::int64_t elements = 0;
  for (const safetensors_file::entry& one : file.entries()) {
    elements += one.extents.size();
    fmt::print("{}  {}\n", one.name, to_string(one.extents));
  }
  for (const auto& [key, value] : file.metadata())
    fmt::print("{} = {}\n", key, value);
  fmt::print("{} tensors, {} numbers\n", file.entries().size(), elements);
}

void inspect_spec(const fs::path& path) {
  const run_spec spec = read_run_spec(path.string());
  validate(spec);
  fmt::print("{}", to_text(spec));
}

void inspect_schedule(const fs::path& path) {
  csv_notes notes;
  const schedule plan = read_csv(path.string(), &notes);
  put_notice(describe(notes, path.string()));
  const schedule_facts facts = check_schedule(plan);
  const simulation timing = simulate(plan, {.stages = {stage_cost{}}});
  fmt::print("ranks         {}\n", plan.ranks);
  fmt::print("stages        {}, on ranks {}\n", plan.stages(), fmt::join(plan.placements.front(), " "));
  if (plan.copies() > 1)
    fmt::print("second copy   on ranks {}\n", fmt::join(plan.placements.back(), " "));
  fmt::print("microbatches  {}\n", plan.microbatches);
  fmt::print("peak stash    {} microbatches by rank\n", fmt::join(facts.peak_by_rank, " "));
  fmt::print("bubble        {:.1f} % when F, I and W take equally long\n", 100.0 * timing.bubble_fraction);
  fmt::print("canonical     {}\n", facts.canonical ? "yes: gradients add up as in the reference"
                                                   : "no: gradients add up in another order than in the reference");
}

void inspect(const fs::path& path) {
  std::error_code ignored; // a path that cannot be looked at is reported by whoever opens it
  const std::string extension = path.extension().string();
  if (path.filename() == "manifest.textproto")
    inspect_checkpoint(fs::absolute(path).parent_path());
  else if (fs::is_directory(path, ignored))
    inspect_checkpoint(path);
  else if (extension == ".safetensors")
    inspect_tensors(path);
  else if (extension == ".textproto")
    inspect_spec(path);
  else if (extension == ".csv")
    inspect_schedule(path);
  else
    throw spec_error(fmt::format("{}: found {}, expected a checkpoint directory or a .safetensors, .textproto or .csv "
                                 "file",
                                 path.string(), fs::exists(path, ignored) ? "another kind of file" : "nothing there"));
}

} // namespace

void add_inspect_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("inspect", "Shows and checks a checkpoint, a run spec or a schedule.");
  command->footer(inspect_examples);
  const auto path = std::make_shared<std::string>();
  command->add_option("path", *path, "a directory or a file")->type_name("PATH")->required();
  command->callback([path] { inspect(*path); });
}

} // namespace troupe
