// How many connections there may be at a time whose peer has not said yet who it is: strangers get no more of a
// process's memory and files than that.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace troupe {

/// Connections of peers that are not identified. Each can cost a socket, a TLS session and some small buffers (about
/// 100 KiB), for as long as the peer time-out.
inline constexpr std::size_t most_newcomers = 256;

/// A place that is taken until it is given back, or is gone.
class newcomer_place {
public:
  explicit newcomer_place(std::shared_ptr<std::atomic<std::size_t>> taken) : taken_(std::move(taken)) { ++*taken_; }
  newcomer_place(const newcomer_place&) = delete;
  newcomer_place& operator=(const newcomer_place&) = delete;
  ~newcomer_place() { give_back(); }

  void give_back() {
    if (const auto held = std::exchange(taken_, nullptr))
      --*held;
  }

private:
  std::shared_ptr<std::atomic<std::size_t>> taken_;
};

/// Hands out places, on one thread; they may outlive it and be given back on any.
class newcomer_places {
public:
  /// Null when all are taken.
  std::shared_ptr<newcomer_place> take() {
    return *taken_ < most_newcomers ? std::make_shared<newcomer_place>(taken_) : nullptr;
  }

private:
  std::shared_ptr<std::atomic<std::size_t>> taken_ = std::make_shared<std::atomic<std::size_t>>(0);
};

} // namespace troupe
