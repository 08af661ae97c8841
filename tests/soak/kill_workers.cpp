// Kills worker processes of real runs with SIGKILL, one, two, or all at once, at random moments, until so many have
// died; compares each run with the reference, and prints how fast deaths were noticed and made good. In one run in
// three the coordinator is killed, too, again and again, and another one goes on. At last come some runs with longer
// steps, in which workers with a rank each die and others are there to spare, to tell how many steps a death costs.
//
//   kill_workers [--kills N] [--seed S]
//
// Runs go over TLS, with certificates that are made for it. Exit code 1 when one run differs from the reference, fails,
// or does not end.
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/small_distributed_run.hpp"
#include "tests/support/trained_checkpoint.hpp"
#include "tests/support/worker_program.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace troupe::test;
using nlohmann::json;
using troupe::scratch_directory;

namespace {

using arguments = std::vector<std::string>;

const arguments short_steps{"--layers", "2", "--stages", "4", "--steps", "2000"}; // of less than a millisecond
const arguments long_steps{"--layers", "4", "--width",        "256", "--heads",           "4", "--seq",   "64",
                           "--stages", "2", "--microbatches", "4",   "--microbatch-size", "2", "--steps", "50"};
constexpr int runs_of_long_steps = 10;
constexpr double longest_pause = 0.6;  ///< seconds between two strikes
constexpr double longest_life = 2.0;   ///< of a coordinator that is killed, the seconds of its start among them
constexpr double longest_notice = 1.0; ///< seconds; a worker that had not joined the run is not missed by it
constexpr double longest_run = 120.0;  ///< seconds; beyond, it hangs
constexpr int most_in_a_run = 24;      ///< workers killed; then it may end, so that there are runs of every kind

struct kind_of_run {
  std::string name;
  std::size_t workers = 2;
  arguments flags;
};

/// What was measured, in milliseconds.
struct times {
  std::vector<double> noticed;
  std::vector<double> detected;
  std::vector<double> resumed;
  std::vector<double> caught_up;
  std::vector<double> returned;
  std::vector<double> steps; ///< in steps of the same run, as long as their median
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double percentile(std::vector<double> values, double part) {
  if (values.empty())
    return 0.0;
  std::ranges::sort(values);
  return values[std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())))];
}

void print(const char* what, const std::vector<double>& values) {
  if (values.empty())
    return;
  fmt::print("{:<44} {:>6} {:>9.1f} {:>9.1f} {:>9.1f}\n", what, values.size(), percentile(values, 0.5),
             percentile(values, 0.99), percentile(values, 1.0));
}

/// Of runs of one model.
class killer {
public:
  killer(const scratch_directory& scratch, std::uint64_t seed, arguments model)
      : scratch_(scratch), model_(std::move(model)), random_(seed), reference_(report_of({"--schedule", "reference"})) {
  }

  /// One run whose workers are killed all the time; false when it is not as it should be.
  bool run(const kind_of_run& kind) {
    std::filesystem::remove_all(scratch_ / "saved");
    const int killed_before = kills_;
    running_program train(words(kind.flags + arguments{"--spawn", std::to_string(kind.workers), "--tls",
                                                       scratch_.path("certs/127.0.0.1"), "--max-restarts", "65536"}));
    if (!train.wait_for_error_output("step 1/")) // before, a lost worker is one that the run does not get
      return fail(kind, train.finish().err);
    const double began = now();
    while (!train.has_ended() && now() - began < longest_run) {
      std::this_thread::sleep_for(std::chrono::duration<double>(any(longest_pause)));
      if (kills_ - killed_before < most_in_a_run)
        strike(train, some_of(children_of(train.process())));
    }
    if (!train.has_ended()) {
      train.send(SIGKILL);
      return fail(kind, "it did not end within " + std::to_string(longest_run) + " s");
    }
    return ends_well(kind, train.finish(), kills_ - killed_before, now() - began);
  }

  /// One run with as many spare workers as others, of which each dies once; false when it is not as it should be.
  bool run_with_spares(const kind_of_run& kind) {
    std::deque<worker_program> workers;
    for (std::size_t count = 0; count < 2 * kind.workers; ++count)
      workers.emplace_back(words_of_worker());
    running_program train(words(kind.flags + arguments{"--workers", joined(workers)} + tls()));
    if (!train.wait_for_error_output("step 1/"))
      return fail(kind, train.finish().err);
    const double began = now();
    for (std::size_t one = 0; one < kind.workers; ++one) {
      std::this_thread::sleep_for(std::chrono::duration<double>(longest_pause + any(longest_pause)));
      strike(train, {workers[one].program().process()});
    }
    return ends_well(kind, train.finish(), static_cast<int>(kind.workers), now() - began);
  }

  /// One run whose coordinators are killed, and workers with them now and then; false when it is not as it should be.
  bool run_without_coordinators(const kind_of_run& kind) {
    std::filesystem::remove_all(scratch_ / "saved");
    const int killed_before = coordinators_;
    const int held_before = held_;
    const double began = now();
    std::deque<worker_program> workers;
    for (std::size_t count = 0; count < kind.workers; ++count)
      workers.emplace_back(words_of_worker());
    for (bool begun = false;; begun = begun || std::filesystem::exists(scratch_ / "saved" / "decisions.log")) {
      running_program train(begun ? words_of_next(workers)
                                  : words(kind.flags + arguments{"--workers", joined(workers)} + tls()));
      std::this_thread::sleep_for(std::chrono::duration<double>(any(longest_life)));
      const bool over = now() - began > longest_run || train.has_ended();
      if (!over)
        train.send(SIGKILL);
      const program_result result = train.finish();
      held_ += result.err.find("the workers hold the run's state") != std::string::npos ? 1 : 0;
      if (over && result.exit_code == 0)
        break;
      if (over)
        return fail(kind, result.err);
      ++coordinators_;
      if (std::uniform_int_distribution<int>(0, 3)(random_) == 0)
        replace_one(workers);
    }
    if (!ends_as_expected(kind))
      return false;
    fmt::print("{:<42} {:>3} coordinators killed, {} times gone on from what workers held, in {:.1f} s: the "
               "reference's bits\n",
               kind.name, coordinators_ - killed_before, held_ - held_before, now() - began);
    std::fflush(stdout);
    return true;
  }

  int kills() const { return kills_; }
  int coordinators() const { return coordinators_; }
  int held() const { return held_; }
  void print_times() const {
    fmt::print("\n{:<44} {:>6} {:>9} {:>9} {:>9}\n", "milliseconds", "times", "p50", "p99", "most");
    print("kill to the line that tells of it", times_.noticed);
    print("last sign of life to notice of the death", times_.detected);
    print("notice to the new incarnation's state", times_.resumed);
    print("notice to its first new report", times_.caught_up);
    print("of whole runs that went back: notice to ranks", times_.returned);
    fmt::print("\n{:<44} {:>6} {:>9} {:>9} {:>9}\n", "steps", "times", "p50", "p99", "most");
    print("state to its first new report", times_.steps);
  }

private:
  arguments words(const arguments& flags) const { return words_of_shown_run(scratch_, model_ + flags); }
  json report_of(const arguments& flags) const {
    const program_result result = run_program(words(flags));
    if (result.exit_code != 0)
      throw std::runtime_error("training failed: " + result.err);
    return last_report(scratch_);
  }
  arguments tls() const { return {"--tls", scratch_.path("certs/127.0.0.1")}; }
  arguments words_of_worker() const { return arguments{"--quiet"} + tls(); }
  arguments words_of_next(const std::deque<worker_program>& workers) const {
    return arguments{"train",         "--resume", scratch_.path("saved"),      "--workers",
                     joined(workers), "--report", scratch_.path("report.json")} +
           tls();
  }
  static std::string joined(const std::deque<worker_program>& workers) {
    std::string all;
    for (const worker_program& one : workers)
      all += (all.empty() ? "" : ",") + one.address();
    return all;
  }
  /// It has died with the coordinator, and what it held with it.
  void replace_one(std::deque<worker_program>& workers) {
    workers.pop_front();
    ++kills_;
    workers.emplace_back(words_of_worker());
  }
  bool ends_well(const kind_of_run& kind, const program_result& result, int killed, double seconds) {
    if (result.exit_code != 0)
      return fail(kind, result.err);
    const json report = last_report(scratch_);
    note(report);
    for (const char* field : {"weights_sha256", "optimizer_sha256", "losses"})
      if (report[field] != reference_[field])
        return fail(kind, std::string("its ") + field + " are not the reference's");
    fmt::print("{:<42} {:>3} killed, {:>3} ranks lived again, {} times back, in {:.1f} s: the reference's bits\n",
               kind.name, killed, report["recoveries"].size(), report["returns"].size(), seconds);
    std::fflush(stdout);
    return true;
  }
  /// The last coordinator tells the losses from where it has begun.
  bool ends_as_expected(const kind_of_run& kind) const {
    const json report = last_report(scratch_);
    const json& losses = reference_["losses"];
    const auto first = report["first_step"].get<std::ptrdiff_t>();
    for (const char* field : {"weights_sha256", "optimizer_sha256"})
      if (report[field] != reference_[field])
        return fail(kind, std::string("its ") + field + " is not the reference's");
    return report["losses"] == json(std::vector<json>(losses.begin() + first, losses.end())) ||
           fail(kind, "its losses are not the reference's");
  }
  double any(double most) { return std::uniform_real_distribution<double>(0.0, most)(random_); }

  /// Mostly one, sometimes two at once or all.
  std::vector<pid_t> some_of(std::vector<pid_t> workers) {
    std::ranges::shuffle(workers, random_);
    const std::size_t how_many = std::discrete_distribution<std::size_t>{0, 8, 2}(random_);
    if (std::uniform_int_distribution<int>(0, 10)(random_) != 0)
      workers.resize(std::min(workers.size(), how_many));
    return workers;
  }

  void strike(running_program& train, const std::vector<pid_t>& victims) {
    const std::string line = "was lost: ";
    train.read_all_there_is();
    const std::size_t told = train.count_in_error_output(line);
    const double began = now();
    for (const pid_t one : victims)
      kills_ += ::kill(one, SIGKILL) == 0 ? 1 : 0;
    if (train.wait_for_error_output(line, told + 1, longest_notice))
      times_.noticed.push_back(1e3 * (now() - began));
  }

  void note(const json& report) {
    const auto add = [](std::vector<double>& to, const json& value) {
      if (!value.is_null()) // it died again before
        to.push_back(value);
    };
    const double step = percentile(report["step_seconds"].get<std::vector<double>>(), 0.5);
    for (const json& one : report["recoveries"]) {
      add(times_.detected, one["detected_ms"]);
      add(times_.resumed, one["resumed_ms"]);
      add(times_.caught_up, one["caught_up_ms"]);
      if (!one["caught_up_ms"].is_null())
        times_.steps.push_back((one["caught_up_ms"].get<double>() - one["resumed_ms"].get<double>()) / (1e3 * step));
    }
    for (const json& one : report["returns"])
      times_.returned.push_back(1e3 * one["seconds"].get<double>());
  }

  static bool fail(const kind_of_run& kind, const std::string& what) {
    fmt::print("{}: FAILED: {}\n", kind.name, what);
    return false;
  }

  const scratch_directory& scratch_;
  arguments model_;
  std::mt19937_64 random_;
  json reference_;
  int kills_ = 0;
  int coordinators_ = 0;
  int held_ = 0; ///< times that a run has gone on from what workers held
  times times_;
};

std::uint64_t number_after(const arguments& words, const std::string& flag, std::uint64_t otherwise) {
  const auto found = std::ranges::find(words, flag);
  return found == words.end() || found + 1 == words.end() ? otherwise : std::stoull(*(found + 1));
}

/// The program's exit code.
int kill_workers(const arguments& words) {
  const auto wanted = static_cast<int>(number_after(words, "--kills", 200));
  const scratch_directory scratch;
  if (run_program({"certs", scratch.path("certs"), "--hosts", "127.0.0.1"}).exit_code != 0)
    throw std::runtime_error("no certificates could be made");
  const std::uint64_t seed = number_after(words, "--seed", 1);
  killer all(scratch, seed, short_steps);
  const arguments saving{"--checkpoint", scratch.path("saved"), "--checkpoint-every", "50"};
  // Two workers lose what they have whenever both die: without checkpoints they would hardly get anywhere.
  const std::vector<kind_of_run> kinds = {
      {"1f1b, 2 workers", 2, saving},
      {"zb-h1, 3 workers", 3, saving + arguments{"--schedule", "zb-h1"}},
      {"gpipe, 4 workers, a snapshot in 3 steps", 4,
       saving + arguments{"--schedule", "gpipe", "--snapshot-every", "3"}},
      {"1f1b, 2 workers, through the coordinator", 2, saving + arguments{"--checkpoint-via", "coordinator"}},
  };
  const std::vector<kind_of_run> orphaned = {
      {"1f1b, 3 workers, without coordinators", 3, saving},
      {"zb-h1, 2 workers, without coordinators", 2, saving + arguments{"--schedule", "zb-h1"}},
  };
  bool good = true;
  for (std::size_t turn = 0; all.kills() < wanted && good; ++turn)
    good = all.run(kinds[turn % kinds.size()]) &&
           (turn % 2 == 0 || all.run_without_coordinators(orphaned[turn / 2 % orphaned.size()]));
  fmt::print("\n{} worker processes killed, over TLS, and {} coordinators; {} of those were followed from what workers "
             "held\n",
             all.kills(), all.coordinators(), all.held());
  all.print_times();

  killer patient(scratch, seed, long_steps);
  fmt::print("\n");
  for (int run = 0; run < runs_of_long_steps && good; ++run)
    good = patient.run_with_spares({"1f1b, 2 workers and 2 to spare, long steps", 2, {}});
  patient.print_times();
  return good ? 0 : 1;
}

} // namespace

int main(int count, char** values) {
  try {
    return kill_workers({values + 1, values + count});
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
}
