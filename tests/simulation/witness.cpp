#include "tests/simulation/witness.hpp"

#include "runtime/checkpoint.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "runtime/wire/crc32c.hpp"
#include "tests/simulation/message_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <filesystem>
#include <span>
#include <utility>

namespace troupe::test {

namespace {

namespace fs = std::filesystem;
using entry = ledger::entry;

constexpr const char* probe_name = "probe";

std::uint64_t bits(double number) {
  return std::bit_cast<std::uint64_t>(number);
}

std::uint32_t sum_of(const tensor& values, std::uint32_t before = 0) {
  return crc32c(std::as_bytes(values.values()), before);
}

std::uint32_t sum_of(const std::vector<double>& values) {
  return crc32c(std::as_bytes(std::span(values)));
}

std::uint32_t sum_of(const std::vector<layer_digests>& layers) {
  std::uint32_t sum = 0;
  for (const layer_digests& layer : layers)
    for (const parameter_digest& one : layer.parameters)
      sum = crc32c(std::as_bytes(std::span(one.state)), crc32c(std::as_bytes(std::span(one.weights)), sum));
  return sum;
}

} // namespace

witness::witness(const scenario& drawn, simulated_disk& disk, event_log& log, tally& counts, facts_of_training& facts,
                 listener tell)
    : drawn_(drawn), disk_(disk), log_(log), counts_(counts), facts_(facts), tell_(std::move(tell)) {}

void witness::watch(const unruly_run& run) {
  run_ = &run;
  line_ = steps_done_ = newest_opened_ = run.setup().first_step();
  const std::uint32_t ranks = run.setup().pipeline.ranks();
  deaths_.assign(ranks, 0);
  heard_.assign(ranks, {});
}

/// A process that has just died in the middle of a handler goes on to its end: nobody sees what it does.
void witness::expect(bool holds, const std::string& promise) {
  if (!holds && problem_.empty() && !disk_.crashed())
    problem_ = promise;
}

void witness::sent(const actor_name& to, const message_content& what) {
  log_.note(what.type_token());
  if (log_.verbose())
    log_.say("  sends {}: {}", to_text(to), to_text(what));
  if_is<activation_message>(what, &witness::note_sent);
  if_is<gradient_message>(what, &witness::note_sent);
  if_is<group_gradient_message>(what, &witness::note_sent);
  if_is<tied_gradient_message>(what, &witness::note_sent);
  if_is<tied_value_message>(what, &witness::note_sent);
  if_is<loss_message>(what, &witness::note_sent);
  if_is<step_report>(what, &witness::note_sent);
  if_is<digest_report>(what, &witness::note_sent);
  if_is<step_opening>(what, &witness::note_sent);
  if_is<step_decision>(what, &witness::note_sent);
  if_is<digest_request>(what, &witness::note_sent);
  if (to.rank == 0)
    if_is<send_again>(what, &witness::note_sent);
  if_is<checkpoint_committed>(what, &witness::note_sent);
  if_is<checkpoint_failed>(what, &witness::note_sent);
}

template <class Message>
void witness::expect_same(ledger& where, entry what, const Message& in, std::uint64_t part, std::uint64_t microbatch,
                          std::uint64_t number) {
  if (disk_.crashed())
    return;
  log_.note(number);
  if (!where.write(what, in.at, part, microbatch, number))
    expect(false, fmt::format("what is said of one thing is always the same: found another value in {}",
                              to_text(static_cast<const message_content&>(*caf::make_message(in).cvals()))));
}

void witness::note_sent(const activation_message& in) {
  expect_same(said_, entry::activation, in, in.stage, in.microbatch, sum_of(in.values));
}

void witness::note_sent(const gradient_message& in) {
  expect_same(said_, entry::gradient, in, in.stage, in.microbatch, sum_of(in.values));
}

void witness::note_sent(const group_gradient_message& in) {
  std::uint32_t sum = 0;
  for (const tensor& one : in.values)
    sum = sum_of(one, sum);
  expect_same(said_, entry::group_gradient, in, in.stage, in.via.source_rank, sum);
}

void witness::note_sent(const tied_gradient_message& in) {
  expect_same(said_, entry::tied_gradient, in, in.via.source_rank, 0, sum_of(in.values));
}

void witness::note_sent(const tied_value_message& in) {
  expect_same(said_, entry::tied_value, in, in.via.source_rank, 0, sum_of(in.values));
}

void witness::note_sent(const loss_message& in) {
  expect_same(facts_.said, entry::loss, in, 0, in.microbatch, bits(in.loss));
}

void witness::note_sent(const step_report& in) {
  for (const stage_squares& one : in.squares)
    expect_same(said_, entry::squares, in, one.stage, 0, sum_of(one.squares));
}

void witness::note_sent(const digest_report& in) {
  log_.note(sum_of(in.layers));
  expect(said_.write(entry::digests, {}, in.rank, 0, sum_of(in.layers)),
         fmt::format("rank {} reports the same digests whenever it is asked", in.rank));
}

void witness::note_sent(const step_opening& in) {
  newest_opened_ = std::max(newest_opened_, boundary_of(in.at));
  if (in.at.mode == pass_mode::evaluate)
    tell_(occasion::validation_opened);
  if (drawn_.saves() && !disk_.armed())
    tell_(occasion::start);
}

void witness::note_sent(const digest_request& /*in*/) {
  tell_(occasion::digests_asked);
}

void witness::note_sent(const send_again& /*in*/) {
  ++stalls_;
  counts_[counted::stalls]++;
  tell_(occasion::told_again);
}

void witness::note_sent(const step_decision& in) {
  if (in.verdict == step_verdict::give_up) // the run ends; one that goes on from there decides otherwise
    return;
  expect_same(facts_.said, entry::scale, in, 0, 0, bits(in.gradient_scale));
  expect_same(facts_.said, entry::rate, in, 0, 0, bits(in.learning_rate));
  expect_same(facts_.said, entry::verdict, in, 0, 0, static_cast<std::uint64_t>(in.verdict));
  if (in.snapshot != take_snapshot::no)
    tell_(occasion::snapshot_asked);
  if (decided_.insert(in.at).second)
    expect_logged(in);
}

/// Where the disk has refused it, the run goes on without.
void witness::expect_logged(const step_decision& in) {
  if (!drawn_.saves() || disk_.crashed())
    return;
  const std::string bytes = disk_.durable_bytes(decision_log_name);
  const bool refused =
      disk_.failed_on(decision_log_name) + disk_.failed_on(unfinished_log) + disk_.failed_on(disk_name) > 0;
  try {
    const std::vector<logged_decision> logged = parse_decision_log(bytes, decision_log_name).decisions;
    const auto found = std::ranges::find(logged, in.at, &logged_decision::at);
    if (found == logged.end())
      return expect(refused,
                    fmt::format("a decision is on the disk before it is sent: found nothing of step {}", in.at.step));
    expect(bits(found->gradient_scale) == bits(in.gradient_scale) &&
               bits(found->learning_rate) == bits(in.learning_rate) &&
               found->skipped == (in.verdict == step_verdict::skip),
           fmt::format("the log holds what was sent: found another decision on step {}", in.at.step));
  } catch (const error& damage) {
    expect(refused, fmt::format("a decision is on the disk before it is sent: {}", damage.what()));
  }
}

void witness::note_sent(const checkpoint_committed& in) {
  tell_(occasion::checkpoint_over);
  if (disk_.crashed() || !committed_.insert(in.steps_done).second)
    return;
  counts_[counted::commits]++;
  facts_.committed = std::max(facts_.committed, in.steps_done);
  expect_on_disk(in);
}

/// Whatever a crash makes of what was not synced.
void witness::expect_on_disk(const checkpoint_committed& in) {
  expect(in.steps_done <= steps_done_,
         fmt::format("a checkpoint is of a step that was decided: found {} after {}", in.steps_done, steps_done_));
  try {
    disk_.copy_survivors(probe_name, crash_loss::everything);
    std::vector<std::string> warnings;
    const std::uint64_t found = checkpoint::open_latest(probe_name, warnings).steps_done();
    expect(found >= in.steps_done && warnings.empty(),
           fmt::format("a checkpoint that is said to be on the disk survives a crash: found the one after {} steps, "
                       "expected {} {}",
                       found, in.steps_done, warnings.empty() ? "" : warnings.front()));
  } catch (const std::exception& failure) {
    expect(false, fmt::format("a checkpoint that is said to be on the disk survives a crash: {}", failure.what()));
  }
}

void witness::note_sent(const checkpoint_failed& /*in*/) {
  counts_[counted::failed_checkpoints]++;
  tell_(occasion::checkpoint_over);
}

void witness::note_closed(const step_closed& in) {
  expect(closed_.insert(in.at).second,
         fmt::format("a step is closed once: found {} {} again",
                     in.at.mode == pass_mode::train ? "step" : "the validation after step", in.at.step));
  expect_same(facts_.said, entry::mean_loss, in, 0, 0, bits(in.loss));
  expect_same(facts_.said, entry::norm, in, 0, 0, bits(in.gradient_norm));
}

} // namespace troupe::test
