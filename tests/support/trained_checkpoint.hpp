// A checkpoint as the program writes it, made once for all tests that damage copies of it.
#pragma once

#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace troupe::test {

/// Flags of a run that takes milliseconds, but for --data.
inline std::vector<std::string> small_run() {
  return {"train", "--layers", "1", "--width",        "8", "--heads",           "2", "--seq",
          "4",     "--steps",  "4", "--microbatches", "2", "--microbatch-size", "1", "--validation-fraction",
          "0"};
}

inline std::vector<std::string> operator+(std::vector<std::string> left, const std::vector<std::string>& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

/// Text to train on.
inline std::string some_text() {
  std::string text;
  for (int i = 0; i < 20; ++i)
    text += "All the world's a stage, and all the men and women merely players. ";
  return text;
}

/// The path of a file of it. Written once: a run that reads it must not see it cut.
inline std::string text_file(const scratch_directory& scratch) {
  const std::filesystem::path path = scratch / "text";
  if (!std::filesystem::exists(path))
    write_bytes(path, some_text());
  return path.string();
}

/// Copies a checkpoint of two generations, step-00000002 and step-00000004, to `directory`.
inline void copy_trained_checkpoint(const std::filesystem::path& directory) {
  static const scratch_directory made;
  static const bool trained = [] {
    const program_result result =
        run_program(small_run() + std::vector<std::string>{"--data", text_file(made), "--checkpoint",
                                                           (made / "run").string(), "--checkpoint-every", "2"});
    if (result.exit_code != 0)
      throw std::runtime_error("training failed: " + result.err);
    return true;
  }();
  (void)trained;
  std::filesystem::copy(made / "run", directory, std::filesystem::copy_options::recursive);
}

} // namespace troupe::test
