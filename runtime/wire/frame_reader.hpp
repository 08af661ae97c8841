// frame_reader: bytes in, in whatever pieces they come, whole messages out. Trusts nothing that it reads: memory is
// bounded by wire_limits, and a message is delivered only when all its checksums are right.
#pragma once

#include "runtime/wire/wire_message.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

namespace troupe {

class frame_reader {
public:
  explicit frame_reader(const wire_limits& limits, wire_precision precision = wire_precision::fp32);
  frame_reader(const frame_reader&) = delete;
  frame_reader& operator=(const frame_reader&) = delete;
  frame_reader(frame_reader&&) noexcept;
  frame_reader& operator=(frame_reader&&) noexcept;
  ~frame_reader();

  /// Both hold for what is read from now on; `deliver` may call them, and it is best done there, between two messages.
  void set_limits(const wire_limits& limits);
  void set_precision(wire_precision precision);

  /// Calls `deliver` with each message that `bytes` complete. Throws protocol_error, one line with what was found and
  /// what was expected, when the bytes are not what a frame_writer writes or exceed the limits; lets through what
  /// `deliver` throws. After either it reads no more: every later call throws protocol_error.
  void read(std::span<const std::byte> bytes, const std::function<void(wire_message&&)>& deliver);

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace troupe
