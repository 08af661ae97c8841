#include "actors/audience.hpp"

#include "actors/shell.hpp"

#include <algorithm>
#include <chrono>

namespace troupe {

namespace {

constexpr std::chrono::milliseconds interrupt_poll{50};

/// All that must not end before the run does. The scheduler may, where a keeper starts it again.
watched_actors members_of(const company& everyone) {
  watched_actors named{{caf::actor_cast<caf::actor>(everyone.recorder), "the recorder"},
                       {caf::actor_cast<caf::actor>(everyone.store), "the store"}};
  if (everyone.keeper)
    named.emplace_back(caf::actor_cast<caf::actor>(everyone.keeper), "the keeper");
  else
    named.emplace_back(caf::actor_cast<caf::actor>(everyone.scheduler), "the scheduler");
  return named;
}

} // namespace

run_report audience::watch(const company& everyone) {
  members_ = members_of(everyone);
  company_ = everyone;
  for (const auto& [member, name] : members_)
    self_->monitor(member);
  alive_ = members_.size();
  while (!report_ && !failure_ && !lost_)
    receive_one();
  if (everyone.keeper)
    tell(everyone.keeper, dismiss_ranks{}); // and ends itself after them
  for (const auto& [member, name] : members_)
    if (member != caf::actor_cast<caf::actor>(everyone.keeper))
      caf::anon_send_exit(member, caf::exit_reason::user_shutdown);
  while (alive_ > 0)
    receive_one();
  throw_failure();
  return *report_->report;
}

std::optional<workers_ready> audience::await_workers() {
  while (!workers_ && !failure_ && !lost_ && !interrupted())
    receive_one();
  throw_failure();
  return workers_;
}

void audience::await_left() {
  while (!left_)
    receive_one();
}

void audience::receive_one() {
  const auto ordered = [this](auto act) {
    const handler_scope scope(mailbox_of(self_));
    act();
  };
  self_->receive([&](const run_finished& in) { ordered([&] { report_ = in; }); },
                 [&](const failure_message& in) { ordered([&] { note_failure(in); }); },
                 [&](const workers_ready& in) { ordered([&] { workers_ = in; }); },
                 [&](const state_lost& in) { ordered([&] { lost_ = in; }); },
                 [&](const left_run&) { ordered([&] { left_ = true; }); },
                 [&](const caf::down_msg& in) { note_down(in); },
                 caf::after(interrupt_poll) >>
                     [&] {
                       if (!interrupt_sent_ && company_ && interrupted())
                         send_interrupt();
                     });
}

void audience::throw_failure() const {
  if (failure_)
    throw_error(failure_->kind, failure_->text);
  if (lost_ && !report_ && lost_->begun)
    throw state_lost_error(lost_->cause);
  if (lost_ && !report_)
    throw start_lost_error(lost_->cause);
}

void audience::send_interrupt() {
  interrupt_sent_ = true;
  if (company_->keeper)
    tell(company_->keeper, interrupt_message{});
  else
    tell(company_->scheduler, interrupt_message{});
}

/// The first failure is the cause; others follow from it.
void audience::note_failure(const failure_message& in) {
  if (!failure_)
    failure_ = in;
}

void audience::note_down(const caf::down_msg& in) {
  --alive_;
  if (company_->keeper.address() == in.source) // a coordinator that has died lets go of nobody any more
    left_ = true;
  if (report_ || failure_ || lost_) // An exception's own failure_message was sent before this one.
    return;
  const auto lost =
      std::ranges::find_if(members_, [&](const auto& member) { return member.first.address() == in.source; });
  note_failure({error_kind::run, (lost == members_.end() ? "an actor" : lost->second) + " ended before the run did"});
}

bool audience::interrupted() const {
  return options_.interrupts != nullptr && *options_.interrupts > 0;
}

} // namespace troupe
