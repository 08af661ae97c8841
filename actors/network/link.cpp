#include "actors/network/link.hpp"

#include "actors/network/delivery.hpp"
#include "actors/shell.hpp"
#include "runtime/network_address.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <span>
#include <string_view>
#include <sys/socket.h>

namespace troupe {

namespace {

using link_pointer = link_broker*;

/// Bytes of ours that may wait in the middleman. What is beyond stays in the writer, as tensors shared with whoever
/// computed them: their number is bounded by the schedule's peaks.
constexpr std::uint64_t window = 4U << 20;

/// Of the background's: a message of the traffic may have to wait until so many have left.
constexpr std::uint64_t background_window = 1U << 20;

/// Bytes that are read at a time, at most. CAF holds a buffer as large, and fills it with zeros before each read.
constexpr std::size_t smallest_read = 4U << 10; ///< also of a peer that is not identified
constexpr std::size_t largest_read = 256U << 10;

/// Seconds that what was written before a link ended has to leave, at least.
constexpr double for_last_words = 0.05;

/// Messages, heartbeats aside, that a peer may send before it is identified: a hello, and why it takes it back.
constexpr std::uint32_t most_newcomer_messages = 2;

void leave(link_pointer self) {
  cut(self, self->state.connection);
  if (self->state.setup.place)
    self->state.setup.place->give_back();
  self->quit();
}

/// From nobody: CAF's brokers keep what reaches them after their end, and one that kept a message of its own would hold
/// itself for ever.
void tick_later(link_pointer self, double seconds) {
  caf::delayed_anon_send(caf::actor_cast<caf::actor>(self),
                         std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds)),
                         link_tick{});
}

/// Ends the connection; the owner is told once. What is written and not yet sent, such as an alert of TLS, has
/// a moment to leave.
void lose(link_pointer self, const std::string& reason, error_kind kind = error_kind::run) {
  link_state& state = self->state;
  if (state.over)
    return;
  state.over = true;
  state.ended = state.setup.clock();
  tell(state.setup.owner,
       peer_lost{caf::actor_cast<caf::actor>(self), reason, kind, state.alive->silent_for(state.ended)});
  if (!self->valid(state.connection) || (state.in_flight == 0 && self->wr_buf(state.connection).empty()))
    return leave(self);
  self->flush(state.connection);
  tick_later(self, for_last_words);
}

/// Runs `act`; what it throws ends the connection.
template <class Function>
void guarded(link_pointer self, Function act) {
  try {
    act();
  } catch (const error& e) {
    lose(self, e.what(), e.kind());
  } catch (const std::exception& e) {
    lose(self, e.what());
  }
}

bool can_send(const link_state& state) {
  return !state.over && (!state.tls || state.tls->established());
}

void end_if_done(link_pointer self) {
  link_state& state = self->state;
  if (state.over || !state.closing || !state.writer->empty() || state.in_flight > 0)
    return;
  state.over = true;
  tell(state.setup.owner, peer_lost{caf::actor_cast<caf::actor>(self), "closed here"});
  leave(self);
}

void note_written(link_pointer self, std::size_t before) {
  link_state& state = self->state;
  const std::size_t written = self->wr_buf(state.connection).size() - before;
  if (written == 0)
    return;
  state.in_flight += written;
  state.alive->said(state.setup.clock());
  self->flush(state.connection);
}

/// Hands the middleman as much as its window takes.
void pump(link_pointer self) {
  link_state& state = self->state;
  if (can_send(state)) {
    std::vector<char>& out = self->wr_buf(state.connection);
    const std::size_t before = out.size();
    const auto has_room = [&] {
      return state.in_flight + (out.size() - before) < (state.writer->has_traffic() ? window : background_window);
    };
    while (!state.writer->empty() && has_room()) {
      if (state.tls) {
        state.plain.clear();
        state.writer->write_next(state.plain);
        state.tls->send(state.plain, out);
      } else {
        state.writer->write_next(out);
      }
    }
    note_written(self, before);
  }
  end_if_done(self);
}

void put(link_pointer self, const wire_message& message) {
  if (self->state.over)
    return;
  self->state.writer->put(message);
  guarded(self, [self] { pump(self); });
}

/// A stranger may not fill the owner's mailbox.
void expect_few_of_newcomer(link_state& state, const wire_message& message) {
  if (!state.identified && !std::holds_alternative<heartbeat>(message) &&
      ++state.newcomer_messages > most_newcomer_messages)
    throw protocol_error(fmt::format("a peer sent {} before it was answered, expected it to wait", name_of(message)));
}

void take(link_pointer self, wire_message&& message) {
  link_state& state = self->state;
  expect_few_of_newcomer(state, message);
  if (std::holds_alternative<heartbeat>(message))
    return;
  static const link_routes none;
  if (auto others = deliver(state.routes ? *state.routes : none, std::move(message)))
    tell(state.setup.owner, peer_said{caf::actor_cast<caf::actor>(self), std::move(*others)});
  else
    state.alive->agree(); // it is in the run, too, whose timeout both have since
}

void tell_ready(link_pointer self) {
  link_state& state = self->state;
  if (state.ready_told || !can_send(state))
    return;
  state.ready_told = true;
  tell(state.setup.owner, link_ready{caf::actor_cast<caf::actor>(self)});
}

/// Small messages are to cost no large buffer, and large ones no many reads.
void fit_reads(link_pointer self, std::size_t got) {
  link_state& state = self->state;
  if (!state.identified)
    return;
  const std::size_t before = state.read_size;
  if (got >= before)
    state.read_size = std::min(4 * before, largest_read);
  else if (got < before / 8)
    state.read_size = std::max(before / 2, smallest_read);
  if (state.read_size != before)
    self->configure_read(state.connection, caf::io::receive_policy::at_most(state.read_size));
}

void read(link_pointer self, const std::vector<char>& bytes) {
  fit_reads(self, bytes.size());
  link_state& state = self->state;
  std::span<const char> content(bytes);
  if (state.tls) {
    std::vector<char>& out = self->wr_buf(state.connection);
    const std::size_t before = out.size();
    state.plain.clear();
    state.tls->receive(bytes, state.plain, out); // what it throws leaves an alert in `out`, which lose() flushes
    note_written(self, before);
    tell_ready(self);
    content = state.plain;
  }
  state.reader->read(std::as_bytes(content), [self](wire_message&& message) { take(self, std::move(message)); });
  pump(self);
}

void look(link_pointer self) {
  link_state& state = self->state;
  const double now = state.setup.clock();
  if (state.over) {
    if (now - state.ended >= for_last_words)
      leave(self);
    return;
  }
  const liveness::verdict seen = state.alive->look(now);
  if (seen.lost)
    return lose(self, fmt::format("was silent for {:.1f} s", state.alive->timeout()));
  if (!state.identified && now - state.began > state.setup.peer_timeout)
    return lose(self, "did not say who it is in time");
  if (seen.heartbeat_due && can_send(state) && state.writer->empty())
    put(self, heartbeat{});
  tick_later(self, state.alive->until_next_look(now));
}

void identify(link_pointer self, const wire_limits& limits) {
  link_state& state = self->state;
  state.identified = true; // from now on its reads may grow
  if (state.setup.place)
    state.setup.place->give_back();
  state.reader->set_limits(limits);
}

template <class Message>
auto forwarding(link_pointer self) {
  return on<Message>(self, [self](const Message& in) { put(self, in); });
}

/// What the system refuses here costs time and nothing else.
void tune(int socket) {
  const int on = 1; // small messages leave at once
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // Within a machine there is no bottleneck to find, and where BBR is the default its pacing costs a timer's interrupt
  // for every piece.
  constexpr std::string_view without_pacing = "reno";
  sockaddr_storage storage{};
  auto* const peer = reinterpret_cast<sockaddr*>(&storage); // NOLINT(*-reinterpret-cast): how the system wants it
  socklen_t size = sizeof storage;
  if (::getpeername(socket, peer, &size) == 0 && is_loopback_socket(*peer, size))
    ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, without_pacing.data(), without_pacing.size());
}

caf::behavior start(link_pointer self, caf::io::connection_handle connection, const link_setup& setup) {
  link_state& state = self->state;
  state.setup = setup;
  state.connection = connection;
  tune(static_cast<int>(connection.id()));
  state.writer.emplace(wire_precision::fp32);
  state.reader.emplace(limits_before_hello);
  state.began = setup.clock();
  state.alive.emplace(setup.peer_timeout, state.began);
  state.read_size = smallest_read;
  self->configure_read(connection, caf::io::receive_policy::at_most(state.read_size));
  self->ack_writes(connection, true);
  if (setup.tls) {
    state.tls.emplace(*setup.tls, setup.side, setup.expected_host);
    if (setup.side == tls_side::client)
      guarded(self, [&] {
        state.tls->start(self->wr_buf(connection));
        note_written(self, 0);
      });
  }
  tell_ready(self);
  look(self);
  return {
      [self](const caf::io::new_data_msg& in) {
        if (self->state.over)
          return;
        self->state.alive->heard(self->state.setup.clock());
        guarded(self, [&] { read(self, in.buf); });
      },
      [self](const caf::io::data_transferred_msg& in) {
        self->state.in_flight = in.remaining;
        if (self->state.over && in.remaining == 0)
          return leave(self);
        guarded(self, [self] { pump(self); });
      },
      [self](const caf::io::connection_closed_msg&) {
        lose(self, "closed the connection");
        leave(self);
      },
      [](const caf::io::connection_passivated_msg&) {},
      on<link_tick>(self, [self](const link_tick&) { look(self); }),
      on<tell_peer>(self, [self](const tell_peer& in) { put(self, in.what); }),
      on<identify_peer>(self, [self](const identify_peer& in) { identify(self, in.limits); }),
      on<open_routes>(self,
                      [self](const open_routes& in) {
                        self->state.routes = in.routes;
                        self->state.alive.emplace(in.peer_timeout, self->state.setup.clock());
                        self->state.writer->set_precision(in.precision);
                        self->state.reader->set_precision(in.precision);
                        self->state.reader->set_limits(in.limits);
                      }),
      on<close_link>(self,
                     [self](const close_link&) {
                       self->state.closing = true;
                       end_if_done(self);
                     }),
      forwarding<token_message>(self),
      forwarding<target_message>(self),
      forwarding<activation_message>(self),
      forwarding<gradient_message>(self),
      forwarding<group_gradient_message>(self),
      forwarding<tied_gradient_message>(self),
      forwarding<tied_value_message>(self),
      forwarding<step_opening>(self),
      forwarding<step_decision>(self),
      forwarding<digest_request>(self),
      forwarding<send_again>(self),
      forwarding<rank_ready>(self),
      forwarding<credit_message>(self),
      forwarding<loss_message>(self),
      forwarding<step_report>(self),
      forwarding<digest_report>(self),
      forwarding<slice_batch>(self),
  };
}

} // namespace

void cut(caf::io::abstract_broker* self, caf::io::connection_handle connection) {
  if (self->valid(connection)) // else its number may be another's by now
    ::shutdown(static_cast<int>(connection.id()), SHUT_RDWR);
}

caf::behavior accepted_link(link_pointer self, caf::io::connection_handle connection, const link_setup& setup) {
  return start(self, connection, setup);
}

caf::behavior connected_link(link_pointer self, int socket, const link_setup& setup) {
  return start(self, self->add_scribe(socket), setup);
}

} // namespace troupe
