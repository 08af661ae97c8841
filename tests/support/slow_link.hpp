// A slow link: a proxy for TCP connections on loopback that delays each direction and limits its bytes a second.
#pragma once

#include "tests/support/hostile_peers.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <fcntl.h> // pipe2
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace troupe::test {

struct link_speed {
  std::chrono::milliseconds delay{0};
  std::uint64_t bytes_per_second = 0; ///< of each direction of each connection; 0: no limit
};

/// Passes on what comes to address() to `target`, "127.0.0.1:PORT", and back.
class slow_link {
public:
  slow_link(std::string target, const link_speed& speed)
      : target_(std::move(target)), speed_(speed),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    keep_little(listener_);
    auto* const address = reinterpret_cast<sockaddr*>(&here); // NOLINT(*-reinterpret-cast): how the system wants it
    if (::bind(listener_, address, size) != 0 || ::listen(listener_, SOMAXCONN) != 0 ||
        ::getsockname(listener_, address, &size) != 0 || ::pipe2(end_.data(), O_CLOEXEC) != 0)
      throw std::runtime_error("no proxy");
    address_ = "127.0.0.1:" + std::to_string(ntohs(here.sin_port));
    thread_ = std::thread([this] { pass_on(); });
  }
  slow_link(const slow_link&) = delete;
  slow_link& operator=(const slow_link&) = delete;
  ~slow_link() {
    ::close(end_[1]);
    thread_.join();
    ::close(end_[0]);
    ::close(listener_);
  }

  const std::string& address() const { return address_; }
  /// Blocks until so many bytes went in one direction of one connection.
  void wait_until_passed(std::uint64_t bytes) {
    std::unique_lock lock(mutex_);
    passed_more_.wait(lock, [&] { return most_passed_ >= bytes; });
  }

private:
  using clock = std::chrono::steady_clock;
  /// So little lies in the proxy of a slow link that an end falls silent soon after the other was stopped.
  static constexpr int kernel_buffer = 16 << 10;
  static constexpr std::size_t most_waiting_on_slow = 8 << 10;
  static constexpr std::size_t most_waiting = 1 << 20;
  static constexpr std::chrono::milliseconds retry_after{5};

  struct piece {
    clock::time_point due;
    std::string bytes;
  };
  struct direction {
    std::deque<piece> waiting{};
    std::size_t waiting_bytes = 0;
    clock::time_point free{}; ///< when the line has sent what it was given
    std::uint64_t passed = 0;
    bool ended = false; ///< nothing more comes from its source
  };
  struct pair {
    raw_connection client;
    raw_connection server;
    std::array<direction, 2> ways{}; ///< from the client, from the server
    bool broken = false;
  };

  static void keep_little(int socket) {
    ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kernel_buffer, sizeof kernel_buffer);
  }

  bool has_room(const direction& way) const {
    return !way.ended && way.waiting_bytes < (speed_.bytes_per_second == 0 ? most_waiting : most_waiting_on_slow);
  }

  /// In milliseconds; -1: nothing is due before something comes.
  int until_next_is_due() const {
    clock::time_point next = clock::time_point::max();
    for (const pair& one : pairs_)
      for (const direction& way : one.ways)
        if (!way.waiting.empty())
          next = std::min(next, way.waiting.front().due);
    if (next == clock::time_point::max())
      return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock::now());
    return static_cast<int>(std::max<std::int64_t>(0, left.count()));
  }

  void pass_on() {
    for (;;) {
      std::vector<pollfd> wait{{.fd = end_[0], .events = POLLIN, .revents = 0},
                               {.fd = listener_, .events = POLLIN, .revents = 0}};
      for (const pair& one : pairs_)
        for (std::size_t i = 0; i < 2; ++i)
          wait.push_back({.fd = has_room(one.ways[i]) ? (i == 0 ? one.client : one.server).socket() : -1,
                          .events = POLLIN,
                          .revents = 0});
      ::poll(wait.data(), wait.size(), until_next_is_due());
      if (wait[0].revents != 0)
        return;
      std::size_t place = 2;
      for (pair& one : pairs_)
        for (std::size_t i = 0; i < 2; ++i)
          if (wait[place++].revents != 0)
            take(one, i);
      for (pair& one : pairs_)
        for (std::size_t i = 0; i < 2; ++i)
          give(one, i);
      pairs_.remove_if([](const pair& one) { return one.broken; });
      if (wait[1].revents != 0)
        welcome();
    }
  }

  void welcome() {
    raw_connection client(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    try {
      raw_connection server(target_);
      keep_little(server.socket());
      pairs_.push_back({.client = std::move(client), .server = std::move(server)});
    } catch (const std::runtime_error&) {
      // nobody is there: the client sees its connection end
    }
  }

  void take(pair& of, std::size_t which) {
    direction& way = of.ways[which];
    std::string bytes = (which == 0 ? of.client : of.server).receive();
    const clock::time_point now = clock::now();
    way.ended = bytes.empty();
    way.free = std::max(way.free, now);
    if (speed_.bytes_per_second > 0)
      way.free += std::chrono::nanoseconds(bytes.size() * 1'000'000'000 / speed_.bytes_per_second);
    way.waiting_bytes += bytes.size();
    way.waiting.push_back({way.free + speed_.delay, std::move(bytes)});
  }

  /// A piece without bytes is the end of the stream. A target that reads nothing, since it was stopped, is tried again.
  void give(pair& of, std::size_t which) {
    direction& way = of.ways[which];
    const int target = (which == 0 ? of.server : of.client).socket();
    while (!way.waiting.empty() && way.waiting.front().due <= clock::now()) {
      piece& front = way.waiting.front();
      const ssize_t sent = ::send(target, front.bytes.data(), front.bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EAGAIN) {
        front.due = clock::now() + retry_after;
        return;
      }
      if (sent <= 0) {
        of.broken = true;
        return;
      }
      way.waiting_bytes -= static_cast<std::size_t>(sent);
      front.bytes.erase(0, static_cast<std::size_t>(sent));
      if (front.bytes.empty())
        way.waiting.pop_front();
      way.passed += static_cast<std::uint64_t>(sent);
      const std::scoped_lock lock(mutex_);
      most_passed_ = std::max(most_passed_, way.passed);
      passed_more_.notify_all();
    }
  }

  std::string target_;
  link_speed speed_;
  int listener_;
  std::array<int, 2> end_{};
  std::string address_;
  std::list<pair> pairs_;
  std::mutex mutex_;
  std::condition_variable passed_more_;
  std::uint64_t most_passed_ = 0;
  std::thread thread_;
};

} // namespace troupe::test
