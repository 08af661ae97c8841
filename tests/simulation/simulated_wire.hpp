// Connections between processes that are simulated in one: CAF's multiplexer without a system beneath it. The product's
// own links, listeners and frames run over it. Bytes stay where they are until somebody says that they move.
#pragma once

#include "runtime/network_address.hpp"

#include <caf/io/all.hpp>
#include <caf/io/network/test_multiplexer.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace troupe::test {

/// A process, by number; never used again when it has ended.
using process_number = std::uint32_t;

/// One end of a connection. What the other end has sent and this one has not got yet is on its way to it.
struct wire_end {
  process_number owner = 0;
  int peer = 0;
  caf::io::scribe_ptr scribe;    ///< null until a link has taken it, and when it is closed
  std::vector<char> to_send;     ///< what the link has handed over; lost with the process
  std::vector<char> arriving;    ///< the system's: goes on its way although the sender dies
  std::vector<char> read_buffer; ///< CAF's
  std::size_t read_at_most = 0;  ///< 0: nobody reads yet
  bool closed = false;           ///< here
  bool ends = false;             ///< nothing follows what is arriving: the peer has closed, or the connection broke
  bool told = false;             ///< the link, of that
  double silent_until = 0.0;     ///< nothing arrives before
};

/// All connections. Ends are numbers that are no file descriptors of this process, so that what the product does to the
/// socket itself is refused by the system.
class simulated_wire {
public:
  /// Who spawns or connects just now.
  process_number running = 0;

  /// A process begins or ceases to be reachable there.
  caf::io::doorman_ptr open(caf::io::network::multiplexer& caf, std::uint16_t port);
  void close(std::uint16_t port) { doors_.erase(port); }

  /// A new connection to whoever listens there; its end here. Nothing: nobody does.
  std::optional<int> connect(std::uint16_t port);
  caf::io::scribe_ptr take(caf::io::network::multiplexer& caf, int end);

  /// What can happen next.
  enum class act : std::uint8_t { accept, send, arrive, tell_end };
  struct possible {
    act what = act::accept;
    int end = 0;
    process_number actor = 0; ///< whose handlers run
  };
  std::vector<possible> possible_acts(double now) const;
  /// `part` of what could move does, all of it where it is 1.
  void happen(caf::io::network::multiplexer& caf, const possible& what, double part);

  /// The connection breaks: both sides get `part` of what is arriving, and nothing more.
  void break_at(int end, double part);
  /// The end's owner lets go of it; the peer gets what is arriving.
  void close_end(int end);
  /// All ends of a process that dies. `told`: its machine lives on and tells the peers.
  void end_process(process_number who, bool told);

  /// Nothing can happen any more.
  void forget();

  const std::map<int, wire_end>& ends() const { return ends_; }
  wire_end& end(int number) { return ends_.at(number); }
  /// Bytes that were moved.
  std::uint64_t moved() const { return moved_; }

private:
  class scribe;
  class doorman;
  struct door {
    caf::io::doorman_ptr doorman;
    process_number owner = 0;
    std::vector<int> waiting; ///< connections that were not accepted yet
  };

  std::map<int, wire_end> ends_;
  std::map<std::uint16_t, door> doors_;
  int next_ = 1 << 30;
  std::uint64_t moved_ = 0;
};

/// CAF's way to the wire. Brokers get their turn like all other actors, from the scheduler.
class simulated_multiplexer : public caf::io::network::test_multiplexer {
public:
  using test_multiplexer::test_multiplexer;

  simulated_wire* wire = nullptr;

  caf::io::scribe_ptr new_scribe(caf::io::network::native_socket end) override { return wire->take(*this, end); }
  caf::expected<caf::io::doorman_ptr> new_tcp_doorman(std::uint16_t port, const char* /*in*/, bool /*reuse*/) override {
    return wire->open(*this, port);
  }

protected:
  void exec_later(caf::resumable* job) override { system().scheduler().enqueue(job); }
};

} // namespace troupe::test
