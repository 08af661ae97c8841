// A run over real worker processes whose coordinator is killed in the middle, and what it is compared with.
#pragma once

#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/small_distributed_run.hpp"
#include "tests/support/trained_checkpoint.hpp"
#include "tests/support/worker_program.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

namespace troupe::test {

/// A run of `flags`, and what its coordinators leave behind.
class mortal_coordinator {
public:
  using arguments = std::vector<std::string>;
  static constexpr int steps = 2000;
  static constexpr int between_checkpoints = 400;

  explicit mortal_coordinator(arguments flags = {})
      : flags_(arguments{"--layers", "2", "--steps", std::to_string(steps), "--stages", "4"} + flags) {
    const arguments reference{"--schedule", "reference", "--snapshot-dir", ""}; // the last flag wins
    const program_result result = run_program(words_of_run(scratch_, flags_ + reference));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    expected_ = last_report(scratch_);
  }

  arguments begin(const std::string& addresses) const {
    return words_of_shown_run(scratch_, flags_ + arguments{"--workers", addresses, "--checkpoint", saved().string(),
                                                           "--checkpoint-every", std::to_string(between_checkpoints)});
  }
  arguments resume(const std::string& addresses) const {
    return {"train", "--resume", saved().string(), "--workers", addresses, "--report", scratch_.path("report.json")};
  }

  /// Kills the coordinator once that step was shown, and waits until the workers have let go of it.
  static void kill_after(running_program& train, int step, std::initializer_list<worker_program*> all) {
    REQUIRE(train.wait_for_error_output("step " + std::to_string(step) + "/"));
    train.send(SIGKILL);
    CHECK(train.finish().exit_code == 128 + SIGKILL);
    for (worker_program* one : all)
      REQUIRE(one->wait_until_free());
  }

  /// Runs to the end, with the reference's bits and losses.
  nlohmann::json finish(const arguments& words, std::string& said) const {
    running_program train(words);
    return finish(train, said);
  }
  nlohmann::json finish(running_program& train, std::string& said) const {
    const program_result result = train.finish();
    said = result.err;
    INFO(said);
    REQUIRE(result.exit_code == 0);
    const nlohmann::json report = last_report(scratch_);
    CHECK(report["weights_sha256"] == expected_["weights_sha256"]);
    CHECK(report["optimizer_sha256"] == expected_["optimizer_sha256"]);
    const auto first = report["first_step"].get<std::ptrdiff_t>();
    CHECK(report["losses"] ==
          nlohmann::json(std::vector<nlohmann::json>(expected_["losses"].begin() + first, expected_["losses"].end())));
    CHECK(newest_in(saved()) == steps);
    return report;
  }

  std::filesystem::path saved() const { return scratch_ / "saved"; }
  std::uint64_t newest_checkpoint() const { return newest_in(saved()); }
  const scratch_directory& scratch() const { return scratch_; }
  const nlohmann::json& expected() const { return expected_; }

private:
  scratch_directory scratch_;
  arguments flags_;
  nlohmann::json expected_;
};

/// Two workers whose coordinator was killed once that step was shown.
struct lone_workers {
  lone_workers(const mortal_coordinator& run, int step, const std::vector<std::string>& flags = {})
      : one(flags), two(flags), all(addresses_of(one, two)) {
    running_program train(run.begin(all));
    run.kill_after(train, step, {&one, &two});
  }
  worker_program one;
  worker_program two;
  std::string all;
};

} // namespace troupe::test
