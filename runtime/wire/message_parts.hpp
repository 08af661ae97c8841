// A message taken apart into a protobuf body and raw blocks, and put together again. Which frames carry them is the
// business of frame_writer and frame_reader.
#pragma once

#include "runtime/wire/payload.hpp"
#include "runtime/wire/wire_message.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Names (of parameters, files, programs, hosts) and texts for people are at most so long. Texts are cut to that.
inline constexpr std::size_t longest_name = 1 << 10;
inline constexpr std::size_t longest_text = 64 << 10;

struct message_parts {
  std::string body; ///< proto::MessageBody
  std::deque<block_source> blocks = {};
};

/// Throws protocol_error when a name is too long, and spec_error when a run spec is not UTF-8.
message_parts take_apart(const wire_message& message, wire_precision precision);

/// A message whose blocks are still to be filled, and where to.
struct message_frame {
  wire_message message;
  std::vector<block_sink> sinks; ///< in the order of the blocks; those of empty blocks are left out or empty
};

/// Throws protocol_error when the body is none, of an unknown kind, beyond `limits`, has fields that are not known or
/// values that make no sense; and when its blocks do not add up to `block_bytes`. Allocates blocks only after all that
/// is known of their sizes is checked.
message_frame put_together(std::string_view body, std::uint64_t block_bytes, const wire_limits& limits,
                           wire_precision precision, tensor_pool& pool);

} // namespace troupe
