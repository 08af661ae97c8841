// frame_writer: messages in, frames out, one at a time. Tensors wait as handles; their bytes are copied once, into the
// frame. docs/wire.md describes the frame.
#pragma once

#include "runtime/wire/wire_message.hpp"

#include <cstdint>
#include <deque>
#include <vector>

namespace troupe {

struct outgoing_message;

class frame_writer {
public:
  explicit frame_writer(wire_precision precision = wire_precision::fp32);
  frame_writer(frame_writer&&) noexcept;
  frame_writer& operator=(frame_writer&&) noexcept;
  ~frame_writer();

  /// Of the messages put from now on.
  void set_precision(wire_precision precision) { precision_ = precision; }

  /// Queues the message behind the others. The queue has no bound of its own: the traffic's credit bounds it, and
  /// waiting_bytes tells. Throws protocol_error when a name is longer than 1 KiB (texts over 64 KiB are cut).
  void put(const wire_message& message);

  bool empty() const { return waiting_.empty(); }
  /// Appends the next frame, at most 1 MiB and 64 KiB long. Only when not empty.
  void write_next(std::vector<char>& out);
  /// Bytes of all messages that are not written yet, without the frames' prefixes and the like.
  std::uint64_t waiting_bytes() const { return waiting_bytes_; }

private:
  wire_precision precision_;
  std::deque<outgoing_message> waiting_;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t waiting_bytes_ = 0;
};

} // namespace troupe
