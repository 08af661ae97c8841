// The program's front: which command runs, and how its errors look from outside.
#include "cli/certs_command.hpp"
#include "cli/console.hpp"
#include "cli/exit_code.hpp"
#include "cli/generate_command.hpp"
#include "cli/inspect_command.hpp"
#include "cli/schedule_command.hpp"
#include "cli/train_command.hpp"
#include "cli/worker_command.hpp"
#include "model/error.hpp"
#include "model/gemm.hpp"
#include "runtime/nearest.hpp"

#include <CLI/CLI.hpp>
#include <caf/config.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <malloc.h>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace troupe;

std::string version_line() {
  return fmt::format("troupe {} ({}, C++ Actor Framework {}.{}.{})", TROUPE_VERSION, gemm_library(), CAF_MAJOR_VERSION,
                     CAF_MINOR_VERSION, CAF_PATCH_VERSION);
}

constexpr const char* examples = R"(Examples:
  troupe train --data text.txt                         a small GPT on the bytes of a file, one stage
  troupe train --data text.txt --stages 4              the same bits from four pipeline stages
  troupe train --data text.txt --checkpoint run/       keep the weights, then
  troupe train --data text.txt --stages 4 --spawn 2    the same bits from two worker processes
  troupe generate --checkpoint run/ --prompt "Once "   hear what they have learnt
  troupe schedule 1f1b --stages 4 --microbatches 8     see a pipeline schedule before anything runs
  troupe inspect run/                                  what is in a checkpoint, with all hashes checked

Exit codes: 0 done, 2 wrong flag or run spec, 3 unusable data or checkpoint, or an output that cannot be
written, 4 run lost, 5 refused for security, 130 interrupted. `troupe COMMAND --help` explains each command.)";

/// Lists each command with the first line of its description; `troupe COMMAND --help` has the rest.
class brief_list : public CLI::Formatter {
public:
  std::string make_subcommand(const CLI::App* command) const override {
    const std::string text = command->get_description();
    return fmt::format("  {:<10} {}\n", command->get_name(), text.substr(0, text.find('\n')));
  }
};

int fail(const std::string& message, exit_code code) {
  complain(message);
  return code;
}

std::vector<std::string> flags_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames())
      names.push_back("--" + name);
  return names;
}

std::vector<std::string> command_names(const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

/// What the user most likely got wrong, in place of the library's own words where these do not help.
std::string explain(const CLI::App& program, const CLI::ParseError& problem) {
  const std::vector<const CLI::App*> chosen =
      program.get_subcommands([](const CLI::App* one) { return one->parsed(); });
  const CLI::App& command = chosen.empty() ? program : *chosen.front();
  const std::vector<std::string> unknown = command.remaining();
  const std::string help = chosen.empty() ? "troupe --help" : "troupe " + command.get_name() + " --help";
  if (!unknown.empty() && unknown.front().starts_with("-")) {
    const std::string flag = unknown.front().substr(0, unknown.front().find('='));
    return fmt::format("unknown flag '{}'{} ({} lists all)", flag, did_you_mean(flag, flags_of(command)), help);
  }
  if (chosen.empty()) {
    const std::vector<std::string> known = command_names(program);
    const std::string choices = fmt::format("expected one of {}", fmt::join(known, ", "));
    return unknown.empty() ? fmt::format("no command given, {}", choices)
                           : fmt::format("unknown command '{}', {}{}", unknown.front(), choices,
                                         did_you_mean(unknown.front(), known));
  }
  if (!unknown.empty())
    return fmt::format("unexpected argument '{}' ({} lists all)", unknown.front(), help);
  return fmt::format("{} ({} lists all)", problem.what(), help);
}

/// A step takes and frees the same memory as the one before it. By itself malloc gives some of it back in between, and
/// every page is then a fault again: with snapshots some 800 a step. A user who has set these by environment is obeyed.
void keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int from_the_heap = 32 << 20; // bytes; the most that glibc takes
  constexpr int kept_free = 256 << 20;    // bytes, at the end of a heap
  if (std::getenv("MALLOC_MMAP_THRESHOLD_") == nullptr && std::getenv("MALLOC_TRIM_THRESHOLD_") == nullptr) {
    ::mallopt(M_MMAP_THRESHOLD, from_the_heap);
    ::mallopt(M_TRIM_THRESHOLD, kept_free);
  }
#endif
}

int run(int argc, char** argv) {
  CLI::App program("Trains models in a pipeline of stages: the same seed gives the same weights, whatever the schedule "
                   "and the number of stages.");
  program.name("troupe");
  program.footer(examples);
  program.formatter(std::make_shared<brief_list>());
  program.set_version_flag("--version", version_line());
  program.require_subcommand(1);
  add_train_command(program);
  add_worker_command(program);
  add_generate_command(program);
  add_schedule_command(program);
  add_inspect_command(program);
  add_certs_command(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& asked) { // --help, --version
    return program.exit(asked);
  } catch (const CLI::RuntimeError& ended) { // a command that ends with a code of its own
    return ended.get_exit_code();
  } catch (const CLI::ParseError& problem) {
    return fail(explain(program, problem), exit_usage);
  }
  return exit_done;
}

} // namespace

int main(int argc, char** argv) {
  hold_standard_streams();
  keep_freed_memory();
  try {
    const int code = run(argc, argv);
    expect_text_taken();
    return code;
  } catch (const error& problem) {
    return fail(problem.what(), exit_code_of(problem.kind()));
  } catch (const std::system_error& problem) {
    if (std::ferror(stdout) != 0) // a library has printed there
      return fail("standard output: cannot write: " + problem.code().message(), exit_files);
    return fail(problem.what(), exit_failed);
  } catch (const std::bad_alloc&) {
    return fail("out of memory, expected room for the model, its gradients and the activations in flight", exit_failed);
  } catch (const std::exception& problem) {
    return fail(problem.what(), exit_failed);
  }
}
