#include "runtime/wire/message_parts.hpp"

#include "runtime/wire/control_body.hpp"
#include "runtime/wire/traffic_body.hpp"
#include "runtime/wire/wire.pb.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <array>
#include <limits>

namespace troupe {

namespace {

constexpr std::array names = {
    "hello",
    "refusal",
    "assignment",
    "assignment_taken",
    "connect_neighbours",
    "neighbours_connected",
    "start_ranks",
    "release",
    "heartbeat",
    "clock_probe",
    "clock_answer",
    "link_lost",
    "layer_part",
    "layer_part_taken",
    "part_written",
    "parameter_request",
    "parameter_answer",
    "placement",
    "restart_order",
    "rank_hosted",
    "snapshot_request",
    "snapshot_part",
    "snapshot_kept",
    "rank_lost",
    "recovery_line_message",
    "save_request",
    "held_request",
    "snapshots_held",
    "worker_warning",
    "token_message",
    "target_message",
    "activation_message",
    "gradient_message",
    "group_gradient_message",
    "tied_gradient_message",
    "tied_value_message",
    "step_opening",
    "step_decision",
    "digest_request",
    "rank_ready",
    "credit_message",
    "loss_message",
    "step_report",
    "slice_batch",
    "digest_report",
    "failure_message",
    "send_again",
};
static_assert(names.size() == std::variant_size_v<wire_message>);

/// Protobuf reads over fields that it does not know, and takes numbers in longer forms than it writes. A body that is
/// not as we would write it comes from another program.
void require_known_fields(proto::MessageBody& body, std::size_t bytes) {
  body.DiscardUnknownFields();
  if (body.ByteSizeLong() != bytes)
    throw protocol_error(fmt::format("wire: found a message body of {} bytes, of which {} are known fields, expected "
                                     "nothing else",
                                     bytes, body.ByteSizeLong()));
}

proto::MessageBody parse_body(std::string_view bytes) {
  const google::protobuf::LogSilencer silent; // a peer must not write to our standard error
  proto::MessageBody body;
  if (bytes.size() > std::numeric_limits<int>::max() ||
      !body.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    throw protocol_error(fmt::format(
        "wire: found a message body of {} bytes that is not a protobuf message, expected one", bytes.size()));
  require_known_fields(body, bytes.size());
  if (body.kind_case() == proto::MessageBody::KIND_NOT_SET)
    throw protocol_error("wire: found a message of unknown kind, expected one of protocol version " +
                         std::to_string(wire_protocol));
  return body;
}

std::vector<std::vector<std::uint64_t>> extents_of(const proto::MessageBody& body) {
  std::vector<std::vector<std::uint64_t>> extents;
  for (const proto::Block& one : body.blocks())
    extents.emplace_back(one.extents().begin(), one.extents().end());
  return extents;
}

wire_message decode(const body_reader& in) {
  if (in.body.kind_case() == proto::MessageBody::kAssignment)
    return decode_assignment(in);
  return in.body.kind_case() < proto::MessageBody::kToken ? decode_control(in) : decode_traffic(in);
}

} // namespace

const char* name_of(const wire_message& message) {
  return names[message.index()]; // NOLINT(*-constant-array-index): as many names as kinds
}

wire_lane lane_of(const wire_message& message) {
  return std::holds_alternative<snapshot_part>(message) ? wire_lane::background : wire_lane::traffic;
}

message_parts take_apart(const wire_message& message, wire_precision precision) {
  message_parts parts;
  proto::MessageBody body;
  body_writer out(body, parts.blocks, precision);
  std::visit([&](const auto& one) { encode(one, out); }, message);
  for (const block_source& one : parts.blocks)
    body.add_blocks()->mutable_extents()->Add(one.extents().begin(), one.extents().end());
  TROUPE_CHECK(body.SerializeToString(&parts.body), "a body is smaller than 2 GiB");
  return parts;
}

message_frame put_together(std::string_view body, std::uint64_t block_bytes, const wire_limits& limits,
                           wire_precision precision, tensor_pool& pool) {
  const proto::MessageBody parsed = parse_body(body);
  const bool passes = parsed.has_activation() || parsed.has_gradient();
  // Of what only checkpoints bring no memory is kept: it would be as much as a layer's, for each connection. Snapshots
  // come after every step.
  tensor_pool once;
  const bool seldom = parsed.has_layer_part() || parsed.has_parameter_answer();
  incoming_blocks blocks(extents_of(parsed), block_bytes, limits, passes ? precision : wire_precision::fp32,
                         seldom ? once : pool);
  wire_message message = decode({parsed, limits, blocks});
  return {std::move(message), std::move(blocks).sinks()};
}

const std::string& bounded(const std::string& found, std::size_t most, const char* what) {
  if (found.size() > most)
    throw protocol_error(fmt::format("wire: found {} of {} bytes, expected at most {}", what, found.size(), most));
  return found;
}

void refuse_choice(std::uint64_t found, std::uint64_t last, const char* what) {
  throw protocol_error(fmt::format("wire: found {} as {}, expected 0 to {}", found, what, last));
}

std::uint64_t index_in(std::uint64_t found, std::uint32_t limit, const char* what) {
  if (found >= limit)
    throw protocol_error(
        limit == 0 ? fmt::format("wire: found {} {}, expected no {} before a run is assigned", what, found, what)
                   : fmt::format("wire: found {} {}, expected one below {}", what, found, limit));
  return found;
}

} // namespace troupe
