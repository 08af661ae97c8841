// Connections that follow none of our rules, many at a time: each says what its manner tells it to, until the other end
// has enough of it.
#pragma once

#include <arpa/inet.h>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace troupe::test {

/// What a connection says to what it has heard; first it is asked with nothing.
using hostile_speech = std::function<std::string(const std::string& heard)>;

enum class hostile_end {
  waits,   ///< until the other end closes
  hangs_up ///< as soon as it has spoken
};

struct hostile_manner {
  hostile_speech speech;
  hostile_end end = hostile_end::waits;
};

/// Says it once, whatever it hears.
inline hostile_manner saying(const std::string& bytes, hostile_end end = hostile_end::waits) {
  return {.speech = [bytes](const std::string& heard) { return heard.empty() ? bytes : std::string(); }, .end = end};
}

/// A TCP connection to "127.0.0.1:PORT".
class raw_connection {
public:
  explicit raw_connection(const std::string& address) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    // NOLINTNEXTLINE(*-reinterpret-cast): how the system wants it
    if (socket_ < 0 || ::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error(address + ": no connection");
  }
  /// Of a connected socket, which it owns from now on.
  explicit raw_connection(int socket) : socket_(socket) {}
  raw_connection(const raw_connection&) = delete;
  raw_connection& operator=(const raw_connection&) = delete;
  raw_connection(raw_connection&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  raw_connection& operator=(raw_connection&& other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }
  ~raw_connection() {
    if (socket_ >= 0)
      ::close(socket_);
  }

  int socket() const { return socket_; }
  /// Blocks until all is on its way. The other end may have closed already.
  void send(const std::string& bytes) const {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count <= 0)
        return;
      sent += static_cast<std::size_t>(count);
    }
  }
  /// Blocks until something comes; empty: the other end has closed. At most 4 KiB.
  std::string receive() const {
    std::array<char, 4096> buffer{};
    const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), 0);
    return {buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
  }
  /// All that comes until the other end closes.
  std::string receive_all() const {
    std::string all;
    for (std::string some = receive(); !some.empty(); some = receive())
      all += some;
    return all;
  }

private:
  int socket_;
};

/// Makes `count` connections, the manner of each from `manner_of` its number, at most `at_once` at a time. Returns when
/// all have ended: those that wait, by the other end.
inline void attack(const std::string& address, std::size_t count, std::size_t at_once,
                   const std::function<hostile_manner(std::size_t)>& manner_of) {
  struct attacker {
    raw_connection connection;
    hostile_manner manner;
  };
  std::vector<attacker> open;
  std::vector<pollfd> wait;
  for (std::size_t made = 0; made < count || !open.empty();) {
    while (made < count && open.size() < at_once) {
      attacker one{.connection = raw_connection(address), .manner = manner_of(made++)};
      one.connection.send(one.manner.speech({}));
      if (one.manner.end == hostile_end::waits)
        open.push_back(std::move(one));
    }
    wait.clear();
    for (const attacker& one : open)
      wait.push_back({.fd = one.connection.socket(), .events = POLLIN, .revents = 0});
    ::poll(wait.data(), wait.size(), -1);
    for (std::size_t i = open.size(); i-- > 0;) {
      if (wait[i].revents == 0)
        continue;
      const std::string heard = open[i].connection.receive();
      if (heard.empty()) {
        open[i] = std::move(open.back());
        open.pop_back();
      } else {
        open[i].connection.send(open[i].manner.speech(heard));
      }
    }
  }
}

} // namespace troupe::test
