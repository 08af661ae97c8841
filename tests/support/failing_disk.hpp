// A disk on which chosen acts fail, and a child process in which files cannot grow.
#pragma once

#include "runtime/disk_faults.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace troupe::test {

/// The n-th act, from 1, and those right after it, `count` in all.
class failing_disk : public disk_faults {
public:
  failing_disk(int code, std::size_t first, std::size_t count = 1) : code_(code), first_(first), count_(count) {}

  int fault(disk_act, const std::filesystem::path&) override {
    const std::size_t number = ++acts_;
    return number >= first_ && number - first_ < count_ ? code_ : 0;
  }
  std::size_t acts() const { return acts_; }
  /// Whether any of these has come.
  bool has_failed() const { return acts_ >= first_; }

private:
  int code_;
  std::size_t first_;
  std::size_t count_;
  std::atomic<std::size_t> acts_ = 0;
};

/// What `act` returns in a child process that may write no file beyond `bytes`.
template <typename Act>
std::string with_small_files(std::size_t bytes, const Act& act) {
  std::array<int, 2> pipe{};
  if (::pipe(pipe.data()) != 0)
    throw std::runtime_error("no pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{bytes, bytes};
    std::signal(SIGXFSZ, SIG_IGN); // so that write() says EFBIG
    const bool limited = ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
    std::string text;
    try {
      text = limited ? act() : "no limit";
    } catch (const std::exception& failure) {
      text = std::string("unexpected: ") + failure.what();
    }
    ::_exit(::write(pipe[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(pipe[1]);
  std::string said;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(pipe[0], buffer.data(), buffer.size())) > 0;)
    said.append(buffer.data(), static_cast<std::size_t>(count));
  ::close(pipe[0]);
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0)
    throw std::runtime_error("the child process ended with " + std::to_string(status) + " after: " + said);
  return said;
}

} // namespace troupe::test
