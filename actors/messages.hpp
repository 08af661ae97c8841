// Every message that actors exchange, and its CAF type id. The contents are runtime's plain structs
// (runtime/traffic.hpp). Within one process a message is handed over by pointer: its tensors are shared, never copied.
#pragma once

#include "runtime/recovery/scheduler_books.hpp"
#include "runtime/report.hpp"
#include "runtime/traffic.hpp"
#include "runtime/wire/control.hpp"

#include <caf/all.hpp>

#include <memory>
#include <string>

namespace troupe {

struct company;

/// To each actor, once: everyone's handle. Nothing else is sent before.
struct introduction {
  std::shared_ptr<const company> everyone;
};

/// To the scheduler, by way of its keeper if it has one: the user wants the run to end after the step in flight.
struct interrupt_message {};

/// Rank to itself: do the next thing that is due.
struct run_next_message {};

/// Rank to itself, later: see whether patience has ended.
struct reconsider_message {};

/// Scheduler to itself, later: see whether the run has stalled.
struct look_message {};

/// A rank to who keeps it, just before it ends: what it threw, and its last words.
struct rank_failed {
  std::uint32_t rank = 0;
  incarnation life = 1;
  failure_message what;
  rank_last_words last_words;
};

/// The same of the scheduler.
struct scheduler_failed {
  failure_message what;
};

/// Rank to keeper, after a snapshot and at least one pass: it waits for others, or has run as many passes as fill the
/// pipeline. A keeper that sends the snapshot elsewhere has a good time for it.
struct rank_waits {
  std::uint32_t rank = 0;
};

/// Scheduler to keeper: what a new scheduler goes on from.
struct books_message {
  std::shared_ptr<const scheduler_books> books;
};

/// Keeper to a rank: there is a new scheduler, here, and it knows nothing that the rank does not tell it again.
struct scheduler_successor {
  send_again what;
  std::shared_ptr<const company> everyone;
};

/// Keeper to a rank that lives: another one lives again, and this is where.
struct successor_message {
  rank_restarted what;
  std::shared_ptr<const company> everyone;
};

/// The observer to the keeper: end all that you keep, then yourself.
struct dismiss_ranks {};

/// To the recorder, for the user: something is wrong, and the run goes on. A worker's shelf tells the worker,
/// which passes it on.
struct run_warning {
  std::string text;
};

/// Recorder to the observer: the run is over.
struct run_finished {
  std::shared_ptr<const run_report> report;
};

} // namespace troupe

CAF_BEGIN_TYPE_ID_BLOCK(troupe, caf::first_custom_type_id)
CAF_ADD_TYPE_ID(troupe, (troupe::introduction))
CAF_ADD_TYPE_ID(troupe, (troupe::interrupt_message))
CAF_ADD_TYPE_ID(troupe, (troupe::run_next_message))
CAF_ADD_TYPE_ID(troupe, (troupe::reconsider_message))
CAF_ADD_TYPE_ID(troupe, (troupe::run_finished))
CAF_ADD_TYPE_ID(troupe, (troupe::token_message))
CAF_ADD_TYPE_ID(troupe, (troupe::target_message))
CAF_ADD_TYPE_ID(troupe, (troupe::activation_message))
CAF_ADD_TYPE_ID(troupe, (troupe::gradient_message))
CAF_ADD_TYPE_ID(troupe, (troupe::group_gradient_message))
CAF_ADD_TYPE_ID(troupe, (troupe::tied_gradient_message))
CAF_ADD_TYPE_ID(troupe, (troupe::tied_value_message))
CAF_ADD_TYPE_ID(troupe, (troupe::step_opening))
CAF_ADD_TYPE_ID(troupe, (troupe::step_decision))
CAF_ADD_TYPE_ID(troupe, (troupe::digest_request))
CAF_ADD_TYPE_ID(troupe, (troupe::rank_ready))
CAF_ADD_TYPE_ID(troupe, (troupe::credit_message))
CAF_ADD_TYPE_ID(troupe, (troupe::loss_message))
CAF_ADD_TYPE_ID(troupe, (troupe::step_report))
CAF_ADD_TYPE_ID(troupe, (troupe::digest_report))
CAF_ADD_TYPE_ID(troupe, (troupe::rank_snapshot))
CAF_ADD_TYPE_ID(troupe, (troupe::checkpoint_committed))
CAF_ADD_TYPE_ID(troupe, (troupe::checkpoint_failed))
CAF_ADD_TYPE_ID(troupe, (troupe::slice_batch))
CAF_ADD_TYPE_ID(troupe, (troupe::step_closed))
CAF_ADD_TYPE_ID(troupe, (troupe::run_closed))
CAF_ADD_TYPE_ID(troupe, (troupe::failure_message))
CAF_ADD_TYPE_ID(troupe, (troupe::layer_part))
CAF_ADD_TYPE_ID(troupe, (troupe::layer_part_taken))
CAF_ADD_TYPE_ID(troupe, (troupe::part_written))
CAF_ADD_TYPE_ID(troupe, (troupe::rank_failed))
CAF_ADD_TYPE_ID(troupe, (troupe::successor_message))
CAF_ADD_TYPE_ID(troupe, (troupe::dismiss_ranks))
CAF_ADD_TYPE_ID(troupe, (troupe::snapshot_kept))
CAF_ADD_TYPE_ID(troupe, (troupe::snapshot_lost))
CAF_ADD_TYPE_ID(troupe, (troupe::part_lost))
CAF_ADD_TYPE_ID(troupe, (troupe::rank_lost))
CAF_ADD_TYPE_ID(troupe, (troupe::restart_order))
CAF_ADD_TYPE_ID(troupe, (troupe::run_given_up))
CAF_ADD_TYPE_ID(troupe, (troupe::recovery_line_message))
CAF_ADD_TYPE_ID(troupe, (troupe::rank_recovered))
CAF_ADD_TYPE_ID(troupe, (troupe::run_stalled))
CAF_ADD_TYPE_ID(troupe, (troupe::send_again))
CAF_ADD_TYPE_ID(troupe, (troupe::look_message))
CAF_ADD_TYPE_ID(troupe, (troupe::run_warning))
CAF_ADD_TYPE_ID(troupe, (troupe::scheduler_failed))
CAF_ADD_TYPE_ID(troupe, (troupe::books_message))
CAF_ADD_TYPE_ID(troupe, (troupe::scheduler_successor))
CAF_ADD_TYPE_ID(troupe, (troupe::rank_waits))
CAF_END_TYPE_ID_BLOCK(troupe)

// CAF serializes none of these: what leaves the process is written by a link (actors/network), in the form of
// runtime/wire.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::introduction)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::interrupt_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::run_next_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::reconsider_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::run_finished)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::token_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::target_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::activation_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::gradient_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::group_gradient_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::tied_gradient_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::tied_value_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::step_opening)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::step_decision)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::digest_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::rank_ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::credit_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::loss_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::step_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::digest_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::rank_snapshot)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::checkpoint_committed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::checkpoint_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::slice_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::step_closed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::run_closed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::failure_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::layer_part)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::layer_part_taken)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::part_written)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::rank_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::successor_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::dismiss_ranks)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::snapshot_kept)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::snapshot_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::part_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::rank_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::restart_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::run_given_up)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::recovery_line_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::rank_recovered)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::run_stalled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::send_again)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::look_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::run_warning)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::scheduler_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::books_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::scheduler_successor)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::rank_waits)
