// Everything that crosses a connection, as one type; and what a reader lets a peer ask of it.
#pragma once

#include "runtime/traffic.hpp"
#include "runtime/wire/control.hpp"

#include <cstddef>
#include <cstdint>
#include <variant>

namespace troupe {

/// Changes with any change of the format, so that two programs either understand each other wholly or not at all.
inline constexpr std::uint8_t wire_protocol = 7;

using wire_message =
    std::variant<hello, refusal, assignment, assignment_taken, connect_neighbours, neighbours_connected, start_ranks,
                 release, heartbeat, clock_probe, clock_answer, link_lost, layer_part, layer_part_taken, part_written,
                 parameter_request, parameter_answer, placement, restart_order, rank_hosted, snapshot_request,
                 snapshot_part, snapshot_kept, rank_lost, recovery_line_message, save_request, held_request,
                 snapshots_held, worker_warning, token_message, target_message, activation_message, gradient_message,
                 group_gradient_message, tied_gradient_message, tied_value_message, step_opening, step_decision,
                 digest_request, rank_ready, credit_message, loss_message, step_report, slice_batch, digest_report,
                 failure_message, send_again>;

/// "activation_message"; for messages about messages.
const char* name_of(const wire_message& message);

/// Messages of one lane arrive in the order in which they were sent. Those of the background are large and nobody waits
/// for them: they leave while there is nothing else to send, and what comes overtakes them between two frames.
enum class wire_lane : std::uint8_t { traffic, background };
inline constexpr std::size_t wire_lanes = 2;

wire_lane lane_of(const wire_message& message);

/// What a reader accepts of one message; no more than the run needs, as a peer can make us hold this much.
struct wire_limits {
  std::uint64_t message_bytes = 0; ///< of its tensors and tokens, as they lie in memory
  std::uint64_t tensors = 0;       ///< their number, blocks of tokens included
  /// Of what does not fit into a frame's head: long lists, such as a schedule. Lists made of nothing but empty entries
  /// take up to about 40 times as much when they are decoded.
  std::uint64_t record_bytes = 0;
  /// Indexes of workers, ranks, stages and layers must be below these. Those inside a hello are the receiver's to
  /// check, those of an assignment are checked against its own plan.
  std::uint32_t workers = 0;
  std::uint32_t ranks = 0;
  std::uint32_t stages = 0;
  std::uint32_t layers = 0;
};

/// Of one run, those that were lost among them.
inline constexpr std::uint32_t most_workers = 65536;

/// Before the peer has said who it is: a hello or a refusal.
inline constexpr wire_limits limits_before_hello{.record_bytes = std::uint64_t{128} << 10};
/// Until a run is assigned: an assignment of up to `record_bytes`.
inline constexpr wire_limits limits_before_assignment{.record_bytes = std::uint64_t{64} << 20};

} // namespace troupe
