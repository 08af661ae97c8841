#include "runtime/wire/frame_writer.hpp"

#include "model/error.hpp"
#include "runtime/wire/crc32c.hpp"
#include "runtime/wire/frame_format.hpp"
#include "runtime/wire/message_parts.hpp"
#include "runtime/wire/wire.pb.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

namespace troupe {

namespace {

/// Where memory runs out, `out` ends with a whole frame.
void make_room(std::vector<char>& out, std::uint64_t bytes) {
  if (out.capacity() - out.size() < bytes)
    out.reserve(std::max(out.size() + bytes, 2 * out.capacity()));
}

} // namespace

void frame_writer::put(const wire_message& message) {
  message_parts parts = take_apart(message, precision_);
  waiting_message& waiting = lane(lane_of(message)).waiting.emplace_back();
  waiting.record_bytes = parts.body.size() > largest_body_in_head ? parts.body.size() : 0;
  waiting.body = std::move(parts.body);
  waiting.blocks = std::move(parts.blocks);
  for (const block_source& one : waiting.blocks)
    waiting.block_bytes += one.bytes();
  waiting_bytes_ += waiting.payload_bytes();
}

void frame_writer::write_next(std::vector<char>& out) {
  TROUPE_CHECK(!empty(), "there is something to write");
  const wire_lane which = has_traffic() ? wire_lane::traffic : wire_lane::background;
  lane_state& from = lane(which);
  waiting_message& message = from.waiting.front();
  proto::FrameHead head;
  head.set_lane(static_cast<std::uint32_t>(which));
  head.set_sequence(from.next_sequence);
  head.set_offset(message.written);
  if (message.written == 0) {
    head.mutable_start()->set_record_bytes(message.record_bytes);
    head.mutable_start()->set_block_bytes(message.block_bytes);
    if (message.record_bytes == 0)
      head.mutable_start()->set_body(message.body);
  }
  const std::string head_bytes = head.SerializeAsString();
  const std::uint64_t payload = payload_of_next_frame(message.record_bytes, message.block_bytes, message.written);

  // The prefix holds the payload's CRC, so it is written last.
  const std::size_t start = out.size();
  make_room(out, frame_prefix::bytes + head_bytes.size() + payload);
  out.resize(start + frame_prefix::bytes);
  out.insert(out.end(), head_bytes.begin(), head_bytes.end());
  const std::size_t payload_start = out.size();
  append_payload(message, payload, out);
  const auto prefix = to_bytes({.head_bytes = static_cast<std::uint32_t>(head_bytes.size()),
                                .payload_bytes = static_cast<std::uint32_t>(payload),
                                .payload_crc = crc32c(std::as_bytes(std::span(out).subspan(payload_start)))},
                               std::as_bytes(std::span(head_bytes)));
  std::memcpy(out.data() + start, prefix.data(), prefix.size());

  message.written += payload;
  waiting_bytes_ -= payload;
  if (message.written == message.payload_bytes()) {
    from.waiting.pop_front();
    ++from.next_sequence;
  }
}

void frame_writer::append_payload(waiting_message& from, std::uint64_t bytes, std::vector<char>& out) {
  if (from.written < from.record_bytes) {
    const char* const start = from.body.data() + from.written;
    out.insert(out.end(), start, start + bytes);
    return;
  }
  for (std::uint64_t left = bytes; left > 0;) {
    const block_source& front = from.blocks.front();
    const std::uint64_t now = std::min<std::uint64_t>(front.bytes() - from.block_written, left);
    front.append(from.block_written, now, out);
    left -= now;
    from.block_written += now;
    if (from.block_written == front.bytes()) {
      from.blocks.pop_front();
      from.block_written = 0;
    }
  }
}

} // namespace troupe
