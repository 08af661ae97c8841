#include "runtime/wire/control_body.hpp"

#include "runtime/wire/wire.pb.h"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

namespace {

using body_kind = proto::MessageBody;

std::string cut(const std::string& text) {
  return text.substr(0, longest_text);
}

std::string to_bytes(const run_id& id) {
  return {id.begin(), id.end()};
}

run_id run_in(const std::string& bytes) {
  run_id id{};
  if (bytes.size() != id.size())
    throw protocol_error(fmt::format("wire: found a run of {} bytes, expected {}", bytes.size(), id.size()));
  std::ranges::copy(bytes, id.begin());
  return id;
}

hello to_hello(const proto::Hello& from) {
  const proto::Arithmetic& arithmetic = from.arithmetic();
  return {.protocol = from.protocol(),
          .version = name_in(from.version(), "a version"),
          .role = choice_in(from.role(), peer_role::neighbour, "role"),
          .run = run_in(from.run()),
          .source_worker = from.source_worker(),
          .target_worker = from.target_worker(),
          .arithmetic = {.instruction_set = name_in(arithmetic.instruction_set(), "an instruction set"),
                         .gemm_library = name_in(arithmetic.gemm_library(), "a matrix library"),
                         .build = name_in(arithmetic.build(), "a build"),
                         .threads = arithmetic.threads()}};
}

layer_part to_layer_part(const proto::LayerPart& from, const body_reader& in) {
  layer_part part{.rank = rank_in(from.rank(), in),
                  .source_incarnation = from.source_incarnation(),
                  .steps_done = from.steps_done(),
                  .layer = {.layer = layer_in(from.layer(), in), .parameters = {}},
                  .last = from.last()};
  part.layer.parameters = parameters_in(from.parameters(), in);
  return part;
}

void fill(const manifest_file& from, proto::WrittenFile& to) {
  to.set_name(name_in(from.name, "the name of a file"));
  to.set_bytes(from.bytes);
  to.set_sha256(name_in(from.sha256, "a hash"));
}

/// Only one name is right, which cannot lead out of the checkpoint's directory.
manifest_file to_file(const proto::WrittenFile& from, const std::string& expected) {
  constexpr std::size_t hex_digits = 64;
  if (from.name() != expected)
    throw protocol_error(fmt::format("wire: found another name for the file {}, expected none", expected));
  if (from.sha256().size() != hex_digits || from.sha256().find_first_not_of("0123456789abcdef") != std::string::npos)
    throw protocol_error(
        fmt::format("wire: {}: found no SHA-256 of {} hexadecimal digits, expected one", expected, hex_digits));
  return {.name = from.name(), .bytes = from.bytes(), .sha256 = from.sha256()};
}

part_written to_part_written(const proto::PartWritten& from, const body_reader& in) {
  part_written part{.rank = rank_in(from.rank(), in),
                    .source_incarnation = from.source_incarnation(),
                    .steps_done = from.steps_done()};
  part.problem = text_in(from.problem(), "a problem");
  for (const proto::WrittenLayers& one : from.layers()) {
    const std::int64_t last = layer_in(one.last(), in);
    if (one.first() > one.last())
      throw protocol_error(
          fmt::format("wire: found files of layers {} to {}, expected them to ascend", one.first(), one.last()));
    const auto first = static_cast<std::int64_t>(one.first());
    manifest_layers& to = part.layers.emplace_back(
        manifest_layers{.first = first,
                        .last = last,
                        .weights = to_file(one.weights(), weights_file_name(first, last)),
                        .optimizer = to_file(one.optimizer(), optimizer_file_name(first, last))});
    for (const std::string& name : one.parameters())
      to.parameters.push_back(name_in(name, "the name of a parameter"));
  }
  return part;
}

parameter_answer to_answer(const proto::ParameterAnswer& from, const body_reader& in) {
  parameter_answer answer{.number = from.number(), .tensors = {}, .problem = text_in(from.problem(), "a problem")};
  while (in.blocks.left() > 0)
    answer.tensors.push_back(in.blocks.take_tensor());
  return answer;
}

} // namespace

void fill(const layer_snapshot& from, google::protobuf::RepeatedPtrField<proto::Parameter>& to, body_writer& out) {
  for (const parameter_snapshot& one : from.parameters) {
    proto::Parameter& parameter = *to.Add();
    parameter.set_name(name_in(one.name, "the name of a parameter"));
    parameter.set_states(static_cast<std::uint32_t>(one.state.size()));
    out.add(one.value);
    for (const tensor& state : one.state)
      out.add(state);
  }
}

std::vector<parameter_snapshot> parameters_in(const google::protobuf::RepeatedPtrField<proto::Parameter>& from,
                                              const body_reader& in) {
  std::vector<parameter_snapshot> found;
  for (const proto::Parameter& one : from) {
    parameter_snapshot& to = found.emplace_back();
    to.name = name_in(one.name(), "the name of a parameter");
    to.value = in.blocks.take_tensor();
    for (std::uint32_t state = 0; state < one.states(); ++state)
      to.state.push_back(in.blocks.take_tensor());
  }
  return found;
}

void encode(const hello& from, body_writer& out) {
  proto::Hello& to = *out.body().mutable_hello();
  to.set_protocol(from.protocol);
  to.set_version(name_in(from.version, "a version"));
  to.set_role(static_cast<std::uint32_t>(from.role));
  to.set_run(to_bytes(from.run));
  to.set_source_worker(from.source_worker);
  to.set_target_worker(from.target_worker);
  proto::Arithmetic& arithmetic = *to.mutable_arithmetic();
  arithmetic.set_instruction_set(name_in(from.arithmetic.instruction_set, "an instruction set"));
  arithmetic.set_gemm_library(name_in(from.arithmetic.gemm_library, "a matrix library"));
  arithmetic.set_build(name_in(from.arithmetic.build, "a build"));
  arithmetic.set_threads(from.arithmetic.threads);
}

void encode(const refusal& from, body_writer& out) {
  out.body().mutable_refusal()->set_kind(static_cast<std::uint32_t>(from.kind));
  out.body().mutable_refusal()->set_text(cut(from.text));
}

void encode(const assignment_taken&, body_writer& out) {
  out.body().mutable_assignment_taken();
}
void encode(const connect_neighbours&, body_writer& out) {
  out.body().mutable_connect_neighbours();
}
void encode(const neighbours_connected& from, body_writer& out) {
  out.body().mutable_neighbours_connected()->set_version(from.version);
}
void encode(const start_ranks& from, body_writer& out) {
  out.body().mutable_start_ranks()->set_here(from.clock_offset);
}
void encode(const release&, body_writer& out) {
  out.body().mutable_release();
}
void encode(const heartbeat&, body_writer& out) {
  out.body().mutable_heartbeat();
}

void encode(const clock_probe& from, body_writer& out) {
  out.body().mutable_clock_probe()->set_sent(from.sent);
}

void encode(const clock_answer& from, body_writer& out) {
  out.body().mutable_clock_answer()->set_sent(from.sent);
  out.body().mutable_clock_answer()->set_here(from.here);
}

void encode(const link_lost& from, body_writer& out) {
  out.body().mutable_link_lost()->set_worker(from.worker);
  out.body().mutable_link_lost()->set_reason(cut(from.reason));
}

void encode(const worker_warning& from, body_writer& out) {
  out.body().mutable_worker_warning()->set_text(cut(from.text));
}

void encode(const layer_part& from, body_writer& out) {
  proto::LayerPart& to = *out.body().mutable_layer_part();
  to.set_rank(from.rank);
  to.set_source_incarnation(from.source_incarnation);
  to.set_steps_done(from.steps_done);
  to.set_layer(static_cast<std::uint64_t>(from.layer.layer));
  fill(from.layer, *to.mutable_parameters(), out);
  to.set_last(from.last);
}

void encode(const layer_part_taken& from, body_writer& out) {
  out.body().mutable_layer_part_taken()->set_rank(from.rank);
  out.body().mutable_layer_part_taken()->set_steps_done(from.steps_done);
  out.body().mutable_layer_part_taken()->set_over(from.over);
  out.body().mutable_layer_part_taken()->set_life(from.life);
}

void encode(const part_written& from, body_writer& out) {
  proto::PartWritten& to = *out.body().mutable_part_written();
  to.set_rank(from.rank);
  to.set_source_incarnation(from.source_incarnation);
  to.set_steps_done(from.steps_done);
  for (const manifest_layers& one : from.layers) {
    proto::WrittenLayers& layers = *to.add_layers();
    layers.set_first(static_cast<std::uint64_t>(one.first));
    layers.set_last(static_cast<std::uint64_t>(one.last));
    fill(one.weights, *layers.mutable_weights());
    fill(one.optimizer, *layers.mutable_optimizer());
    for (const std::string& name : one.parameters)
      layers.add_parameters(name_in(name, "the name of a parameter"));
  }
  to.set_problem(cut(from.problem));
}

void encode(const parameter_request& from, body_writer& out) {
  proto::ParameterRequest& to = *out.body().mutable_parameter_request();
  to.set_number(from.number);
  to.set_name(name_in(from.name, "the name of a parameter"));
  to.set_states(from.states);
}

void encode(const parameter_answer& from, body_writer& out) {
  out.body().mutable_parameter_answer()->set_number(from.number);
  out.body().mutable_parameter_answer()->set_problem(cut(from.problem));
  for (const tensor& one : from.tensors)
    out.add(one);
}

wire_message decode_control(const body_reader& in) {
  const proto::MessageBody& body = in.body;
  switch (body.kind_case()) {
  case body_kind::kHello:
    return to_hello(body.hello());
  case body_kind::kRefusal:
    return refusal{error_kind_in(body.refusal().kind()), text_in(body.refusal().text(), "a refusal")};
  case body_kind::kAssignmentTaken:
    return assignment_taken{};
  case body_kind::kConnectNeighbours:
    return connect_neighbours{};
  case body_kind::kNeighboursConnected:
    return neighbours_connected{body.neighbours_connected().version()};
  case body_kind::kStartRanks:
    return start_ranks{body.start_ranks().here()};
  case body_kind::kRelease:
    return release{};
  case body_kind::kHeartbeat:
    return heartbeat{};
  case body_kind::kClockProbe:
    return clock_probe{body.clock_probe().sent()};
  case body_kind::kClockAnswer:
    return clock_answer{body.clock_answer().sent(), body.clock_answer().here()};
  case body_kind::kLinkLost:
    return link_lost{small_index_in(body.link_lost().worker(), in.limits.workers, "worker"),
                     text_in(body.link_lost().reason(), "a reason")};
  case body_kind::kWorkerWarning:
    return worker_warning{text_in(body.worker_warning().text(), "a warning")};
  case body_kind::kLayerPart:
    return to_layer_part(body.layer_part(), in);
  case body_kind::kLayerPartTaken:
    return layer_part_taken{rank_in(body.layer_part_taken().rank(), in), body.layer_part_taken().life(),
                            body.layer_part_taken().steps_done(), body.layer_part_taken().over()};
  case body_kind::kPartWritten:
    return to_part_written(body.part_written(), in);
  case body_kind::kParameterRequest:
    return parameter_request{body.parameter_request().number(),
                             name_in(body.parameter_request().name(), "the name of a parameter"),
                             body.parameter_request().states()};
  case body_kind::kParameterAnswer:
    return to_answer(body.parameter_answer(), in);
  default:
    return decode_recovery(in);
  }
}

} // namespace troupe
