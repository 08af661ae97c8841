// Worker processes on this machine that live as long as the run: what --spawn asks for.
#pragma once

#include "runtime/network_address.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <future>
#include <mutex>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

namespace troupe {

class local_workers {
public:
  /// Starts `count` workers that listen on 127.0.0.1, each at a free port. Throws run_error when one does not start.
  local_workers(std::uint32_t count, const std::string& tls_directory, double peer_timeout);
  local_workers(const local_workers&) = delete;
  local_workers& operator=(const local_workers&) = delete;
  /// Ends them and waits until they are gone.
  ~local_workers();

  std::vector<network_address> addresses() const;
  /// Starts another worker in place of the one that listens at `lost`, and returns its address. From any thread.
  network_address replace(const network_address& lost);
  /// Starts others in place of all that have ended; returns the addresses of all.
  std::vector<network_address> replace_all();

private:
  struct started {
    pid_t process = 0;
    network_address address;
  };
  started start();
  started start_at_last();
  started start_process_of_worker() const;
  void start_what_is_ordered();
  void end();

  std::string tls_directory_;
  double peer_timeout_;
  mutable std::mutex lock_; ///< of the two lists
  std::vector<started> workers_;
  std::vector<pid_t> replaced_; ///< they may have ended, or be frozen

  // A worker ends with the thread that started it, so one thread starts them all.
  std::mutex order_lock_; ///< of the orders
  std::condition_variable ordered_;
  std::deque<std::packaged_task<started()>> orders_;
  bool closing_ = false;
  std::thread starter_;
};

} // namespace troupe
