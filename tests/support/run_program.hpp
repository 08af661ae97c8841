// Runs the real program as a child process, without a shell, and reads what it says.
#pragma once

#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace troupe::test {

struct program_result {
  int exit_code = -1; ///< 128 + the signal's number if one has ended it
  std::string out;
  std::string err;
};

/// What the child's standard error is.
enum class stderr_kind { pipe, terminal };

/// A child whose two outputs are pipes, or the second one a terminal. Its input is /dev/null.
class running_program {
public:
  explicit running_program(std::vector<std::string> arguments, const std::string& path = TROUPE_PROGRAM,
                           stderr_kind kind = stderr_kind::pipe) {
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0 || !open_both_ends(err, kind))
      throw std::runtime_error("no pipe");
    arguments.insert(arguments.begin(), path);
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& one : arguments)
      argv.push_back(one.data());
    argv.push_back(nullptr);
    child_ = ::fork();
    if (child_ == 0) {
      const int null = ::open("/dev/null", O_RDONLY);
      ::dup2(null, STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(err[1], STDERR_FILENO);
      ::execv(path.c_str(), argv.data());
      ::_exit(127);
    }
    ::close(out[1]);
    ::close(err[1]);
    pipes_[0] = {.fd = out[0], .events = POLLIN, .revents = 0};
    pipes_[1] = {.fd = err[0], .events = POLLIN, .revents = 0};
    if (child_ < 0)
      throw std::runtime_error("no child process");
  }
  ~running_program() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    for (const pollfd& one : pipes_)
      if (one.fd >= 0)
        ::close(one.fd);
  }
  running_program(const running_program&) = delete;
  running_program& operator=(const running_program&) = delete;

  /// Blocks until the error output contains `text` so many times; false when it ends without.
  bool wait_for_error_output(const std::string& text, std::size_t times = 1) {
    while (count_in_error_output(text) < times)
      if (!read_some())
        return count_in_error_output(text) >= times;
    return true;
  }

  /// The same, but no longer than so many seconds, after which it is false.
  bool wait_for_error_output(const std::string& text, std::size_t times, double seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (count_in_error_output(text) < times) {
      const std::chrono::duration<double, std::milli> left = end - std::chrono::steady_clock::now();
      if (left.count() <= 0.0 || !read_some(static_cast<int>(left.count()) + 1))
        return count_in_error_output(text) >= times;
    }
    return true;
  }

  /// How often it contains `text` so far, as far as it has been read; see read_all_there_is.
  std::size_t count_in_error_output(const std::string& text) const {
    std::size_t count = 0;
    for (std::size_t at = result_.err.find(text); at != std::string::npos; at = result_.err.find(text, at + 1))
      ++count;
    return count;
  }

  /// Does not block.
  void read_all_there_is() {
    for (std::size_t before = result_.err.size() + 1; before != result_.err.size();) {
      before = result_.err.size();
      read_some(0);
    }
  }

  /// The first line of the output, without its end; blocks until it is whole.
  std::string first_line() {
    while (result_.out.find('\n') == std::string::npos && read_some()) {
    }
    return result_.out.substr(0, result_.out.find('\n'));
  }

  /// What has come so far.
  const std::string& error_output() const { return result_.err; }
  pid_t process() const { return child_; }
  bool has_ended() const {
    siginfo_t facts{};
    return ::waitid(P_PID, static_cast<id_t>(child_), &facts, WEXITED | WNOHANG | WNOWAIT) != 0 || facts.si_pid != 0;
  }
  void send(int signal) const { ::kill(child_, signal); }

  /// Reads both outputs to their end and waits for the child.
  program_result finish() {
    while (read_some()) {
    }
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result_;
  }

private:
  static bool open_both_ends(std::array<int, 2>& ends, stderr_kind kind) {
    if (kind == stderr_kind::pipe)
      return ::pipe2(ends.data(), O_CLOEXEC) == 0;
    ends[0] = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (ends[0] < 0 || ::grantpt(ends[0]) != 0 || ::unlockpt(ends[0]) != 0)
      return false;
    ends[1] = ::open(::ptsname(ends[0]), O_RDWR | O_NOCTTY | O_CLOEXEC); // NOLINT(*-mt-unsafe)
    return ends[1] >= 0;
  }

  /// Blocks until one of the pipes has something, or for so long (-1: without end); false when both have ended.
  bool read_some(int milliseconds = -1) {
    if (pipes_[0].fd < 0 && pipes_[1].fd < 0)
      return false;
    if (::poll(pipes_.data(), pipes_.size(), milliseconds) < 0)
      return errno == EINTR;
    for (std::size_t i = 0; i < pipes_.size(); ++i) {
      if (pipes_[i].fd < 0 || pipes_[i].revents == 0)
        continue;
      std::array<char, 4096> buffer{};
      const ssize_t count = ::read(pipes_[i].fd, buffer.data(), buffer.size());
      if (count > 0) {
        (i == 0 ? result_.out : result_.err).append(buffer.data(), static_cast<std::size_t>(count));
      } else {
        ::close(pipes_[i].fd);
        pipes_[i].fd = -1; // poll skips it from now on
      }
    }
    return true;
  }

  pid_t child_ = -1;
  std::array<pollfd, 2> pipes_{};
  program_result result_;
};

inline program_result run_program(const std::vector<std::string>& arguments) {
  return running_program(arguments).finish();
}

/// Whether it has ended and its parent has not looked yet.
inline bool is_zombie(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(status), {}};
  return text.find(") Z ") != std::string::npos;
}

/// The processes that `parent` has started and that have not ended.
inline std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> found;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(parent) + "/task")) {
    std::ifstream list(thread.path() / "children");
    for (pid_t one = 0; list >> one;)
      if (!is_zombie(one))
        found.push_back(one);
  }
  return found;
}

/// Blocks until the process has ended (a test that waits for ever is stopped by CTest).
inline bool is_gone_in_the_end(pid_t process) {
  while (::kill(process, 0) == 0) {
    if (is_zombie(process))
      return true;
    std::this_thread::yield();
  }
  return true;
}

} // namespace troupe::test
