// frame_writer: messages in, frames out, one at a time, the background's only when nothing else waits. Tensors wait as
// handles; their bytes are copied once, into the frame. docs/wire.md describes the frame.
#pragma once

#include "runtime/wire/payload.hpp"
#include "runtime/wire/wire_message.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace troupe {

class frame_writer {
public:
  explicit frame_writer(wire_precision precision = wire_precision::fp32) : precision_(precision) {}

  /// Of the messages put from now on.
  void set_precision(wire_precision precision) { precision_ = precision; }

  /// Queues the message behind the others of its lane. The queue has no bound of its own: the traffic's credit bounds
  /// it, and waiting_bytes tells. Texts over 64 KiB are cut. Throws protocol_error when a name is longer than 1 KiB,
  /// and spec_error when an assignment's spec is not UTF-8.
  void put(const wire_message& message);

  bool empty() const { return !has_traffic() && lane(wire_lane::background).waiting.empty(); }
  /// Whether the next frame is one of the traffic, which goes first.
  bool has_traffic() const { return !lane(wire_lane::traffic).waiting.empty(); }
  /// Appends the next frame, of at most largest_frame bytes. Only when not empty.
  void write_next(std::vector<char>& out);
  /// Bytes of all messages that are not written yet, without the frames' prefixes and the like.
  std::uint64_t waiting_bytes() const { return waiting_bytes_; }

private:
  /// The message at the front may be written in part.
  struct waiting_message {
    std::string body;               ///< see message_parts
    std::uint64_t record_bytes = 0; ///< all of the body, or 0: it goes into the first frame's head
    std::uint64_t block_bytes = 0;
    std::uint64_t written = 0; ///< of the payload
    std::deque<block_source> blocks = {};
    std::uint64_t block_written = 0; ///< of the front block
    std::uint64_t payload_bytes() const { return record_bytes + block_bytes; }
  };
  struct lane_state {
    std::deque<waiting_message> waiting = {};
    std::uint64_t next_sequence = 0;
  };
  static void append_payload(waiting_message& from, std::uint64_t bytes, std::vector<char>& out);
  lane_state& lane(wire_lane which) { return lanes_[static_cast<std::size_t>(which)]; }
  const lane_state& lane(wire_lane which) const { return lanes_[static_cast<std::size_t>(which)]; }

  wire_precision precision_;
  std::array<lane_state, wire_lanes> lanes_;
  std::uint64_t waiting_bytes_ = 0;
};

} // namespace troupe
