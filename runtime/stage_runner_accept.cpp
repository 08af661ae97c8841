// The half of stage_runner that lets messages in: what is stale or repeated is dropped, what breaks the rules is
// refused.
#include "runtime/stage_runner.hpp"

#include <algorithm>

namespace troupe {

namespace {

std::string place_text(const message_place& place) {
  return "step " + std::to_string(place.at.step) + ", stage " + std::to_string(place.stage) + ", microbatch " +
         std::to_string(place.microbatch);
}

} // namespace

bool stage_runner::is_current(incarnation target) {
  const bool current = target == setup_.birth.life;
  dropped_ += current ? 0 : 1;
  return current;
}

bool stage_runner::is_current(const route& via) {
  if (via.source_rank >= lives_.size())
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": found a message from rank " +
                         std::to_string(via.source_rank) + ", expected a rank below " + std::to_string(lives_.size()));
  if (via.source_incarnation < lives_[via.source_rank]) {
    ++dropped_;
    return false;
  }
  if (!is_current(via.target_incarnation))
    return false;
  lives_[via.source_rank] = via.source_incarnation;
  return true;
}

bool stage_runner::is_over(const step_id& at) const {
  if (!current_)
    return boundary_of(at) < steps_done_;
  return at < *current_ || (at == *current_ && (phase_ == phase::idle || phase_ == phase::awaiting_decision));
}

/// Neighbours may be one step ahead, and by another one where steps run into one another.
std::uint64_t stage_runner::newest_acceptable_step() const {
  const std::uint64_t next = current_ ? current_->step + 1 : steps_done_;
  const std::uint64_t newest = asynchronous() ? next + 1 : next;
  return catching_up() ? std::max(newest, newest_step_at_birth() + 1) : newest;
}

/// One more may begin while the rank gets its state, and another one where steps run into one another.
std::uint64_t stage_runner::newest_step_at_birth() const {
  return setup_.birth.newest_step + (asynchronous() ? 2 : 1);
}

/// How many messages beyond the usual number may wait for one stage: those of the steps that the others are ahead, and
/// of the validations in between, as all that was sent comes again.
std::uint32_t stage_runner::catch_up_allowance() const {
  if (!catching_up())
    return 0;
  const auto steps = static_cast<std::uint32_t>(newest_step_at_birth() + 2 - steps_done_);
  return (microbatches_of(pass_mode::train) + microbatches_of(pass_mode::evaluate)) * steps;
}

std::uint32_t stage_runner::microbatches_of(pass_mode mode) const {
  return mode == pass_mode::train ? setup_.spec->training.microbatches : setup_.spec->validation.microbatches;
}

std::uint32_t stage_runner::limit_of(pass_mode mode, std::uint32_t peak) const {
  return mode == pass_mode::train ? peak : evaluation_window(*setup_.pipeline);
}

/// Whether the place is one of a stage of this rank, in the copy that the microbatch runs through.
bool stage_runner::holds(const message_place& place) const {
  if (!stages_.contains(place.stage) || place.microbatch >= microbatches_of(place.at.mode))
    return false;
  return copy_of(place.stage) ==
         (place.at.mode == pass_mode::train ? setup_.pipeline->order.copy_of(place.microbatch) : 0);
}

template <class Content>
void stage_runner::admit(message_box<Content>& box, const message_place& place, const Content& content,
                         std::uint32_t limit, const char* what) {
  if (is_over(place.at) || box.knows(place)) {
    ++dropped_;
    return;
  }
  const std::string found = "rank " + std::to_string(setup_.rank) + ": found " + what + " for " + place_text(place);
  if (!holds(place))
    throw protocol_error(found + ", expected a stage of this rank and a microbatch below " +
                         std::to_string(microbatches_of(place.at.mode)));
  const std::uint64_t newest = newest_acceptable_step();
  if (place.at.step > newest)
    throw protocol_error(found + ", expected a step up to " + std::to_string(newest));
  const std::uint32_t most = limit + catch_up_allowance();
  if (box.waiting(place.stage) >= most)
    throw protocol_error(found + " beyond the " + std::to_string(most) + " that may wait");
  box.put(place, content);
}

void stage_runner::expect_shape(const tensor& values, const message_place& place, const char* what) const {
  if (values.extents() != activation_shape_)
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": found " + what + " of shape " +
                         to_string(values.extents()) + " for " + place_text(place) + ", expected " +
                         to_string(activation_shape_));
}

void stage_runner::accept(const token_message& in) {
  if (!is_current(in.target_incarnation))
    return;
  if (in.tokens == nullptr || in.tokens->size() != tokens_length_)
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": expected " + std::to_string(tokens_length_) +
                         " tokens a microbatch");
  admit(tokens_, {in.at, 0, in.microbatch}, in.tokens,
        limit_of(in.at.mode, setup_.pipeline->facts.peak_by_stage.front() + injection_lookahead), "tokens");
}

void stage_runner::accept(const target_message& in) {
  if (!is_current(in.target_incarnation))
    return;
  if (in.targets == nullptr || in.targets->size() != targets_length_)
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": expected " + std::to_string(targets_length_) +
                         " targets a microbatch");
  admit(targets_, {in.at, last_stage(), in.microbatch}, in.targets,
        limit_of(in.at.mode, setup_.pipeline->facts.peak_by_stage.back() + injection_lookahead), "targets");
}

void stage_runner::accept(const activation_message& in) {
  if (!is_current(in.via))
    return;
  const message_place place{in.at, in.stage, in.microbatch};
  expect_shape(in.values, place, "an activation");
  // The stage before keeps the stash of each microbatch until this stage has sent the gradient back.
  const std::uint32_t before =
      in.stage == 0 || in.stage > last_stage() ? 0 : setup_.pipeline->facts.peak_by_stage[in.stage - 1];
  admit(activations_, place, in.values, limit_of(in.at.mode, before), "an activation");
}

void stage_runner::accept(const gradient_message& in) {
  if (!is_current(in.via))
    return;
  const message_place place{in.at, in.stage, in.microbatch};
  expect_shape(in.values, place, "a gradient");
  const std::uint32_t stashed = in.stage > last_stage() ? 0 : setup_.pipeline->facts.peak_by_stage[in.stage];
  admit(gradients_, place, in.values, stashed, "a gradient");
  if (in.poisoned && !is_over(place.at))
    poison_.suspect(place);
}

void stage_runner::accept(const group_gradient_message& in) {
  if (!is_current(in.via))
    return;
  const auto own = stages_.find(in.stage);
  if (!has_two_copies() || in.at.mode != pass_mode::train || own == stages_.end() ||
      !gradients_fit(own->second.model().parameters(), in.values))
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": found a group's gradients of stage " +
                         std::to_string(in.stage) +
                         ", expected those of a stage of which this rank has the other copy, in the same shapes");
  // The other copy's holder ends its next step only after this rank has reported this one.
  admit(group_gradients_, {in.at, in.stage, first_microbatch_of(in.stage)}, in.values, 1, "a group's gradients");
}

void stage_runner::accept(const tied_gradient_message& in) {
  if (!is_current(in.via))
    return;
  const std::uint64_t newest = catching_up() ? newest_step_at_birth() : steps_done_;
  if (in.at.step > newest)
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": found a tied gradient of step " +
                         std::to_string(in.at.step) + ", expected one up to " + std::to_string(newest));
  if (is_over(in.at) || !tied_gradients_.emplace(in.at.step, in.values).second)
    ++dropped_;
}

void stage_runner::accept(const tied_value_message& in) {
  if (!is_current(in.via))
    return;
  const std::uint64_t newest = catching_up() ? newest_step_at_birth() : steps_done_;
  if (in.at.step > newest)
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": found a tied value after step " +
                         std::to_string(in.at.step) + ", expected one up to " + std::to_string(newest));
  if (in.at.step < replica_steps_ || !tied_values_.emplace(in.at.step, in.values).second)
    ++dropped_;
}

void stage_runner::accept(const step_opening& in) {
  if (!is_current(in.target_incarnation))
    return;
  outbox_.trim(in.recovery_line);
  if (current_ && in.at <= *current_)
    ++dropped_;
  else
    openings_.emplace(in.at, in);
}

void stage_runner::accept(const step_decision& in) {
  if (!is_current(in.target_incarnation))
    return;
  outbox_.trim(in.recovery_line);
  const bool awaited = current_ && in.at == *current_ && phase_ == phase::awaiting_decision;
  if (is_over(in.at) && !awaited)
    ++dropped_;
  else if (!awaited && !(catching_up() && in.at.step <= newest_step_at_birth()))
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": found a decision on step " +
                         std::to_string(in.at.step) + " before the rank's report");
  else
    decisions_.emplace(in.at, in);
}

void stage_runner::accept(const digest_request& in) {
  if (is_current(in.target_incarnation))
    digest_request_ = in;
}

} // namespace troupe
