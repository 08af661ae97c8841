// A small run over workers, as the real program does it: its words, its report, and the memory of a process meanwhile.
#pragma once

#include "runtime/generation.hpp"
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/trained_checkpoint.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace troupe::test {

/// `troupe train` with small_run's flags and `flags`, which win. The report goes to `scratch`.
inline std::vector<std::string> words_of_shown_run(const scratch_directory& scratch,
                                                   const std::vector<std::string>& flags) {
  return small_run() + std::vector<std::string>{"--data", text_file(scratch), "--report", scratch.path("report.json")} +
         flags;
}

/// The same without progress.
inline std::vector<std::string> words_of_run(const scratch_directory& scratch, const std::vector<std::string>& flags) {
  return words_of_shown_run(scratch, std::vector<std::string>{"--quiet"} + flags);
}

inline nlohmann::json last_report(const scratch_directory& scratch) {
  return nlohmann::json::parse(read_bytes(scratch / "report.json"));
}

/// The report of a run that must succeed.
inline nlohmann::json report_of_run(const scratch_directory& scratch, const std::vector<std::string>& flags) {
  const program_result result = run_program(words_of_run(scratch, flags));
  if (result.exit_code != 0)
    throw std::runtime_error("training failed: " + result.err);
  return last_report(scratch);
}

/// Steps done in the newest generation in `directory`; 0: there is none.
inline std::uint64_t newest_in(const std::filesystem::path& directory) {
  const std::vector<std::uint64_t> steps =
      std::filesystem::is_directory(directory) ? list_generations(directory).steps : std::vector<std::uint64_t>{};
  return steps.empty() ? 0 : steps.front();
}

/// Blocks until there is a generation of a later step, and returns its step (a test that waits for ever is stopped by
/// CTest).
inline std::uint64_t wait_for_later(const running_program& program, const std::filesystem::path& directory,
                                    std::uint64_t step) {
  while (newest_in(directory) <= step) {
    if (program.has_ended())
      throw std::runtime_error("the run has ended before its checkpoint after step " + std::to_string(step));
    std::this_thread::yield();
  }
  return newest_in(directory);
}

/// A line of /proc/PID/status, such as VmHWM (the most that was ever resident), in bytes.
inline std::uint64_t memory_of(pid_t process, const std::string& line) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string word; status >> word;)
    if (std::uint64_t kibibytes = 0; word == line + ":" && status >> kibibytes)
      return kibibytes << 10;
  throw std::runtime_error("process " + std::to_string(process) + " has no " + line);
}

/// Files and sockets that the process holds open.
inline std::size_t open_files_of(pid_t process) {
  const std::filesystem::directory_iterator files("/proc/" + std::to_string(process) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

/// Sanitizers keep memory that the program has given back, so bounds on it mean nothing there.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool memory_is_measurable = false;
#else
inline constexpr bool memory_is_measurable = true;
#endif

} // namespace troupe::test
