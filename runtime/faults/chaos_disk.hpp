// The failures of the disk that --chaos asks for, in one process.
#pragma once

#include "runtime/disk_faults.hpp"
#include "runtime/faults/chaos_queries.hpp"

#include <mutex>
#include <vector>

namespace troupe {

class chaos_disk : public disk_faults {
public:
  explicit chaos_disk(const std::vector<chaos_event>& events) : chaos_(events) {}

  int fault(disk_act act, const std::filesystem::path&) override {
    const std::lock_guard lock(mutex_);
    return act == disk_act::write ? chaos_.next_write() : 0;
  }

private:
  std::mutex mutex_;
  disk_chaos chaos_;
};

} // namespace troupe
