// The bodies of control messages. Only runtime/wire's own .cpp files include this.
#pragma once

#include "runtime/wire/body_fields.hpp"

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
void encode(const layer_part& from, body_writer& out);
void encode(const layer_part_taken& from, body_writer& out);
void encode(const part_written& from, body_writer& out);
void encode(const parameter_request& from, body_writer& out);
void encode(const parameter_answer& from, body_writer& out);

/// Throws protocol_error when a value makes no sense.
assignment decode_assignment(const body_reader& in);
/// Of all other kinds. Throws protocol_error when a value makes no sense, or the kind is none of these.
wire_message decode_control(const body_reader& in);

} // namespace troupe
