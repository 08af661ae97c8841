// The third of worker_host that bridges the death of a coordinator: the snapshots that are here are held for a while,
// and handed to the ranks of a coordinator that goes on with the run.
#include "actors/network/peers.hpp"
#include "actors/network/worker_host.hpp"
#include "runtime/recovery/held_answer.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace troupe {

/// Nobody can go on with a run that has no directory.
bool worker_host::may_hold() const {
  return setup_.hold > 0.0 && !ending_ && run_->task && run_->shelf && restarts() &&
         !run_->task->spec.checkpoint.directory.empty();
}

/// In place of what was held before.
void worker_host::hold(const shelf_content& in) {
  if (!run_ || !run_->handing_over)
    return;
  run_->handing_over = false;
  caf::anon_send_exit(run_->shelf, caf::exit_reason::user_shutdown);
  if (in.shelf.size() == 0)
    return;
  held_ = held_run{run_->id, run_->task->key, in.shelf, ++holdings_};
  note(fmt::format("run {}: {} snapshots are held for {:g} s, for a coordinator that goes on with it",
                   short_name(run_->id), held_->shelf.size(), setup_.hold));
  const auto later = std::chrono::duration<double>(setup_.hold);
  self_->delayed_send(self_, std::chrono::duration_cast<std::chrono::nanoseconds>(later), holding_over{holdings_});
}

/// A coordinator that was told of them gets them.
void worker_host::hold_no_longer(const holding_over& in) {
  if (!held_ || held_->number != in.number)
    return;
  if (run_ && !run_->leaving && !run_->task)
    held_->time_is_over = true;
  else
    drop_held("nobody has come for them");
}

void worker_host::drop_held(const std::string& why) {
  note(fmt::format("run {}: the snapshots that were held are dropped: {}", short_name(held_->id), why));
  held_.reset();
}

void worker_host::said_by(const caf::actor& link, const held_request& in) {
  if (!from_coordinator(link) || run_->task)
    return refuse(link, error_kind::protocol, "a held_request was found, expected it before an assignment");
  snapshots_held answer;
  if (held_ && held_->key.result != in.key.result)
    answer.what = holding::other_run;
  else if (held_ && held_->key != in.key)
    answer.what = holding::other_shape;
  else if (held_)
    answer.what = holding::some;
  if (answer.what == holding::some)
    answer.snapshots = told_of_each(held_->shelf.content());
  say(link, std::move(answer));
}

/// What the run that begins can use of it; the rest is dropped. What is older is for the case that a worker is lost
/// before it has begun, and with it the only copy of what it is to begin with.
snapshot_shelf worker_host::take_held(const assignment& in) {
  if (!held_)
    return snapshot_shelf();
  if (!in.from_held || held_->key != in.key) {
    drop_held(fmt::format("run {} begins", short_name(in.run)));
    return snapshot_shelf();
  }
  snapshot_shelf taken = std::exchange(held_, std::nullopt)->shelf;
  taken.drop_later(in.steps_done);
  return taken;
}

/// It begins when all do.
void worker_host::host_from_held(const restart_order& order, const std::shared_ptr<const rank_snapshot>& from) {
  host({order.rank, order.birth, from});
  open_all_routes();
  say(run_->coordinator, rank_hosted{order.rank, order.birth.life});
}

} // namespace troupe
