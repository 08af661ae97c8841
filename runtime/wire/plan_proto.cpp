#include "runtime/wire/plan_proto.hpp"

#include "model/error.hpp"
#include "runtime/wire/wire.pb.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace troupe {

namespace {

constexpr std::uint64_t operations = 4;
constexpr std::size_t longest_schedule_name = 4096; ///< which may be a path

[[noreturn]] void refuse_plan(const std::string& message) {
  throw protocol_error("assignment: " + message);
}

using proto_numbers = google::protobuf::RepeatedField<std::uint32_t>;

std::vector<std::uint32_t> to_vector(const proto_numbers& from) {
  return {from.begin(), from.end()};
}

void append(const std::vector<std::uint32_t>& from, proto_numbers& to) {
  to.Add(from.begin(), from.end());
}

std::vector<std::vector<std::uint32_t>> to_vectors(const google::protobuf::RepeatedPtrField<proto::Numbers>& from) {
  std::vector<std::vector<std::uint32_t>> lists;
  for (const proto::Numbers& one : from)
    lists.push_back(to_vector(one.values()));
  return lists;
}

schedule to_schedule(const proto::Plan& from) {
  if (from.name().size() > longest_schedule_name)
    refuse_plan(fmt::format("found a schedule's name of {} bytes, expected at most {}", from.name().size(),
                            longest_schedule_name));
  schedule order;
  order.name = from.name();
  order.ranks = from.ranks();
  order.microbatches = from.microbatches();
  order.placements = to_vectors(from.placements());
  for (const proto::ActionList& one : from.actions())
    order.actions.push_back(to_actions(one));
  order.overlapped = to_vectors(from.overlapped());
  if (from.has_asynchronous())
    order.asynchronous = asynchrony{.update_every = from.asynchronous().update_every(),
                                    .lag = to_vector(from.asynchronous().lag()),
                                    .ahead = to_vector(from.asynchronous().ahead())};
  return order;
}

schedule_facts check(const schedule& order) {
  try {
    return check_schedule(order);
  } catch (const spec_error& failure) {
    refuse_plan(failure.what());
  }
}

/// Peaks bound what may wait for a rank, so lower ones than the schedule's own would have it refuse what is due.
void raise(std::vector<std::uint32_t>& peaks, const proto_numbers& sent, const char* of) {
  if (static_cast<std::size_t>(sent.size()) != peaks.size())
    refuse_plan(fmt::format("found {} peaks, expected {}, one a {}", sent.size(), peaks.size(), of));
  for (std::size_t i = 0; i < peaks.size(); ++i) {
    const std::uint32_t peak = sent[static_cast<int>(i)];
    if (peak < peaks[i])
      refuse_plan(fmt::format("found a peak of {} on {} {}, expected at least {}", peak, of, i, peaks[i]));
    peaks[i] = peak;
  }
}

std::vector<layer_range> to_ranges(const proto_numbers& layers, std::uint32_t stages) {
  if (static_cast<std::size_t>(layers.size()) != stages)
    refuse_plan(fmt::format("found layers of {} stages, expected those of {}", layers.size(), stages));
  std::vector<layer_range> ranges;
  std::int64_t first = 0;
  for (const std::uint32_t count : layers) {
    if (count == 0)
      refuse_plan(fmt::format("found no layers on stage {}, expected at least one", ranges.size()));
    ranges.push_back({first, first + count});
    first += count;
  }
  return ranges;
}

} // namespace

void append_action(const action& one, proto::ActionList& out) {
  out.add_values(operations * one.stage + static_cast<std::uint64_t>(one.op));
  out.add_values(one.microbatch);
}

std::vector<action> to_actions(const proto::ActionList& from) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  if (from.values().size() % 2 != 0)
    throw protocol_error("wire: found half an action, expected pairs of numbers");
  std::vector<action> list;
  list.reserve(static_cast<std::size_t>(from.values().size()) / 2);
  for (int i = 0; i < from.values().size(); i += 2) {
    const std::uint64_t what = from.values(i);
    const std::uint64_t microbatch = from.values(i + 1);
    if (what / operations > most || microbatch > most)
      throw protocol_error(fmt::format("wire: found an action of stage {} and microbatch {}, expected at most {}",
                                       what / operations, microbatch, most));
    list.push_back({static_cast<std::uint32_t>(what / operations), static_cast<operation>(what % operations),
                    static_cast<std::uint32_t>(microbatch)});
  }
  return list;
}

void to_message(const plan& from, proto::Plan& out) {
  const schedule& order = from.order;
  out.set_name(order.name);
  out.set_ranks(order.ranks);
  out.set_microbatches(order.microbatches);
  for (const std::vector<std::uint32_t>& one : order.placements)
    append(one, *out.add_placements()->mutable_values());
  for (const std::vector<action>& list : order.actions) {
    proto::ActionList& to = *out.add_actions();
    to.mutable_values()->Reserve(2 * static_cast<int>(list.size()));
    for (const action& one : list)
      append_action(one, to);
  }
  for (const std::vector<std::uint32_t>& one : order.overlapped)
    append(one, *out.add_overlapped()->mutable_values());
  if (order.asynchronous) {
    proto::Asynchrony& to = *out.mutable_asynchronous();
    to.set_update_every(order.asynchronous->update_every);
    append(order.asynchronous->lag, *to.mutable_lag());
    append(order.asynchronous->ahead, *to.mutable_ahead());
  }
  out.set_gradient_groups(from.gradient_groups);
  std::int64_t first = 0;
  for (const layer_range& one : from.stages) {
    TROUPE_CHECK(one.first == first, "the layers of stages follow each other");
    out.add_layers(static_cast<std::uint32_t>(one.size()));
    first = one.last;
  }
  out.set_bookkeeping(from.notes.bookkeeping);
  append(from.facts.peak_by_stage, *out.mutable_peak_by_stage());
  append(from.facts.peak_by_rank, *out.mutable_peak_by_rank());
}

plan from_message(const proto::Plan& message) {
  plan result;
  result.order = to_schedule(message);
  result.facts = check(result.order);
  raise(result.facts.peak_by_stage, message.peak_by_stage(), "stage");
  raise(result.facts.peak_by_rank, message.peak_by_rank(), "rank");
  result.gradient_groups = message.gradient_groups();
  if (result.gradient_groups == 0 || result.order.microbatches % result.gradient_groups != 0)
    refuse_plan(fmt::format("found {} groups of gradients, expected a number that divides {} microbatches",
                            result.gradient_groups, result.order.microbatches));
  result.stages = to_ranges(message.layers(), result.order.stages());
  result.notes.bookkeeping = message.bookkeeping();
  return result;
}

} // namespace troupe
