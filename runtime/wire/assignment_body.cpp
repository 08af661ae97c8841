// The largest body: what a worker has to know of the run.
#include "runtime/run_rules.hpp"
#include "runtime/run_spec_proto.hpp"
#include "runtime/wire/control_body.hpp"
#include "runtime/wire/plan_proto.hpp"
#include "runtime/wire/wire.pb.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw protocol_error("assignment: " + message);
}

run_spec to_spec(const proto::RunSpec& from) {
  try {
    run_spec spec = from_message(from);
    proto::RunSpec again;
    to_message(spec, again);
    if (again.SerializeAsString() != from.SerializeAsString())
      refuse("found a run spec that lacks fields, expected all of them");
    return spec;
  } catch (const spec_error& failure) {
    refuse(failure.what());
  }
}

/// Protobuf writes strings that are not UTF-8 but reads none.
void require_utf8(const proto::RunSpec& spec) {
  const google::protobuf::LogSilencer silent;
  if (!proto::RunSpec().ParseFromString(spec.SerializeAsString()))
    throw spec_error("run spec: found a text that is not UTF-8, expected UTF-8, as it is sent to other processes");
}

/// What a plan and the spec that it was made for have in common.
void require_fit(const plan& pipeline, const run_spec& spec) {
  const std::uint32_t microbatches = pipeline.order.microbatches;
  if (microbatches != spec.training.microbatches)
    refuse(fmt::format("found a schedule of {} microbatches, expected {}, as training.microbatches says", microbatches,
                       spec.training.microbatches));
  const std::uint32_t groups = gradient_groups_of(spec, pipeline.order.copies());
  if (pipeline.gradient_groups != groups)
    refuse(fmt::format("found {} groups of gradients, expected {}, as training.gradient_groups says",
                       pipeline.gradient_groups, groups));
}

} // namespace

void encode(const assignment& from, body_writer& out) {
  proto::Assignment& to = *out.body().mutable_assignment();
  to.set_run(std::string(from.run.begin(), from.run.end()));
  to.set_worker(from.worker);
  fill(from.where, *to.mutable_where());
  to_message(from.spec, *to.mutable_spec());
  require_utf8(to.spec());
  to_message(from.pipeline, *to.mutable_plan());
  to.set_peer_timeout_seconds(from.peer_timeout_seconds);
  to.set_checkpoints(static_cast<std::uint32_t>(from.checkpoints));
  to.set_resume_directory(text_in(from.resume_directory, "a directory"));
  to.set_steps_done(from.steps_done);
  to.set_resume_through_coordinator(from.resume_through_coordinator);
  fill(from.key, *to.mutable_key());
  to.set_from_held(from.from_held);
}

assignment decode_assignment(const body_reader& in) {
  const proto::Assignment& from = in.body.assignment();
  assignment to;
  if (from.run().size() != to.run.size())
    refuse(fmt::format("found a run of {} bytes, expected {}", from.run().size(), to.run.size()));
  std::ranges::copy(from.run(), to.run.begin());
  to.spec = to_spec(from.spec());
  to.pipeline = from_message(from.plan());
  require_fit(to.pipeline, to.spec);
  to.where = to_placement(from.where(), to.pipeline.ranks());
  if (to.where.ranks.size() != to.pipeline.ranks())
    refuse(fmt::format("found places of {} ranks, expected those of {}, as the schedule has", to.where.ranks.size(),
                       to.pipeline.ranks()));
  if (from.worker() >= to.where.workers.size())
    refuse(fmt::format("found worker {}, expected one below {}", from.worker(), to.where.workers.size()));
  to.worker = from.worker();
  to.peer_timeout_seconds = from.peer_timeout_seconds();
  if (!std::isfinite(to.peer_timeout_seconds) || to.peer_timeout_seconds < 0.0)
    refuse(fmt::format("found a peer timeout of {} seconds, expected a number from 0", to.peer_timeout_seconds));
  to.checkpoints = choice_in(from.checkpoints(), checkpoint_route::coordinator, "checkpoint route");
  to.resume_directory = text_in(from.resume_directory(), "a directory");
  to.steps_done = from.steps_done();
  to.resume_through_coordinator = from.resume_through_coordinator();
  to.key = to_key(from.key());
  to.from_held = from.from_held();
  return to;
}

} // namespace troupe
