#include "cli/local_workers.hpp"

#include "cli/worker_command.hpp"
#include "model/error.hpp"

#include <fmt/format.h>

#include <csignal>
#include <fcntl.h>
#include <memory>
#include <spawn.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

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

local_workers::local_workers(std::uint32_t count, const std::string& tls_directory, double peer_timeout) {
  try {
    for (std::uint32_t number = 0; number < count; ++number)
      start(tls_directory, peer_timeout);
  } catch (...) {
    end();
    throw;
  }
}

local_workers::~local_workers() {
  end();
}

void local_workers::start(const std::string& tls_directory, double peer_timeout) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw_failure("pipe", errno);
  std::vector<std::string> words{"troupe",         "worker",
                                 "--listen",       "127.0.0.1:0",
                                 "--quiet",        "--end-with-parent",
                                 "--peer-timeout", fmt::format("{}", peer_timeout)};
  if (!tls_directory.empty())
    words.insert(words.end(), {"--tls", tls_directory});
  try {
    processes_.push_back(start_process(words, ends[1]));
  } catch (...) {
    ::close(ends[0]);
    ::close(ends[1]);
    throw;
  }
  ::close(ends[1]);
  const std::string line = read_line(ends[0]);
  ::close(ends[0]);
  if (!line.starts_with(listening_prefix))
    throw run_error(fmt::format("--spawn: found a worker that says '{}', expected its address", line));
  addresses_.push_back(parse_address(line.substr(std::string(listening_prefix).size()), "--spawn"));
}

void local_workers::end() {
  for (const pid_t process : processes_)
    ::kill(process, SIGTERM);
  for (const pid_t process : processes_)
    ::waitpid(process, nullptr, 0);
  processes_.clear();
}

} // namespace troupe
