#include "actors/alarm_clock.hpp"

#include <sys/prctl.h>
#include <utility>

namespace troupe {

alarm_clock::~alarm_clock() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable())
    thread_.join();
}

void alarm_clock::ring_at(moment when, std::function<void()> ring) {
  bool earliest = false;
  {
    const std::lock_guard lock(mutex_);
    earliest = alarms_.empty() || when < alarms_.begin()->first;
    alarms_.emplace(when, std::move(ring));
    if (!thread_.joinable())
      thread_ = std::thread([this] { run(); });
  }
  if (earliest) // otherwise the thread is woken for another alarm first
    changed_.notify_one();
}

void alarm_clock::run() {
  ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); // ns; by default Linux may be 50 us late, to join wake-ups
  std::unique_lock lock(mutex_);
  while (!ended_) {
    if (alarms_.empty()) {
      changed_.wait(lock);
    } else if (const moment first = alarms_.begin()->first; first > std::chrono::steady_clock::now()) {
      changed_.wait_until(lock, first);
    } else {
      const auto due = alarms_.extract(alarms_.begin());
      lock.unlock();
      due.mapped()();
      lock.lock();
    }
  }
}

} // namespace troupe
