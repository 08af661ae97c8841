// A slow cable: forwards TCP connections, and lets what goes through them arrive as late as over a link of a given
// latency and rate. Each direction of each connection is a link of its own. Runs until it is killed.
// Usage: troupe_slow_link LISTEN_HOST PORT TARGET_HOST PORT LATENCY_MS MBIT_PER_S (0: no limit). Hosts are IPv4
// addresses.
#include <arpa/inet.h>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
using seconds = std::chrono::duration<double>;

struct cable {
  seconds latency{0};
  double bytes_per_second = 0.0; ///< 0: no limit
};

/// What is on its way in one direction. Its number is not bounded: a cable does not push back, the peers do.
class in_flight {
public:
  struct piece {
    clock_type::time_point due;
    std::vector<char> content; ///< empty: the end
  };

  void put(piece one) {
    {
      const std::lock_guard lock(mutex_);
      pieces_.push_back(std::move(one));
    }
    changed_.notify_one();
  }
  piece take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !pieces_.empty(); });
    piece one = std::move(pieces_.front());
    pieces_.pop_front();
    return one;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<piece> pieces_;
};

/// The cable carries one piece after the other; each arrives when its last byte has left, and the latency is over.
void receive(int from, const cable& how, in_flight& way) {
  std::array<char, 8192> buffer{};
  clock_type::time_point free = clock_type::now();
  for (;;) {
    const ssize_t count = ::read(from, buffer.data(), buffer.size());
    free = std::max(free, clock_type::now());
    if (count > 0 && how.bytes_per_second > 0)
      free +=
          std::chrono::duration_cast<clock_type::duration>(seconds(static_cast<double>(count) / how.bytes_per_second));
    way.put({free + std::chrono::duration_cast<clock_type::duration>(how.latency),
             {buffer.data(), buffer.data() + std::max<ssize_t>(count, 0)}});
    if (count <= 0)
      return;
  }
}

void deliver(int to, in_flight& way) {
  for (;;) {
    const in_flight::piece one = way.take();
    std::this_thread::sleep_until(one.due);
    if (one.content.empty()) {
      ::shutdown(to, SHUT_WR);
      return;
    }
    for (std::size_t done = 0; done < one.content.size();) {
      const ssize_t now = ::send(to, one.content.data() + done, one.content.size() - done, MSG_NOSIGNAL);
      if (now <= 0)
        break; // the other side is gone, which its own reader sees
      done += static_cast<std::size_t>(now);
    }
  }
}

void carry(int one, int other, const cable& how) {
  in_flight there;
  in_flight back;
  std::thread a([&] { receive(one, how, there); });
  std::thread b([&] { deliver(other, there); });
  std::thread c([&] { receive(other, how, back); });
  deliver(one, back);
  a.join();
  b.join();
  c.join();
  ::close(one);
  ::close(other);
}

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in address_of(const char* host, const char* port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (::inet_pton(AF_INET, host, &made.sin_addr) != 1)
    give_up(host);
  return made;
}

void send_at_once(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fputs("usage: troupe_slow_link LISTEN_HOST PORT TARGET_HOST PORT LATENCY_MS MBIT_PER_S\n", stderr);
    return 2;
  }
  const sockaddr_in here = address_of(argv[1], argv[2]);
  const sockaddr_in target = address_of(argv[3], argv[4]);
  const cable how{seconds(std::atof(argv[5]) / 1e3), std::atof(argv[6]) * 1e6 / 8};
  const int door = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(door, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 ||
      ::listen(door, 16) != 0) // NOLINT(*-cast)
    give_up("listen");
  for (;;) {
    const int one = ::accept(door, nullptr, nullptr);
    const int other = ::socket(AF_INET, SOCK_STREAM, 0);
    if (one < 0 || other < 0)
      give_up("accept");
    if (::connect(other, reinterpret_cast<const sockaddr*>(&target), sizeof target) != 0) { // NOLINT(*-cast)
      ::close(one);
      ::close(other);
      continue;
    }
    send_at_once(one);
    send_at_once(other);
    std::thread(carry, one, other, how).detach();
  }
}
