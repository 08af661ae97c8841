// The bodies of the messages of a running pipeline. Only runtime/wire's own .cpp files include this.
#pragma once

#include "runtime/wire/body_fields.hpp"

namespace troupe::proto {
class Usage;
}

namespace troupe {

rank_usage to_usage(const proto::Usage& from);
void fill(const rank_usage& from, proto::Usage& to);

void encode(const token_message& from, body_writer& out);
void encode(const target_message& from, body_writer& out);
void encode(const activation_message& from, body_writer& out);
void encode(const gradient_message& from, body_writer& out);
void encode(const group_gradient_message& from, body_writer& out);
void encode(const tied_gradient_message& from, body_writer& out);
void encode(const tied_value_message& from, body_writer& out);
void encode(const step_opening& from, body_writer& out);
void encode(const step_decision& from, body_writer& out);
void encode(const digest_request& from, body_writer& out);
void encode(const rank_ready& from, body_writer& out);
void encode(const credit_message& from, body_writer& out);
void encode(const loss_message& from, body_writer& out);
void encode(const step_report& from, body_writer& out);
void encode(const slice_batch& from, body_writer& out);
void encode(const digest_report& from, body_writer& out);
void encode(const failure_message& from, body_writer& out);
void encode(const send_again& from, body_writer& out);

/// Throws protocol_error when a value makes no sense, or the kind is none of these.
wire_message decode_traffic(const body_reader& in);

} // namespace troupe
