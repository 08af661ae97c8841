#include "runtime/wire/frame_reader.hpp"

#include "model/error.hpp"
#include "runtime/wire/crc32c.hpp"
#include "runtime/wire/frame_format.hpp"
#include "runtime/wire/message_parts.hpp"
#include "runtime/wire/wire.pb.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

namespace {

using piece = std::span<const std::byte>;

/// What is checked and copied in one go, so that it is still in the cache for the second of the two.
constexpr std::size_t checked_at_once = 64 << 10;

/// A message of which the first frame's head has come.
struct open_message {
  std::uint64_t record_bytes = 0;
  std::uint64_t block_bytes = 0;
  std::uint64_t read = 0;                  ///< of the payload
  std::string body = {};                   ///< from the head, or the record as far as it has come
  std::optional<message_frame> frame = {}; ///< once the body is whole
  std::size_t sink = 0;                    ///< the first that misses bytes

  std::uint64_t payload_bytes() const { return record_bytes + block_bytes; }
};

struct lane_state {
  std::uint64_t next_sequence = 0;
  std::optional<open_message> message = {};
};

void require_crc(std::uint32_t found, std::uint32_t expected, const char* of) {
  if (found != expected)
    throw protocol_error(fmt::format(
        "wire: damaged: found a {} with CRC32C {:08x}, expected {:08x}, which its frame says", of, found, expected));
}

proto::FrameHead parse_head(piece bytes) {
  proto::FrameHead head;
  const bool parsed = head.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  head.DiscardUnknownFields();
  if (!parsed || head.ByteSizeLong() != bytes.size())
    throw protocol_error(
        fmt::format("wire: found a frame's head of {} bytes that is none of protocol version {}, expected one",
                    bytes.size(), unsigned{wire_protocol}));
  return head;
}

} // namespace

struct frame_reader::state {
  wire_limits limits;
  wire_precision precision;
  bool failed = false;

  std::vector<std::byte> head = {}; ///< the frame's prefix and head, as far as they have come
  std::optional<frame_prefix> prefix = {};
  bool in_payload = false;
  std::uint32_t payload_left = 0; ///< of the frame
  std::uint32_t payload_crc = 0;  ///< of what has come

  std::array<lane_state, wire_lanes> lanes = {};
  lane_state* lane = nullptr; ///< of the frame whose payload is read
  std::unique_ptr<tensor_pool> pool = std::make_unique<tensor_pool>();

  /// Takes what is at the front of `bytes` and belongs together.
  void read_some(piece& bytes, const std::function<void(wire_message&&)>& deliver);
  /// True when `head` has `wanted` bytes.
  bool collect(piece& bytes, std::size_t wanted);
  void open_frame();
  lane_state& lane_named(std::uint32_t number);
  void open_message_of(const proto::FrameHead& frame);
  void require_next(const proto::FrameHead& frame) const;
  void read_payload(piece& bytes);
  void close_frame(const std::function<void(wire_message&&)>& deliver);
  void fill_blocks(piece bytes) const;
  void settle_body();
  void shrink_pool();
};

bool frame_reader::state::collect(piece& bytes, std::size_t wanted) {
  const piece taken = bytes.first(std::min(bytes.size(), wanted - head.size()));
  head.insert(head.end(), taken.begin(), taken.end());
  bytes = bytes.subspan(taken.size());
  return head.size() == wanted;
}

void frame_reader::state::read_some(piece& bytes, const std::function<void(wire_message&&)>& deliver) {
  if (!prefix) {
    if (collect(bytes, frame_prefix::bytes))
      prefix = parse_prefix(piece(head).first<frame_prefix::bytes>());
    return;
  }
  if (in_payload)
    read_payload(bytes);
  else if (collect(bytes, frame_prefix::bytes + prefix->head_bytes))
    open_frame();
  if (in_payload && payload_left == 0)
    close_frame(deliver);
}

/// Nothing that a head says is believed before its checksum is right.
void frame_reader::state::open_frame() {
  require_crc(crc_of_head(head), prefix->head_crc, "head");
  const proto::FrameHead frame = parse_head(piece(head).subspan(frame_prefix::bytes));
  lane = &lane_named(frame.lane());
  require_next(frame);
  std::optional<open_message>& message = lane->message;
  if (!message)
    open_message_of(frame);
  const std::uint64_t expected = payload_of_next_frame(message->record_bytes, message->block_bytes, message->read);
  if (prefix->payload_bytes != expected)
    throw protocol_error(
        fmt::format("wire: found a frame's payload of {} bytes, expected {}, the next of the message's {}",
                    prefix->payload_bytes, expected, message->payload_bytes()));
  in_payload = true;
  payload_left = prefix->payload_bytes;
  payload_crc = 0;
  if (message->record_bytes == 0 && !message->frame)
    settle_body();
}

lane_state& frame_reader::state::lane_named(std::uint32_t number) {
  if (number >= lanes.size())
    throw protocol_error(fmt::format("wire: found a frame of lane {}, expected one below {}", number, lanes.size()));
  return lanes[number];
}

void frame_reader::state::require_next(const proto::FrameHead& frame) const {
  const std::uint64_t next_sequence = lane->next_sequence;
  const std::optional<open_message>& message = lane->message;
  if (frame.sequence() != next_sequence)
    throw protocol_error(
        fmt::format("wire: found a frame of message {}, expected one of message {}", frame.sequence(), next_sequence));
  const std::uint64_t offset = message ? message->read : 0;
  if (frame.offset() != offset)
    throw protocol_error(fmt::format("wire: found a frame at byte {} of message {}, expected one at byte {}",
                                     frame.offset(), next_sequence, offset));
  if (frame.has_start() == message.has_value())
    throw protocol_error(fmt::format("wire: found {} of message {}, expected {}",
                                     message ? "a second start" : "a frame before the start", next_sequence,
                                     message ? "the rest of it" : "its start"));
}

void frame_reader::state::open_message_of(const proto::FrameHead& frame) {
  const proto::MessageStart& start = frame.start();
  if (start.record_bytes() > limits.record_bytes)
    throw protocol_error(fmt::format("wire: found a message with a record of {} bytes, expected at most {}",
                                     start.record_bytes(), limits.record_bytes));
  if (start.block_bytes() > limits.message_bytes)
    throw protocol_error(fmt::format("wire: found a message with {} bytes of tensors, expected at most {}",
                                     start.block_bytes(), limits.message_bytes));
  if (start.record_bytes() > 0 && !start.body().empty())
    throw protocol_error("wire: found a message with a body in its head and a record, expected one of the two");
  lane->message =
      open_message{.record_bytes = start.record_bytes(), .block_bytes = start.block_bytes(), .body = start.body()};
}

/// Memory for the blocks is taken here, after the checksum of every byte of the body.
void frame_reader::state::settle_body() {
  shrink_pool();
  open_message& message = *lane->message;
  message.frame = put_together(message.body, message.block_bytes, limits, precision, *pool);
  message.body = {};
  if (&lanes[static_cast<std::size_t>(lane_of(message.frame->message))] != lane)
    throw protocol_error(fmt::format("wire: found {} in lane {}, expected it in the other",
                                     name_of(message.frame->message), lane - lanes.data()));
}

/// A peer could send tensors of ever other sizes, and the pool would keep memory for each. Of what is held by others,
/// such as the snapshots of one generation, as much again may soon be of use.
void frame_reader::state::shrink_pool() {
  const pool_statistics used = pool->statistics();
  if (used.bytes_reserved - used.bytes_in_use > used.bytes_in_use + 2 * limits.message_bytes)
    pool = std::make_unique<tensor_pool>();
}

void frame_reader::state::read_payload(piece& bytes) {
  const piece taken = bytes.first(std::min({bytes.size(), std::size_t{payload_left}, checked_at_once}));
  payload_crc = crc32c(taken, payload_crc);
  open_message& message = *lane->message;
  if (message.frame)
    fill_blocks(taken);
  else
    message.body.append(reinterpret_cast<const char*>(taken.data()), // NOLINT(*-reinterpret-cast): bytes are bytes
                        taken.size());
  message.read += taken.size();
  payload_left -= static_cast<std::uint32_t>(taken.size());
  bytes = bytes.subspan(taken.size());
}

void frame_reader::state::fill_blocks(piece bytes) const {
  open_message& message = *lane->message;
  while (!bytes.empty()) {
    block_sink& sink = message.frame->sinks[message.sink];
    const piece taken = bytes.first(std::min<std::uint64_t>(bytes.size(), sink.missing()));
    sink.write(taken);
    bytes = bytes.subspan(taken.size());
    if (sink.missing() == 0)
      ++message.sink;
  }
}

void frame_reader::state::close_frame(const std::function<void(wire_message&&)>& deliver) {
  require_crc(payload_crc, prefix->payload_crc, "payload");
  prefix.reset();
  head.clear();
  in_payload = false;
  std::optional<open_message>& message = lane->message;
  if (!message->frame && message->read == message->record_bytes)
    settle_body();
  if (message->read < message->payload_bytes())
    return;
  wire_message whole = std::move(message->frame->message);
  message.reset();
  ++lane->next_sequence;
  deliver(std::move(whole));
}

frame_reader::frame_reader(const wire_limits& limits, wire_precision precision)
    : state_(std::make_unique<state>(state{.limits = limits, .precision = precision})) {}
frame_reader::frame_reader(frame_reader&&) noexcept = default;
frame_reader& frame_reader::operator=(frame_reader&&) noexcept = default;
frame_reader::~frame_reader() = default;

void frame_reader::set_limits(const wire_limits& limits) {
  state_->limits = limits;
}

void frame_reader::set_precision(wire_precision precision) {
  state_->precision = precision;
}

void frame_reader::read(std::span<const std::byte> bytes, const std::function<void(wire_message&&)>& deliver) {
  if (std::exchange(state_->failed, true))
    throw protocol_error("wire: found more bytes after an error, expected the connection to end");
  while (!bytes.empty())
    state_->read_some(bytes, deliver);
  state_->failed = false;
}

} // namespace troupe
