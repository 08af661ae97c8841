// The bodies of what recovery over workers needs: who hosts and keeps what, and the ranks' snapshots.
#include "runtime/wire/control_body.hpp"
#include "runtime/wire/traffic_body.hpp"
#include "runtime/wire/wire.pb.h"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

namespace {

using body_kind = proto::MessageBody;

[[noreturn]] void refuse_recovery(const std::string& message) {
  throw protocol_error("placement: " + message);
}

incarnation life_in(std::uint32_t found) {
  if (found == 0)
    throw protocol_error("wire: found life 0 of a rank, expected one from 1");
  return found;
}

/// Every rank lives in one place.
std::vector<worker_place> places_in(const proto::Placement& from, std::uint32_t ranks) {
  if (static_cast<std::uint32_t>(from.workers().size()) > most_workers)
    refuse_recovery(fmt::format("found {} workers, expected at most {}", from.workers().size(), most_workers));
  std::vector<worker_place> places;
  std::vector<bool> placed(ranks, false);
  for (const proto::WorkerPlace& one : from.workers()) {
    worker_place& place = places.emplace_back();
    place.address = name_in(one.address(), "an address");
    place.standing = choice_in(one.standing(), worker_standing::gone, "standing of a worker");
    for (const std::uint32_t rank : one.ranks()) {
      if (rank >= ranks || placed[rank])
        refuse_recovery(
            fmt::format("found rank {} on worker {}, expected each of {} ranks once", rank, places.size() - 1, ranks));
      placed[rank] = true;
      place.ranks.push_back(rank);
    }
  }
  const auto homeless = std::ranges::find(placed, false);
  if (homeless != placed.end())
    refuse_recovery(fmt::format("found no worker for rank {}, expected one", homeless - placed.begin()));
  return places;
}

rank_progress to_progress(const proto::Progress& from) {
  return {.step = from.step(), .passes = from.passes()};
}

void fill(const rank_progress& from, proto::Progress& to) {
  to.set_step(from.step);
  to.set_passes(from.passes);
}

rank_lost to_lost(const proto::RankLost& from, const body_reader& in) {
  rank_lost to{.rank = rank_in(from.rank(), in),
               .life = from.life(),
               .cause = text_in(from.cause(), "the cause of a death"),
               .last_heard = from.last_heard(),
               .noticed = from.noticed()};
  if (from.has_last_words())
    to.last_words = {to_progress(from.last_words().progress()), to_usage(from.last_words().usage())};
  return to;
}

restart_order to_order(const proto::RestartOrder& from, const body_reader& in) {
  restart_order order{.rank = rank_in(from.rank(), in),
                      .birth = {.life = life_in(from.life()),
                                .lives = {from.lives().begin(), from.lives().end()},
                                .steps_done = from.steps_done(),
                                .newest_step = from.newest_step(),
                                .former = to_progress(from.former()),
                                .save_again = from.save_again()}};
  if (order.birth.lives.size() > in.limits.ranks || std::ranges::count(order.birth.lives, 0U) > 0)
    throw protocol_error(fmt::format("wire: found the lives of {} ranks, expected those of at most {}, each from 1",
                                     order.birth.lives.size(), in.limits.ranks));
  return order;
}

snapshot_part to_part(const proto::SnapshotPart& from, const body_reader& in) {
  return {.rank = rank_in(from.rank(), in),
          .source_incarnation = from.source_incarnation(),
          .steps_done = from.steps_done(),
          .second_copy = from.second_copy(),
          .layer = {.layer = layer_in(from.layer(), in), .parameters = parameters_in(from.parameters(), in)},
          .last = from.last(),
          .empty = from.empty()};
}

sha256_digest digest_in(const std::string& bytes) {
  sha256_digest digest{};
  if (bytes.size() != digest.size())
    throw protocol_error(fmt::format("wire: found a digest of {} bytes, expected {}", bytes.size(), digest.size()));
  std::ranges::copy(bytes, digest.begin());
  return digest;
}

snapshots_held to_held(const proto::SnapshotsHeld& from, const body_reader& in) {
  const auto count = static_cast<std::uint64_t>(from.snapshots().size());
  if (count > std::uint64_t{most_held} * in.limits.ranks)
    throw protocol_error(fmt::format("wire: found {} snapshots, expected at most {} of each of {} ranks", count,
                                     most_held, in.limits.ranks));
  snapshots_held to{.what = choice_in(from.what(), holding::some, "what is held"), .snapshots = {}};
  for (const proto::RankState& one : from.snapshots())
    to.snapshots.push_back({rank_in(one.rank(), in), one.steps_done()});
  return to;
}

} // namespace

void fill(const placement& from, proto::Placement& to) {
  to.set_version(from.version);
  for (const worker_place& one : from.workers) {
    proto::WorkerPlace& place = *to.add_workers();
    place.set_address(name_in(one.address, "an address"));
    place.mutable_ranks()->Add(one.ranks.begin(), one.ranks.end());
    place.set_standing(static_cast<std::uint32_t>(one.standing));
  }
  for (const rank_care& one : from.ranks) {
    proto::RankCare& care = *to.add_ranks();
    care.set_life(one.life);
    care.set_replica(one.replica);
  }
}

placement to_placement(const proto::Placement& from, std::uint32_t most_ranks) {
  const auto ranks = static_cast<std::uint32_t>(from.ranks().size());
  if (ranks > most_ranks)
    refuse_recovery(fmt::format("found the lives of {} ranks, expected those of at most {}", ranks, most_ranks));
  placement to{.version = from.version(), .workers = places_in(from, ranks), .ranks = {}};
  for (const proto::RankCare& one : from.ranks()) {
    if (one.replica() >= to.workers.size())
      refuse_recovery(fmt::format("found worker {} as keeper of snapshots, expected one below {}", one.replica(),
                                  to.workers.size()));
    to.ranks.push_back({life_in(one.life()), one.replica()});
  }
  return to;
}

void encode(const placement& from, body_writer& out) {
  fill(from, *out.body().mutable_placement());
}

void encode(const restart_order& from, body_writer& out) {
  proto::RestartOrder& to = *out.body().mutable_restart_order();
  to.set_rank(from.rank);
  to.set_life(from.birth.life);
  to.mutable_lives()->Add(from.birth.lives.begin(), from.birth.lives.end());
  to.set_steps_done(from.birth.steps_done);
  to.set_newest_step(from.birth.newest_step);
  fill(from.birth.former, *to.mutable_former());
  to.set_save_again(from.birth.save_again);
}

void encode(const rank_hosted& from, body_writer& out) {
  out.body().mutable_rank_hosted()->set_rank(from.rank);
  out.body().mutable_rank_hosted()->set_incarnation(from.life);
}

void encode(const snapshot_request& from, body_writer& out) {
  out.body().mutable_snapshot_request()->set_rank(from.rank);
  out.body().mutable_snapshot_request()->set_steps_done(from.steps_done);
  out.body().mutable_snapshot_request()->set_worker(from.worker);
}

void encode(const snapshot_part& from, body_writer& out) {
  proto::SnapshotPart& to = *out.body().mutable_snapshot_part();
  to.set_rank(from.rank);
  to.set_source_incarnation(from.source_incarnation);
  to.set_steps_done(from.steps_done);
  to.set_second_copy(from.second_copy);
  to.set_layer(static_cast<std::uint64_t>(from.layer.layer));
  fill(from.layer, *to.mutable_parameters(), out);
  to.set_last(from.last);
  to.set_empty(from.empty);
}

void encode(const snapshot_kept& from, body_writer& out) {
  proto::RankState& to = *out.body().mutable_snapshot_kept();
  to.set_rank(from.rank);
  to.set_incarnation(from.source_incarnation);
  to.set_steps_done(from.steps_done);
}

void encode(const rank_lost& from, body_writer& out) {
  proto::RankLost& to = *out.body().mutable_rank_lost();
  to.set_rank(from.rank);
  to.set_life(from.life);
  to.set_cause(from.cause.substr(0, longest_text));
  to.set_last_heard(from.last_heard);
  to.set_noticed(from.noticed);
  if (from.last_words) {
    fill(from.last_words->progress, *to.mutable_last_words()->mutable_progress());
    fill(from.last_words->usage, *to.mutable_last_words()->mutable_usage());
  }
}

void encode(const recovery_line_message& from, body_writer& out) {
  out.body().mutable_recovery_line()->set_steps_done(from.steps_done);
}

void encode(const save_request& from, body_writer& out) {
  out.body().mutable_save_request()->set_rank(from.rank);
  out.body().mutable_save_request()->set_steps_done(from.steps_done);
}

void fill(const state_key& from, proto::StateKey& to) {
  to.set_result(std::string(from.result.begin(), from.result.end()));
  to.set_shape(std::string(from.shape.begin(), from.shape.end()));
}

state_key to_key(const proto::StateKey& from) {
  return {.result = digest_in(from.result()), .shape = digest_in(from.shape())};
}

void encode(const held_request& from, body_writer& out) {
  fill(from.key, *out.body().mutable_held_request());
}

void encode(const snapshots_held& from, body_writer& out) {
  proto::SnapshotsHeld& to = *out.body().mutable_snapshots_held();
  to.set_what(static_cast<std::uint32_t>(from.what));
  for (const held_snapshot& one : from.snapshots) {
    proto::RankState& state = *to.add_snapshots();
    state.set_rank(one.rank);
    state.set_steps_done(one.steps_done);
  }
}

wire_message decode_recovery(const body_reader& in) {
  const proto::MessageBody& body = in.body;
  switch (body.kind_case()) {
  case body_kind::kPlacement:
    return to_placement(body.placement(), in.limits.ranks);
  case body_kind::kRestartOrder:
    return to_order(body.restart_order(), in);
  case body_kind::kRankHosted:
    return rank_hosted{rank_in(body.rank_hosted().rank(), in), life_in(body.rank_hosted().incarnation())};
  case body_kind::kSnapshotRequest:
    return snapshot_request{rank_in(body.snapshot_request().rank(), in), body.snapshot_request().steps_done(),
                            small_index_in(body.snapshot_request().worker(), in.limits.workers, "worker")};
  case body_kind::kSnapshotPart:
    return to_part(body.snapshot_part(), in);
  case body_kind::kSnapshotKept:
    return snapshot_kept{rank_in(body.snapshot_kept().rank(), in), body.snapshot_kept().incarnation(),
                         body.snapshot_kept().steps_done()};
  case body_kind::kRankLost:
    return to_lost(body.rank_lost(), in);
  case body_kind::kRecoveryLine:
    return recovery_line_message{body.recovery_line().steps_done()};
  case body_kind::kHeldRequest:
    return held_request{to_key(body.held_request())};
  case body_kind::kSnapshotsHeld:
    return to_held(body.snapshots_held(), in);
  case body_kind::kSaveRequest:
    return save_request{rank_in(body.save_request().rank(), in), body.save_request().steps_done()};
  default:
    throw protocol_error(
        fmt::format("wire: found a message of kind {}, expected a known one", static_cast<int>(body.kind_case())));
  }
}

} // namespace troupe
