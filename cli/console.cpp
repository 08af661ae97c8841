#include "cli/console.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace {

/// It is said once: what is written after it may be taken again.
[[noreturn]] void refuse_text(const std::string& reason) {
  std::clearerr(stdout);
  throw output_error("standard output: cannot write: " + reason);
}

} // namespace

std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = c == '\n' ? ' ' : '?';
  return text;
}

void hold_standard_streams() {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(number, F_GETFD) < 0) // what takes its number, the lowest, still neither gives nor takes anything
      static_cast<void>(::open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY));
}

void put_text(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    refuse_text(std::generic_category().message(errno));
}

void expect_text_taken() {
  if (std::fflush(stdout) != 0)
    refuse_text(std::generic_category().message(errno));
  if (std::ferror(stdout) != 0)
    refuse_text("it did not take all");
}

void put_notice(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

std::string warning_line(const std::string& message) {
  return "warning: " + message;
}

void warn(const std::string& message) {
  std::fflush(stdout);
  put_notice(one_line(warning_line(message)) + "\n");
}

void complain(const std::string& message) {
  std::fflush(stdout);
  put_notice(fmt::format("troupe: {}\n", one_line(message)));
}

} // namespace troupe
