#include "tests/simulation/message_text.hpp"

#include "tests/simulation/disk.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstdint>
#include <regex>

namespace troupe::test {

namespace {

std::string text(const step_id& at) {
  return fmt::format("{} {}", at.mode == pass_mode::train ? "step" : "validation", at.step);
}

std::string text(const route& via) {
  return fmt::format("{}#{} to {}#{}", via.source_rank, via.source_incarnation, via.target_rank,
                     via.target_incarnation);
}

/// Bits, so that equal text is an equal number.
std::string bits_text(double number) {
  return fmt::format("{:016x}", std::bit_cast<std::uint64_t>(number));
}

std::string describe(const introduction&) {
  return "introduction";
}
std::string describe(const interrupt_message&) {
  return "interrupt";
}
std::string describe(const run_next_message&) {
  return "run_next";
}
std::string describe(const reconsider_message&) {
  return "reconsider";
}
std::string describe(const look_message&) {
  return "look";
}
std::string describe(const token_message& in) {
  return fmt::format("tokens #{} {} microbatch {}", in.target_incarnation, text(in.at), in.microbatch);
}
std::string describe(const target_message& in) {
  return fmt::format("targets #{} {} microbatch {}", in.target_incarnation, text(in.at), in.microbatch);
}
std::string describe(const activation_message& in) {
  return fmt::format("activation {} {} stage {} microbatch {}", text(in.via), text(in.at), in.stage, in.microbatch);
}
std::string describe(const gradient_message& in) {
  return fmt::format("gradient {} {} stage {} microbatch {}", text(in.via), text(in.at), in.stage, in.microbatch);
}
std::string describe(const group_gradient_message& in) {
  return fmt::format("group_gradient {} {} stage {}", text(in.via), text(in.at), in.stage);
}
std::string describe(const tied_gradient_message& in) {
  return fmt::format("tied_gradient {} {}", text(in.via), text(in.at));
}
std::string describe(const tied_value_message& in) {
  return fmt::format("tied_value {} {}", text(in.via), text(in.at));
}
std::string describe(const step_opening& in) {
  return fmt::format("step_opening #{} {}{} line {}", in.target_incarnation, text(in.at),
                     in.end == step_end::carry_on ? " carries on" : "", in.recovery_line);
}
std::string describe(const step_decision& in) {
  constexpr std::array snapshots = {"", " snapshot", " checkpoint"};
  constexpr std::array verdicts = {"update", "skip", "give up"};
  return fmt::format("step_decision #{} {} {} scale {} rate {}{} line {}", in.target_incarnation, text(in.at),
                     verdicts.at(static_cast<std::size_t>(in.verdict)), bits_text(in.gradient_scale),
                     bits_text(in.learning_rate), snapshots.at(static_cast<std::size_t>(in.snapshot)),
                     in.recovery_line);
}
std::string describe(const digest_request& in) {
  return fmt::format("digest_request #{} after {} steps", in.target_incarnation, in.steps_done);
}
std::string describe(const send_again& in) {
  return fmt::format("send_again #{} line {}", in.target_incarnation, in.recovery_line);
}
std::string describe(const scheduler_successor& in) {
  return fmt::format("scheduler_successor #{} line {}", in.what.target_incarnation, in.what.recovery_line);
}
std::string describe(const successor_message& in) {
  return fmt::format("successor rank {}#{}", in.what.rank, in.what.life);
}
std::string describe(const rank_ready& in) {
  return fmt::format("rank_ready {}#{} after {} steps, credit {}/{}", in.rank, in.source_incarnation, in.steps_done,
                     in.credit.tokens, in.credit.targets);
}
std::string describe(const credit_message& in) {
  return fmt::format("credit {}#{} {}/{}", in.rank, in.source_incarnation, in.credit.tokens, in.credit.targets);
}
std::string describe(const loss_message& in) {
  return fmt::format("loss {}#{} {} microbatch {}: {}", in.rank, in.source_incarnation, text(in.at), in.microbatch,
                     bits_text(in.loss));
}
std::string describe(const step_report& in) {
  return fmt::format("step_report {}#{} {}", in.rank, in.source_incarnation, text(in.at));
}
std::string describe(const digest_report& in) {
  return fmt::format("digest_report {}#{}", in.rank, in.source_incarnation);
}
std::string describe(const rank_snapshot& in) {
  return fmt::format("rank_snapshot {}#{} after {} steps", in.rank, in.source_incarnation, in.steps_done);
}
std::string describe(const slice_batch& in) {
  return fmt::format("slices {} {}", in.rank, text(in.at));
}
std::string describe(const step_closed& in) {
  return fmt::format("step_closed {} loss {} norm {}{}", text(in.at), bits_text(in.loss), bits_text(in.gradient_norm),
                     in.poison ? " poisoned" : "");
}
std::string describe(const run_closed& in) {
  return fmt::format("run_closed {}", in.weights_sha256);
}
std::string describe(const checkpoint_committed& in) {
  return fmt::format("checkpoint_committed after {} steps {}", in.steps_done, in.warning);
}
std::string describe(const checkpoint_failed& in) {
  return fmt::format("checkpoint_failed after {} steps: {}", in.steps_done, in.reason);
}
std::string describe(const failure_message& in) {
  return fmt::format("failure {}", in.text);
}
std::string describe(const rank_failed& in) {
  return fmt::format("rank_failed {}#{}: {}", in.rank, in.life, in.what.text);
}
std::string describe(const scheduler_failed& in) {
  return fmt::format("scheduler_failed: {}", in.what.text);
}
std::string describe(const books_message& in) {
  return fmt::format("books after {} steps, line {}, generation {}", in.books->steps_done, in.books->recovery_line,
                     in.books->newest_generation);
}
std::string describe(const rank_lost& in) {
  return fmt::format("rank_lost {}#{}: {}", in.rank, in.life, in.cause);
}
std::string describe(const restart_order& in) {
  return fmt::format("restart_order {}#{} after {} steps, newest step {}{}", in.rank, in.birth.life,
                     in.birth.steps_done, in.birth.newest_step, in.birth.save_again ? ", saves again" : "");
}
std::string describe(const run_given_up& in) {
  return fmt::format("run_given_up after {} steps: {}", in.steps_done, in.cause);
}
std::string describe(const part_lost& in) {
  return fmt::format("part_lost {} after {} steps", in.rank, in.steps_done);
}
std::string describe(const recovery_line_message& in) {
  return fmt::format("recovery_line {}", in.steps_done);
}
std::string describe(const snapshot_kept& in) {
  return fmt::format("snapshot_kept {}#{} after {} steps", in.rank, in.source_incarnation, in.steps_done);
}
std::string describe(const snapshot_lost& in) {
  return fmt::format("snapshot_lost {}", in.rank);
}
std::string describe(const rank_recovered& in) {
  return fmt::format("rank_recovered {} replayed {}", in.what.rank, in.what.replayed_passes);
}
std::string describe(const run_stalled& in) {
  return fmt::format("run_stalled in step {} for {} s", in.step, in.seconds);
}
/// The file that it may name is called otherwise each time, and a seed's events are always the same.
std::string describe(const run_warning& in) {
  static const std::regex drawn_name(R"(\.decisions\.log\.[0-9a-f]+\.tmp)");
  return fmt::format("warning {}", std::regex_replace(in.text, drawn_name, unfinished_log));
}
std::string describe(const caf::down_msg&) {
  return "an actor has ended";
}
std::string describe(const caf::exit_msg&) {
  return "exit";
}

template <class... Messages>
std::string first_of(const message_content& what) {
  std::string found = "something else";
  const auto try_one = [&]<class Message>(const Message*) {
    const Message* const message = message_if<Message>(what);
    if (message != nullptr)
      found = describe(*message);
    return message != nullptr;
  };
  (try_one(static_cast<const Messages*>(nullptr)) || ...);
  return found;
}

} // namespace

std::string to_text(const actor_name& name) {
  constexpr std::array roles = {"rank", "scheduler", "keeper", "recorder", "store"};
  const std::string role = roles.at(static_cast<std::size_t>(name.role));
  if (name.role == actor_role::rank)
    return fmt::format("rank {}#{}", name.rank, name.life);
  return name.role == actor_role::scheduler ? fmt::format("scheduler#{}", name.life) : role;
}

std::string to_text(const message_content& what) {
  return first_of<introduction, interrupt_message, run_next_message, reconsider_message, look_message, token_message,
                  target_message, activation_message, gradient_message, group_gradient_message, tied_gradient_message,
                  tied_value_message, step_opening, step_decision, digest_request, send_again, scheduler_successor,
                  successor_message, rank_ready, credit_message, loss_message, step_report, digest_report,
                  rank_snapshot, slice_batch, step_closed, run_closed, checkpoint_committed, checkpoint_failed,
                  failure_message, rank_failed, scheduler_failed, books_message, rank_lost, restart_order, run_given_up,
                  part_lost, recovery_line_message, snapshot_kept, snapshot_lost, rank_recovered, run_stalled,
                  run_warning, caf::down_msg, caf::exit_msg>(what);
}

} // namespace troupe::test
