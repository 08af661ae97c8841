#include "actors/rank_saboteur.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace {

/// How the child of a frozen process begins: with none of its connections, or their other ends would not notice if it
/// died meanwhile, and where Ctrl-C does not reach it, or nobody would be left to thaw it.
class detached_child {
public:
  detached_child() {
    ::posix_spawn_file_actions_init(&files_);
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      ::posix_spawn_file_actions_addopen(&files_, stream, "/dev/null", O_RDWR, 0);
    ::posix_spawn_file_actions_addclosefrom_np(&files_, STDERR_FILENO + 1);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP);
  }
  ~detached_child() {
    ::posix_spawn_file_actions_destroy(&files_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  detached_child(const detached_child&) = delete;
  detached_child& operator=(const detached_child&) = delete;

  /// Runs `script` and returns when it has ended.
  void run(std::string script) const {
    std::string shell = "sh";
    std::string option = "-c";
    std::array<char*, 4> words = {shell.data(), option.data(), script.data(), nullptr};
    pid_t child = 0;
    const int code = ::posix_spawn(&child, "/bin/sh", &files_, &attributes_, words.data(), environ);
    if (code != 0)
      throw run_error("freeze: cannot start /bin/sh: " + std::generic_category().message(code));
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

private:
  posix_spawn_file_actions_t files_{};
  posix_spawnattr_t attributes_{};
};

/// Stops this process, and thaws it after a time. A stopped process cannot thaw itself; a child does both, one after
/// the other, so that the thaw never comes first.
void freeze_process(double seconds) {
  detached_child().run(fmt::format("kill -STOP {0}; sleep {1:f}; kill -CONT {0}", ::getpid(), seconds));
}

} // namespace

rank_outputs rank_saboteur::run_next(stage_runner& runner) {
  const std::optional<list_place> before = runner.place_in_list();
  if (before)
    strike(before->step, before->done, chaos_moment::before_receive);
  rank_outputs made = runner.run_next();
  const std::optional<list_place> after = runner.place_in_list();
  ended_ = before && after && after->done > before->done ? before : std::nullopt;
  if (ended_)
    strike(ended_->step, ended_->done, chaos_moment::after_compute);
  return made;
}

void rank_saboteur::strike_after_send() {
  if (ended_)
    strike(ended_->step, ended_->done, chaos_moment::after_send);
}

void rank_saboteur::strike_during_snapshot(std::uint64_t steps_done) {
  strike(steps_done - 1, 0, chaos_moment::during_snapshot);
}

void rank_saboteur::strike(std::uint64_t step, std::uint32_t action, chaos_moment moment) {
  // Several may strike at one place.
  while (const std::optional<chaos_event> event = strikes_.due(step, action, moment)) {
    if (event->verb == chaos_verb::kill)
      throw killed_by_chaos();
    if (event->verb == chaos_verb::kill_process)
      ::raise(SIGKILL);
    freeze_process(event->seconds);
  }
}

} // namespace troupe
