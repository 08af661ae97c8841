// A worker of one run that says what it should up to a stated moment, and then nothing more: until it ends, whoever
// needs its next word waits. It holds nothing.
#pragma once

#include "runtime/network/fingerprint.hpp"
#include "runtime/wire/frame_reader.hpp"
#include "runtime/wire/frame_writer.hpp"
#include "tests/support/hostile_peers.hpp"
#include "tests/support/wire_bytes.hpp"

#include <netinet/in.h>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

namespace troupe::test {

class halting_worker {
public:
  halting_worker() : door_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    auto* const place = reinterpret_cast<sockaddr*>(&here); // NOLINT(*-reinterpret-cast): how the system wants it
    if (::bind(door_.socket(), place, size) != 0 || ::listen(door_.socket(), 1) != 0 ||
        ::getsockname(door_.socket(), place, &size) != 0)
      throw std::runtime_error("no port is free");
    address_ = "127.0.0.1:" + std::to_string(ntohs(here.sin_port));
  }

  const std::string& address() const { return address_; }

  /// Serves the first coordinator that comes, until it has said `Last`, which is not answered.
  template <class Last>
  void serve_until() {
    coordinator_.emplace(::accept4(door_.socket(), nullptr, nullptr, SOCK_CLOEXEC));
    bool heard = false;
    while (!heard) {
      const std::string bytes = coordinator_->receive();
      if (bytes.empty())
        throw std::runtime_error("the coordinator went away");
      for (const wire_message& one : read_all(reader_, bytes)) {
        heard = heard || std::holds_alternative<Last>(one);
        if (!heard)
          std::visit([this](const auto& message) { answer(message); }, one);
      }
    }
  }

  void end() {
    coordinator_.reset();
    door_ = raw_connection(-1);
  }

private:
  void answer(const hello& in) {
    say(hello{.protocol = in.protocol,
              .version = in.version,
              .role = peer_role::worker,
              .run = in.run,
              .arithmetic = fingerprint_here()});
  }
  void answer(const clock_probe& in) { say(clock_answer{.sent = in.sent, .here = 0.0}); }
  void answer(const held_request&) { say(snapshots_held{}); }
  void answer(const assignment&) { say(assignment_taken{}); }
  template <class Message>
  void answer(const Message&) {}

  void say(const wire_message& what) {
    writer_.put(what);
    std::vector<char> bytes;
    while (!writer_.empty())
      writer_.write_next(bytes);
    coordinator_->send({bytes.begin(), bytes.end()});
  }

  raw_connection door_;
  std::string address_;
  std::optional<raw_connection> coordinator_;
  frame_reader reader_{ample_limits};
  frame_writer writer_;
};

} // namespace troupe::test
