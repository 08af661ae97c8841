#include "runtime/wire/traffic_body.hpp"

#include "runtime/wire/plan_proto.hpp"
#include "runtime/wire/wire.pb.h"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

rank_usage to_usage(const proto::Usage& from) {
  return {.busy_seconds = from.busy_seconds(),
          .peak_stash_microbatches = from.peak_stash_microbatches(),
          .peak_stash_bytes = from.peak_stash_bytes(),
          .recomputed_microbatches = from.recomputed_microbatches(),
          .forward_passes = from.forward_passes(),
          .replayed_passes = from.replayed_passes(),
          .peak_outbox_bytes = from.peak_outbox_bytes()};
}

void fill(const rank_usage& from, proto::Usage& to) {
  to.set_busy_seconds(from.busy_seconds);
  to.set_peak_stash_microbatches(from.peak_stash_microbatches);
  to.set_peak_stash_bytes(from.peak_stash_bytes);
  to.set_recomputed_microbatches(from.recomputed_microbatches);
  to.set_forward_passes(from.forward_passes);
  to.set_replayed_passes(from.replayed_passes);
  to.set_peak_outbox_bytes(from.peak_outbox_bytes);
}

namespace {

using body_kind = proto::MessageBody;

void fill(const route& from, proto::Route& to) {
  to.set_source_rank(from.source_rank);
  to.set_target_rank(from.target_rank);
  to.set_source_incarnation(from.source_incarnation);
  to.set_target_incarnation(from.target_incarnation);
}

route route_in(const proto::Route& from, const body_reader& in) {
  return {.source_rank = rank_in(from.source_rank(), in),
          .target_rank = rank_in(from.target_rank(), in),
          .source_incarnation = from.source_incarnation(),
          .target_incarnation = from.target_incarnation()};
}

void fill(const step_id& from, proto::Step& to) {
  to.set_step(from.step);
  to.set_mode(static_cast<std::uint32_t>(from.mode));
}

step_id step_in(const proto::Step& from) {
  return {from.step(), choice_in(from.mode(), pass_mode::evaluate, "mode of a step")};
}

/// Tokens or targets.
template <class Message>
void fill(const Message& from, proto::MicrobatchOrder& to) {
  to.set_target_incarnation(from.target_incarnation);
  fill(from.at, *to.mutable_at());
  to.set_microbatch(from.microbatch);
  to.set_target_rank(from.target_rank);
}

template <class Message>
Message order_in(const proto::MicrobatchOrder& from, const body_reader& in) {
  return {from.target_incarnation(), step_in(from.at()), from.microbatch(), in.blocks.take_tokens(),
          rank_in(from.target_rank(), in)};
}

/// Activations or their gradients.
template <class Message>
void fill(const Message& from, proto::StageMessage& to, body_writer& out) {
  fill(from.via, *to.mutable_via());
  fill(from.at, *to.mutable_at());
  to.set_stage(from.stage);
  to.set_microbatch(from.microbatch);
  out.add(from.values, out.precision());
}

template <class Message>
Message pass_in(const proto::StageMessage& from, const body_reader& in) {
  Message message;
  message.via = route_in(from.via(), in);
  message.at = step_in(from.at());
  message.stage = stage_in(from.stage(), in);
  message.microbatch = from.microbatch();
  message.values = in.blocks.take_tensor();
  return message;
}

gradient_message to_gradient(const proto::StageMessage& from, const body_reader& in) {
  auto message = pass_in<gradient_message>(from, in);
  message.poisoned = from.poisoned();
  return message;
}

/// Of all messages in this form but gradients.
const proto::StageMessage& unpoisoned(const proto::StageMessage& message) {
  if (message.poisoned())
    throw protocol_error("wire: found a message marked as poisoned, expected that of gradients alone");
  return message;
}

template <class Message>
void fill(const Message& from, proto::TiedMessage& to, body_writer& out) {
  fill(from.via, *to.mutable_via());
  fill(from.at, *to.mutable_at());
  out.add(from.values);
}

template <class Message>
Message tied_in(const proto::TiedMessage& from, const body_reader& in) {
  return {.via = route_in(from.via(), in), .at = step_in(from.at()), .values = in.blocks.take_tensor()};
}

template <class Message>
void fill(const Message& from, proto::Credit& to) {
  to.set_rank(from.rank);
  to.set_source_incarnation(from.source_incarnation);
  to.set_tokens(from.credit.tokens);
  to.set_targets(from.credit.targets);
}

template <class Message>
Message credit_in(const proto::Credit& from, const body_reader& in) {
  return {rank_in(from.rank(), in), from.source_incarnation(), {from.tokens(), from.targets()}};
}

group_gradient_message to_group_gradient(const proto::StageMessage& from, const body_reader& in) {
  if (from.microbatch() != 0)
    throw protocol_error(
        fmt::format("wire: found a group's gradients with microbatch {}, expected none", from.microbatch()));
  group_gradient_message message{
      .via = route_in(from.via(), in), .at = step_in(from.at()), .stage = stage_in(from.stage(), in), .values = {}};
  while (in.blocks.left() > 0)
    message.values.push_back(in.blocks.take_tensor());
  return message;
}

step_report to_report(const proto::StepReport& from, const body_reader& in) {
  step_report report{.rank = rank_in(from.rank(), in),
                     .source_incarnation = from.source_incarnation(),
                     .at = step_in(from.at()),
                     .squares = {},
                     .usage = to_usage(from.usage()),
                     .sightings = {}};
  for (const proto::Sighting& one : from.sightings())
    report.sightings.push_back({choice_in(one.source(), poison_source::gradients, "source of a sighting"),
                                one.microbatch(), layer_in(one.layer(), in)});
  for (const proto::StageSquares& one : from.squares())
    report.squares.push_back({stage_in(one.stage(), in), {one.squares().begin(), one.squares().end()}});
  return report;
}

slice_batch to_slices(const proto::SliceBatch& from, const body_reader& in) {
  slice_batch batch{.rank = rank_in(from.rank(), in), .at = step_in(from.at()), .slices = {}};
  const std::vector<action> actions = to_actions(from.actions());
  if (static_cast<std::size_t>(from.times().size()) != 2 * actions.size())
    throw protocol_error(
        fmt::format("wire: found {} times of {} actions, expected two each", from.times().size(), actions.size()));
  for (const action& one : actions) {
    const int place = 2 * static_cast<int>(batch.slices.size());
    stage_in(one.stage, in);
    batch.slices.push_back({one, from.times(place), from.times(place + 1)});
  }
  return batch;
}

template <class Digests>
void fill(const std::vector<layer_digests>& from, Digests& to) {
  for (const layer_digests& layer : from) {
    proto::LayerDigests& out = *to.Add();
    out.set_layer(static_cast<std::uint64_t>(layer.layer));
    for (const parameter_digest& one : layer.parameters) {
      proto::ParameterDigest& parameter = *out.add_parameters();
      parameter.set_name(name_in(one.name, "the name of a parameter"));
      parameter.set_weights({one.weights.begin(), one.weights.end()});
      parameter.set_state({one.state.begin(), one.state.end()});
    }
  }
}

void copy_hash(const std::string& from, std::array<std::uint8_t, 32>& to) {
  if (from.size() != to.size())
    throw protocol_error(fmt::format("wire: found a hash of {} bytes, expected {}", from.size(), to.size()));
  std::ranges::copy(from, to.begin());
}

template <class Digests>
std::vector<layer_digests> digests_in(const Digests& from, const body_reader& in) {
  std::vector<layer_digests> layers;
  for (const proto::LayerDigests& layer : from) {
    layer_digests& to = layers.emplace_back();
    to.layer = layer_in(layer.layer(), in);
    for (const proto::ParameterDigest& one : layer.parameters()) {
      parameter_digest& parameter = to.parameters.emplace_back();
      parameter.name = name_in(one.name(), "the name of a parameter");
      copy_hash(one.weights(), parameter.weights);
      copy_hash(one.state(), parameter.state);
    }
  }
  return layers;
}

step_decision to_decision(const proto::StepDecision& from, const body_reader& in) {
  return {.target_incarnation = from.target_incarnation(),
          .at = step_in(from.at()),
          .gradient_scale = from.gradient_scale(),
          .learning_rate = from.learning_rate(),
          .snapshot = choice_in(from.snapshot(), take_snapshot::to_checkpoint, "order to take a snapshot"),
          .target_rank = rank_in(from.target_rank(), in),
          .verdict = choice_in(from.verdict(), step_verdict::give_up, "verdict on a step"),
          .recovery_line = from.recovery_line()};
}

} // namespace

void encode(const token_message& from, body_writer& out) {
  fill(from, *out.body().mutable_token());
  out.add(from.tokens);
}
void encode(const target_message& from, body_writer& out) {
  fill(from, *out.body().mutable_target());
  out.add(from.targets);
}
void encode(const activation_message& from, body_writer& out) {
  fill(from, *out.body().mutable_activation(), out);
}
void encode(const gradient_message& from, body_writer& out) {
  fill(from, *out.body().mutable_gradient(), out);
  out.body().mutable_gradient()->set_poisoned(from.poisoned);
}
void encode(const tied_gradient_message& from, body_writer& out) {
  fill(from, *out.body().mutable_tied_gradient(), out);
}
void encode(const tied_value_message& from, body_writer& out) {
  fill(from, *out.body().mutable_tied_value(), out);
}
void encode(const rank_ready& from, body_writer& out) {
  fill(from, *out.body().mutable_rank_ready());
  out.body().mutable_rank_ready()->set_steps_done(from.steps_done);
}
void encode(const credit_message& from, body_writer& out) {
  fill(from, *out.body().mutable_credit());
}

void encode(const group_gradient_message& from, body_writer& out) {
  proto::StageMessage& to = *out.body().mutable_group_gradient();
  fill(from.via, *to.mutable_via());
  fill(from.at, *to.mutable_at());
  to.set_stage(from.stage);
  for (const tensor& one : from.values)
    out.add(one);
}

void encode(const step_opening& from, body_writer& out) {
  proto::StepOpening& to = *out.body().mutable_step_opening();
  to.set_target_incarnation(from.target_incarnation);
  fill(from.at, *to.mutable_at());
  to.set_end(static_cast<std::uint32_t>(from.end));
  to.set_target_rank(from.target_rank);
  to.set_recovery_line(from.recovery_line);
}

void encode(const step_decision& from, body_writer& out) {
  proto::StepDecision& to = *out.body().mutable_step_decision();
  to.set_target_incarnation(from.target_incarnation);
  fill(from.at, *to.mutable_at());
  to.set_gradient_scale(from.gradient_scale);
  to.set_learning_rate(from.learning_rate);
  to.set_snapshot(static_cast<std::uint32_t>(from.snapshot));
  to.set_target_rank(from.target_rank);
  to.set_recovery_line(from.recovery_line);
  to.set_verdict(static_cast<std::uint32_t>(from.verdict));
}

void encode(const digest_request& from, body_writer& out) {
  proto::DigestRequest& to = *out.body().mutable_digest_request();
  to.set_target_incarnation(from.target_incarnation);
  to.set_steps_done(from.steps_done);
  to.set_target_rank(from.target_rank);
}

void encode(const loss_message& from, body_writer& out) {
  proto::Loss& to = *out.body().mutable_loss();
  to.set_rank(from.rank);
  to.set_source_incarnation(from.source_incarnation);
  fill(from.at, *to.mutable_at());
  to.set_microbatch(from.microbatch);
  to.set_loss(from.loss);
}

void encode(const step_report& from, body_writer& out) {
  proto::StepReport& to = *out.body().mutable_step_report();
  to.set_rank(from.rank);
  to.set_source_incarnation(from.source_incarnation);
  fill(from.at, *to.mutable_at());
  for (const stage_squares& one : from.squares) {
    proto::StageSquares& squares = *to.add_squares();
    squares.set_stage(one.stage);
    squares.mutable_squares()->Add(one.squares.begin(), one.squares.end());
  }
  fill(from.usage, *to.mutable_usage());
  for (const poison_sighting& one : from.sightings) {
    proto::Sighting& sighting = *to.add_sightings();
    sighting.set_source(static_cast<std::uint32_t>(one.source));
    sighting.set_microbatch(one.microbatch);
    sighting.set_layer(static_cast<std::uint64_t>(one.layer));
  }
}

void encode(const slice_batch& from, body_writer& out) {
  proto::SliceBatch& to = *out.body().mutable_slice_batch();
  to.set_rank(from.rank);
  fill(from.at, *to.mutable_at());
  for (const action_slice& one : from.slices) {
    append_action(one.what, *to.mutable_actions());
    to.add_times(one.start);
    to.add_times(one.end);
  }
}

void encode(const digest_report& from, body_writer& out) {
  proto::DigestReport& to = *out.body().mutable_digest_report();
  to.set_rank(from.rank);
  to.set_source_incarnation(from.source_incarnation);
  fill(from.layers, *to.mutable_layers());
  fill(from.second_copy, *to.mutable_second_copy());
}

void encode(const failure_message& from, body_writer& out) {
  out.body().mutable_failure()->set_kind(static_cast<std::uint32_t>(from.kind));
  out.body().mutable_failure()->set_text(from.text.substr(0, longest_text));
}

void encode(const send_again& from, body_writer& out) {
  proto::SendAgain& to = *out.body().mutable_send_again();
  to.set_target_incarnation(from.target_incarnation);
  to.set_recovery_line(from.recovery_line);
  to.set_target_rank(from.target_rank);
}

wire_message decode_traffic(const body_reader& in) {
  const proto::MessageBody& body = in.body;
  switch (body.kind_case()) {
  case body_kind::kToken:
    return order_in<token_message>(body.token(), in);
  case body_kind::kTarget:
    return order_in<target_message>(body.target(), in);
  case body_kind::kActivation:
    return pass_in<activation_message>(unpoisoned(body.activation()), in);
  case body_kind::kGradient:
    return to_gradient(body.gradient(), in);
  case body_kind::kGroupGradient:
    return to_group_gradient(unpoisoned(body.group_gradient()), in);
  case body_kind::kTiedGradient:
    return tied_in<tied_gradient_message>(body.tied_gradient(), in);
  case body_kind::kTiedValue:
    return tied_in<tied_value_message>(body.tied_value(), in);
  case body_kind::kStepOpening:
    return step_opening{body.step_opening().target_incarnation(), step_in(body.step_opening().at()),
                        choice_in(body.step_opening().end(), step_end::carry_on, "end of a step"),
                        rank_in(body.step_opening().target_rank(), in), body.step_opening().recovery_line()};
  case body_kind::kStepDecision:
    return to_decision(body.step_decision(), in);
  case body_kind::kDigestRequest:
    return digest_request{body.digest_request().target_incarnation(), body.digest_request().steps_done(),
                          rank_in(body.digest_request().target_rank(), in)};
  case body_kind::kRankReady: {
    rank_ready ready = credit_in<rank_ready>(body.rank_ready(), in);
    ready.steps_done = body.rank_ready().steps_done();
    return ready;
  }
  case body_kind::kCredit:
    return credit_in<credit_message>(body.credit(), in);
  case body_kind::kLoss:
    return loss_message{rank_in(body.loss().rank(), in), body.loss().source_incarnation(), step_in(body.loss().at()),
                        body.loss().microbatch(), body.loss().loss()};
  case body_kind::kStepReport:
    return to_report(body.step_report(), in);
  case body_kind::kSliceBatch:
    return to_slices(body.slice_batch(), in);
  case body_kind::kDigestReport:
    return digest_report{rank_in(body.digest_report().rank(), in), body.digest_report().source_incarnation(),
                         digests_in(body.digest_report().layers(), in),
                         digests_in(body.digest_report().second_copy(), in)};
  case body_kind::kFailure:
    return failure_message{error_kind_in(body.failure().kind()), text_in(body.failure().text(), "a failure")};
  case body_kind::kSendAgain:
    return send_again{body.send_again().target_incarnation(), body.send_again().recovery_line(),
                      rank_in(body.send_again().target_rank(), in)};
  default:
    throw protocol_error(
        fmt::format("wire: found a message of kind {}, expected a known one", static_cast<int>(body.kind_case())));
  }
}

} // namespace troupe
