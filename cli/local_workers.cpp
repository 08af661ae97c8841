#include "cli/local_workers.hpp"

#include "cli/worker_command.hpp"
#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <iterator>
#include <memory>
#include <spawn.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

extern char** environ; // NOLINT(*-redundant-declaration): POSIX asks for it

namespace troupe {

namespace {

constexpr const char* program = "/proc/self/exe";

[[noreturn]] void throw_failure(const char* what, int number) {
  throw run_error(fmt::format("--spawn: found a worker that does not start ({}: {}), expected one more process", what,
                              std::generic_category().message(number)));
}

/// The first line that comes out of `descriptor`, without its end; all that came if it ends before.
std::string read_line(int descriptor) {
  std::string line;
  for (char c = 0; ::read(descriptor, &c, 1) == 1 && c != '\n';)
    line.push_back(c);
  return line;
}

/// Starts the program with its standard output going to `output`, in a process group of its own, so that Ctrl-C reaches
/// the coordinator alone.
pid_t start_process(const std::vector<std::string>& words, int output) {
  std::vector<char*> arguments;
  for (const std::string& word : words)
    arguments.push_back(const_cast<char*>(word.c_str())); // NOLINT(*-const-cast): posix_spawn does not change them
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  pid_t process = 0;
  const int problem = ::posix_spawn(&process, program, &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (problem != 0)
    throw_failure("posix_spawn", problem);
  return process;
}

} // namespace

local_workers::local_workers(std::uint32_t count, const std::string& tls_directory, double peer_timeout)
    : tls_directory_(tls_directory), peer_timeout_(peer_timeout), starter_([this] { start_what_is_ordered(); }) {
  try {
    for (std::uint32_t number = 0; number < count; ++number)
      workers_.push_back(start());
  } catch (...) {
    end();
    throw;
  }
}

local_workers::~local_workers() {
  end();
}

std::vector<network_address> local_workers::addresses() const {
  const std::lock_guard hold(lock_);
  std::vector<network_address> all;
  std::ranges::transform(workers_, std::back_inserter(all), &started::address);
  return all;
}

network_address local_workers::replace(const network_address& lost) {
  const std::lock_guard hold(lock_);
  const auto found =
      std::ranges::find_if(workers_, [&](const started& one) { return to_string(one.address) == to_string(lost); });
  TROUPE_CHECK(found != workers_.end(), "only a worker that was started here is replaced");
  const started made = start_at_last();
  if (const pid_t before = std::exchange(*found, made).process; ::waitpid(before, nullptr, WNOHANG) != before)
    replaced_.push_back(before);
  return made.address;
}

std::vector<network_address> local_workers::replace_all() {
  {
    const std::lock_guard hold(lock_);
    for (started& one : workers_)
      if (::waitpid(one.process, nullptr, WNOHANG) == one.process)
        one = start_at_last();
  }
  return addresses();
}

/// One that replaces another may die like that one, before it has said its address.
local_workers::started local_workers::start_at_last() {
  constexpr int most_attempts = 5;
  for (int attempt = 1;; ++attempt)
    try {
      return start();
    } catch (const run_error&) {
      if (attempt == most_attempts)
        throw;
    }
}

local_workers::started local_workers::start() {
  std::packaged_task<started()> order([this] { return start_process_of_worker(); });
  std::future<started> made = order.get_future();
  {
    const std::lock_guard hold(order_lock_);
    orders_.push_back(std::move(order));
  }
  ordered_.notify_one();
  return made.get();
}

void local_workers::start_what_is_ordered() {
  std::unique_lock hold(order_lock_);
  for (;;) {
    ordered_.wait(hold, [this] { return closing_ || !orders_.empty(); });
    if (closing_)
      return;
    std::packaged_task<started()> order = std::move(orders_.front());
    orders_.pop_front();
    hold.unlock();
    order();
    hold.lock();
  }
}

local_workers::started local_workers::start_process_of_worker() const {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw_failure("pipe", errno);
  std::vector<std::string> words{"troupe",         "worker",
                                 "--listen",       "127.0.0.1:0",
                                 "--quiet",        "--end-with-parent",
                                 "--peer-timeout", fmt::format("{}", peer_timeout_)};
  if (!tls_directory_.empty())
    words.insert(words.end(), {"--tls", tls_directory_});
  started made;
  try {
    made.process = start_process(words, ends[1]);
  } catch (...) {
    ::close(ends[0]);
    ::close(ends[1]);
    throw;
  }
  ::close(ends[1]);
  const std::string line = read_line(ends[0]);
  ::close(ends[0]);
  if (!line.starts_with(listening_prefix)) {
    ::kill(made.process, SIGKILL);
    ::waitpid(made.process, nullptr, 0);
    throw run_error(fmt::format("--spawn: found a worker that says '{}', expected its address", line));
  }
  made.address = parse_address(line.substr(std::string(listening_prefix).size()), "--spawn");
  return made;
}

void local_workers::end() {
  std::vector<pid_t> processes = std::exchange(replaced_, {});
  std::ranges::transform(std::exchange(workers_, {}), std::back_inserter(processes), &started::process);
  for (const pid_t process : processes) {
    ::kill(process, SIGTERM);
    ::kill(process, SIGCONT); // a frozen one hears nothing
  }
  for (const pid_t process : processes)
    ::waitpid(process, nullptr, 0);
  {
    const std::lock_guard hold(order_lock_);
    closing_ = true;
  }
  ordered_.notify_one();
  if (starter_.joinable())
    starter_.join();
}

} // namespace troupe
