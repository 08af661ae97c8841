#include "tests/simulation/campaign.hpp"

#include "tests/simulation/network_training.hpp"
#include "tests/simulation/scenario.hpp"
#include "tests/simulation/simulated_training.hpp"
#include "tests/support/scratch_directory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string_view>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace troupe::test {

namespace {

std::atomic<bool> interrupted = false;

void note_interrupt(int /*signal*/) {
  interrupted = true;
}

/// What a worker tells of one seed. Small enough that a pipe takes it as a whole.
struct message {
  std::uint64_t seed = 0;
  std::uint64_t hash = 0;
  tally counts;
  bool failed = false;
  std::array<char, 1000> problem{};
};
static_assert(sizeof(message) <= 4096);

/// What all processes see.
struct board {
  std::atomic<std::uint64_t> next_seed = 0;
  std::atomic<bool> stop = false;
};

class shared_board {
public:
  shared_board() {
    void* const memory = ::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      throw std::runtime_error("no memory that processes can share");
    board_ = new (memory) board;
  }
  shared_board(const shared_board&) = delete;
  shared_board& operator=(const shared_board&) = delete;
  ~shared_board() { ::munmap(board_, sizeof(board)); }
  board* operator->() const { return board_; }

private:
  board* board_;
};

void write_whole(int pipe, const message& one) {
  while (::write(pipe, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

/// One process, its scratch directory, and the seed that it has begun.
struct campaign_process {
  explicit campaign_process(pid_t started) : process(started) {}
  pid_t process;
  std::optional<std::uint64_t> seed;
};

class campaign {
public:
  explicit campaign(const campaign_setup& setup) : setup_(setup) {
    board_->next_seed = setup.first_seed;
    if (::pipe(pipe_.data()) != 0)
      throw std::runtime_error("no pipe");
    for (std::uint32_t i = 0; i < setup.jobs; ++i)
      scratch_.push_back(std::make_unique<scratch_directory>(place_in_memory()));
  }

  campaign_result run() {
    struct sigaction action = {};
    action.sa_handler = note_interrupt;
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    for (std::size_t place = 0; place < scratch_.size(); ++place)
      workers_.push_back(start(place));
    while (std::ranges::any_of(workers_, [](const campaign_process& one) { return one.process != 0; })) {
      listen();
      bury();
      board_->stop = board_->stop || interrupted;
      if (interrupted)
        end_workers();
      show();
    }
    listen();
    if (line_open_)
      fmt::print(stderr, "\r\x1b[K");
    result_.interrupted = interrupted;
    result_.seconds = seconds();
    return std::move(result_);
  }

private:
  bool of_network() const { return setup_.kind == simulation_kind::network; }
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  campaign_process start(std::size_t place) {
    std::fflush(nullptr);
    const pid_t process = ::fork();
    if (process < 0)
      throw std::runtime_error("no process can be started");
    if (process == 0)
      work(place);
    return campaign_process(process);
  }

  /// Whatever their seeds are at, they may have got stuck.
  void end_workers() const {
    for (const campaign_process& one : workers_)
      if (one.process != 0)
        ::kill(one.process, SIGKILL);
  }

  /// A worker's life. Before a seed it says which one, so that whoever it dies of is known. It ends with whoever has
  /// started it.
  [[noreturn]] void work(std::size_t place) const {
    ::signal(SIGINT, SIG_IGN);
    ::signal(SIGTERM, SIG_DFL);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::filesystem::current_path(scratch_[place]->path());
    while (!board_->stop) {
      message told;
      told.seed = board_->next_seed++;
      if (told.seed > setup_.last_seed)
        break;
      note_begun(place, told.seed);
      std::FILE* const out = setup_.verbose ? stdout : nullptr;
      const seed_result result = of_network() ? simulate_network(told.seed, out) : simulate(told.seed, out);
      std::fflush(stdout);
      told.hash = result.hash;
      told.counts = result.counts;
      told.failed = !result.problem.empty();
      result.problem.copy(told.problem.data(), told.problem.size() - 1);
      write_whole(pipe_[1], told);
    }
    ::_exit(0);
  }

  void note_begun(std::size_t place, std::uint64_t seed) const {
    const std::string path = scratch_[place]->path("seed");
    std::FILE* const file = std::fopen(path.c_str(), "w");
    fmt::print(file, "{}", seed);
    std::fclose(file);
  }

  void listen() {
    constexpr int wait_ms = 50;
    pollfd ready{pipe_[0], POLLIN, 0};
    int wait = wait_ms;
    while (::poll(&ready, 1, wait) > 0) {
      message told;
      if (::read(pipe_[0], &told, sizeof(told)) != static_cast<ssize_t>(sizeof(told)))
        return;
      result_.counts.add(told.counts);
      result_.hash += told.hash;
      if (told.failed)
        note_failure(told.seed, told.problem.data());
      wait = 0;
    }
  }

  void note_failure(std::uint64_t seed, const std::string& problem) {
    if (std::exchange(line_open_, false))
      fmt::print(stderr, "\r\x1b[K");
    result_.failures.push_back({seed, problem});
    fmt::print("seed {} FAILED: {}\n{}  again, event by event: troupe_simtest {}--seeds {} --verbose\n", seed, problem,
               of_network() ? to_text(draw_network_scenario(seed)) : to_text(draw_scenario(seed)),
               of_network() ? "--kind network " : "", seed);
    std::fflush(stdout);
    board_->stop = board_->stop || !setup_.keep_going;
  }

  /// Workers that have ended: all is done, or a seed took one along.
  void bury() {
    for (std::size_t place = 0; place < workers_.size(); ++place) {
      int status = 0;
      if (workers_[place].process == 0 || ::waitpid(workers_[place].process, &status, WNOHANG) == 0)
        continue;
      workers_[place].process = 0;
      if (interrupted || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        continue;
      listen();
      const std::uint64_t seed = std::stoull(read_bytes(scratch_[place]->path("seed")));
      note_failure(seed, WIFSIGNALED(status) ? fmt::format("its process died of signal {} ({})", WTERMSIG(status),
                                                           ::strsignal(WTERMSIG(status)))
                                             : fmt::format("its process ended with {}", WEXITSTATUS(status)));
      if (!board_->stop)
        workers_[place] = start(place);
    }
  }

  /// On a terminal one line that is written anew; else a line now and then.
  void show() {
    const bool terminal = ::isatty(STDERR_FILENO) == 1;
    const double pause = terminal ? 0.2 : 10.0;
    const double now = seconds();
    if (now - shown_ < pause || setup_.verbose)
      return;
    shown_ = now;
    const std::uint64_t done = result_.counts[counted::seeds];
    const std::uint64_t all = setup_.last_seed - setup_.first_seed + 1;
    const double left =
        done == 0 ? 0.0 : now / static_cast<double>(done) * static_cast<double>(all - std::min(done, all));
    fmt::print(stderr, "{}{}/{} seeds  {:.0f} a second  {} failed  left {:.0f} s{}", terminal ? "\r\x1b[K" : "", done,
               all, static_cast<double>(done) / now, result_.failures.size(), left, terminal ? "" : "\n");
    std::fflush(stderr);
    line_open_ = terminal;
  }

  campaign_setup setup_;
  shared_board board_;
  std::array<int, 2> pipe_{};
  std::vector<std::unique_ptr<scratch_directory>> scratch_; ///< by worker
  std::vector<campaign_process> workers_;
  campaign_result result_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double shown_ = 0.0;
  bool line_open_ = false;
};

} // namespace

campaign_result run_campaign(const campaign_setup& setup) {
  return campaign(setup).run();
}

} // namespace troupe::test
