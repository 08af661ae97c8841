// The bodies of control messages. Only runtime/wire's own .cpp files include this.
#pragma once

#include "runtime/wire/body_fields.hpp"

#include <vector>

namespace google::protobuf {
template <class Element>
class RepeatedPtrField;
}
namespace troupe::proto {
class Parameter;
class Placement;
class StateKey;
} // namespace troupe::proto

namespace troupe {

void encode(const hello& from, body_writer& out);
void encode(const refusal& from, body_writer& out);
void encode(const assignment& from, body_writer& out);
void encode(const assignment_taken& from, body_writer& out);
void encode(const connect_neighbours& from, body_writer& out);
void encode(const neighbours_connected& from, body_writer& out);
void encode(const start_ranks& from, body_writer& out);
void encode(const release& from, body_writer& out);
void encode(const heartbeat& from, body_writer& out);
void encode(const clock_probe& from, body_writer& out);
void encode(const clock_answer& from, body_writer& out);
void encode(const link_lost& from, body_writer& out);
void encode(const worker_warning& from, body_writer& out);
void encode(const layer_part& from, body_writer& out);
void encode(const layer_part_taken& from, body_writer& out);
void encode(const part_written& from, body_writer& out);
void encode(const parameter_request& from, body_writer& out);
void encode(const parameter_answer& from, body_writer& out);
// recovery_body.cpp
void encode(const placement& from, body_writer& out);
void encode(const restart_order& from, body_writer& out);
void encode(const rank_hosted& from, body_writer& out);
void encode(const snapshot_request& from, body_writer& out);
void encode(const snapshot_part& from, body_writer& out);
void encode(const snapshot_kept& from, body_writer& out);
void encode(const rank_lost& from, body_writer& out);
void encode(const recovery_line_message& from, body_writer& out);
void encode(const save_request& from, body_writer& out);
void encode(const held_request& from, body_writer& out);
void encode(const snapshots_held& from, body_writer& out);

void fill(const state_key& from, proto::StateKey& to);
state_key to_key(const proto::StateKey& from);
void fill(const placement& from, proto::Placement& to);
/// Throws protocol_error unless each of its ranks lives in one place, and they are at most `most_ranks`.
placement to_placement(const proto::Placement& from, std::uint32_t most_ranks);
/// A layer's parameters, in a message that has a list of them.
void fill(const layer_snapshot& from, google::protobuf::RepeatedPtrField<proto::Parameter>& to, body_writer& out);
std::vector<parameter_snapshot> parameters_in(const google::protobuf::RepeatedPtrField<proto::Parameter>& from,
                                              const body_reader& in);

/// Throws protocol_error when a value makes no sense.
assignment decode_assignment(const body_reader& in);
/// Of what recovery over workers needs. Throws protocol_error when a value makes no sense.
wire_message decode_recovery(const body_reader& in);
/// Of all other kinds. Throws protocol_error when a value makes no sense, or the kind is none of these.
wire_message decode_control(const body_reader& in);

} // namespace troupe
