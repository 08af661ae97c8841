// The checkpoint that a run resumes from, read by the coordinator for a worker that does not see its directory.
#pragma once

#include "actors/network/peers.hpp"
#include "runtime/parameter_source.hpp"

#include <cstdint>
#include <future>
#include <map>
#include <mutex>

namespace troupe {

/// read() blocks its thread until the coordinator has answered. Safe to use from several threads.
class remote_parameters : public parameter_source {
public:
  remote_parameters(caf::actor coordinator, std::uint64_t steps_done)
      : coordinator_(std::move(coordinator)), steps_done_(steps_done) {}

  std::uint64_t steps_done() const override { return steps_done_; }
  void read(const std::string& parameter, tensor& value, std::span<tensor> state) const override;

  /// What the coordinator said.
  void take(const parameter_answer& in) const;
  /// No answer will come any more: every read throws checkpoint_error from now on.
  void give_up() const;

private:
  caf::actor coordinator_;
  std::uint64_t steps_done_;
  mutable std::mutex mutex_;
  mutable std::map<std::uint64_t, std::promise<parameter_answer>> awaited_; ///< by number
  mutable std::uint64_t next_ = 0;
  mutable bool given_up_ = false;
};

} // namespace troupe
