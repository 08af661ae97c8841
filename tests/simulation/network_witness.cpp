#include "tests/simulation/network_witness.hpp"

#include "actors/network/link.hpp"
#include "actors/network/messages.hpp"
#include "actors/network/worker_shelf.hpp"
#include "runtime/wire/crc32c.hpp"
#include "tests/simulation/message_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <set>
#include <span>
#include <utility>
#include <variant>

namespace troupe::test {

namespace {

using entry = ledger::entry;

std::uint64_t bits(double number) {
  return std::bit_cast<std::uint64_t>(number);
}

std::uint32_t sum_of(const tensor& values) {
  return crc32c(std::as_bytes(values.values()), 0);
}

template <class Message>
bool describes(const caf::type_erased_tuple& what, std::string& text) {
  const Message* const found = message_if<Message>(what);
  if (found == nullptr)
    return false;
  if constexpr (requires { found->what; })
    text = name_of(found->what);
  else if constexpr (requires { found->reason; })
    text = found->reason;
  return true;
}

} // namespace

network_witness::network_witness(cluster& all, event_log& log) : all_(all), log_(log) {
  all_.watch([this](process_number where, const caf::local_actor& who, const caf::type_erased_tuple* what) {
    see(where, who, what);
  });
}

void network_witness::follow(const simulated_coordinator& head) {
  head_ = &head;
  offered_.clear();
  asked_ = false;
  held_start_ = 0;
  attempt_ = 0;
  line_ = 0;
  ordered_.clear();
}

void network_witness::expect(bool holds, const std::string& promise) {
  if (!holds && problem_.empty())
    problem_ = promise;
}

std::string network_witness::text_of(const caf::local_actor& who, const caf::type_erased_tuple* what) const {
  if (what == nullptr)
    return fmt::format("{} begins or ends", who.name());
  std::string text;
  const char* kind = "";
  if (describes<tell_peer>(*what, text))
    kind = "tell_peer ";
  else if (describes<peer_said>(*what, text))
    kind = "peer_said ";
  else if (describes<peer_lost>(*what, text))
    kind = "peer_lost: it ";
  else if (message_if<link_tick>(*what) != nullptr)
    text = "link_tick";
  else if (message_if<peer_connected>(*what) != nullptr)
    text = "peer_connected";
  else if (message_if<connecting_failed>(*what) != nullptr)
    text = "connecting_failed";
  else if (message_if<open_routes>(*what) != nullptr)
    text = "open_routes";
  else if (message_if<close_link>(*what) != nullptr)
    text = "close_link";
  else
    text = to_text(*what);
  return fmt::format("{} handles {}{}", who.name(), kind, text);
}

void network_witness::see(process_number where, const caf::local_actor& who, const caf::type_erased_tuple* what) {
  log_.note(where);
  log_.note(std::string_view(who.name()));
  if (what != nullptr)
    log_.note(what->type_token());
  if (log_.verbose())
    log_.say("{} {:.6f} {}: {}", all_.events(), all_.now(), all_.name_of(where), text_of(who, what));
  see_shelf(who, what);
  if (what == nullptr)
    return;
  see_content(*what);
  see_kept(where, *what);
  see_held(where, *what);
  if (head_ != nullptr && where == head_->who())
    see_order(who, *what);
}

template <class Message>
void network_witness::expect_same(entry what, const Message& in, std::uint64_t part, std::uint64_t microbatch,
                                  std::uint64_t number) {
  log_.note(number);
  if (!said_.write(what, in.at, part, microbatch, number))
    expect(false, fmt::format("what is said of one thing is always the same: found another value in {}",
                              to_text(static_cast<const message_content&>(*caf::make_message(in).cvals()))));
}

void network_witness::see_content(const caf::type_erased_tuple& what) {
  if (const auto* const forward = message_if<activation_message>(what))
    expect_same(entry::activation, *forward, forward->stage, forward->microbatch, sum_of(forward->values));
  if (const auto* const backward = message_if<gradient_message>(what))
    expect_same(entry::gradient, *backward, backward->stage, backward->microbatch, sum_of(backward->values));
  if (const auto* const loss = message_if<loss_message>(what))
    expect_same(entry::loss, *loss, 0, loss->microbatch, bits(loss->loss));
  if (const auto* const decision = message_if<step_decision>(what)) {
    expect_same(entry::scale, *decision, 0, 0, bits(decision->gradient_scale));
    expect_same(entry::rate, *decision, 0, 0, bits(decision->learning_rate));
    expect_same(entry::verdict, *decision, 0, 0, static_cast<std::uint64_t>(decision->verdict));
  }
}

/// What the coordinator says comes in an order.
void network_witness::see_order(const caf::local_actor& who, const caf::type_erased_tuple& what) {
  if (head_->returns() != attempt_) {
    attempt_ = head_->returns();
    line_ = 0;
    ordered_.clear();
  }
  if (const auto* const line = message_if<recovery_line_message>(what)) {
    expect(line->steps_done >= line_,
           fmt::format("the recovery line never goes back: found {}, expected at least {}", line->steps_done, line_));
    line_ = line->steps_done;
  }
  if (const auto* const order = message_if<restart_order>(what)) {
    incarnation& newest = ordered_.try_emplace(order->rank, 1).first->second;
    expect(order->birth.life > newest,
           fmt::format("every life of a rank has its own number: found {} of rank {} after {}", order->birth.life,
                       order->rank, newest));
    newest = order->birth.life;
  }
  const auto* const told = message_if<tell_peer>(what);
  if (const auto* const where = told == nullptr ? nullptr : std::get_if<placement>(&told->what)) {
    std::uint64_t& newest = shown_[&who];
    expect(where->version > newest,
           fmt::format("a placement is newer than the one before: found {} after {}", where->version, newest));
    newest = where->version;
  }
  see_start(what);
}

/// A worker says that a snapshot is kept when all of it is on its shelf, not before.
void network_witness::see_kept(process_number where, const caf::type_erased_tuple& what) {
  const auto* const told = message_if<tell_peer>(what);
  const auto* const kept = told == nullptr ? nullptr : std::get_if<snapshot_kept>(&told->what);
  if (kept == nullptr)
    return;
  for (caf::abstract_actor* const actor : all_.actors_of(where))
    if (const auto* const shelf = dynamic_cast<const caf::stateful_actor<worker_shelf_state>*>(actor)) {
      const std::vector<held_snapshot> content = shelf->state.shelf.content();
      const bool has = std::ranges::count(content, held_snapshot{kept->rank, kept->steps_done}) > 0;
      expect(has || line_of_shelf_[shelf] > kept->steps_done,
             fmt::format("who says that it keeps a snapshot has it: found none of rank {} after {} steps", kept->rank,
                         kept->steps_done));
    }
}

/// What workers hold when nobody claims them.
void network_witness::see_held(process_number where, const caf::type_erased_tuple& what) {
  if (const auto* const handed = message_if<shelf_content>(what)) {
    ++handed_over_;
    if (handed->shelf.size() > 0)
      held_[where] = handed->shelf.content();
  }
}

process_number network_witness::worker_behind(const caf::actor& link) const {
  const auto* const broker = dynamic_cast<const link_broker*>(caf::actor_cast<caf::abstract_actor*>(link));
  const std::map<int, wire_end>& ends = all_.wire().ends();
  return ends.at(ends.at(static_cast<int>(broker->state.connection.id())).peer).owner;
}

/// What the workers of a run that begins hold, and what it begins with.
void network_witness::see_start(const caf::type_erased_tuple& what) {
  if (const auto* const said = message_if<peer_said>(what))
    if (const auto* const answer = std::get_if<snapshots_held>(&said->what);
        answer != nullptr && answer->what == holding::some)
      offered_[said->link.address()] = held_[worker_behind(said->link)];
  if (const auto* const lost = message_if<peer_lost>(what))
    offered_.erase(lost->link.address());
  const auto* const told = message_if<tell_peer>(what);
  if (told != nullptr && std::holds_alternative<held_request>(told->what) && !std::exchange(asked_, true))
    offered_.clear(); // it asks anew, if a worker was lost before the ranks had begun
  const auto* const task = told == nullptr ? nullptr : std::get_if<assignment>(&told->what);
  if (task == nullptr)
    return;
  held_start_ = task->from_held ? task->steps_done : 0;
  // Of a run that went back the recorder may not know yet of all that was decided.
  if (std::exchange(asked_, false) && head_->returns() == 0)
    expect_newest(*task);
}

/// A coordinator that goes on with another one's run begins with the newest state that its workers hold of all ranks.
/// That was decided, and is in the log: a rank takes a snapshot when it is told of the decision, which comes after.
void network_witness::expect_newest(const assignment& of) {
  std::map<std::uint64_t, std::set<std::uint32_t>> ranks;
  for (const auto& [link, snapshots] : offered_)
    for (const held_snapshot& one : snapshots)
      ranks[one.steps_done].insert(one.rank);
  std::erase_if(ranks, [&](const auto& one) { return one.second.size() < of.where.ranks.size(); });
  const std::uint64_t newest = ranks.empty() ? 0 : ranks.rbegin()->first;
  expect(of.steps_done >= newest, fmt::format("a run goes on from the newest state that is held: found a start "
                                              "after {} steps, expected {}",
                                              of.steps_done, newest));
  expect(!of.from_held || of.steps_done == newest,
         fmt::format("what a run goes on from is held of all ranks: found a start after {} steps, expected {}",
                     of.steps_done, newest));
}

void network_witness::see_shelf(const caf::local_actor& who, const caf::type_erased_tuple* what) {
  const auto* const shelf = dynamic_cast<const caf::stateful_actor<worker_shelf_state>*>(&who);
  if (shelf == nullptr || what == nullptr)
    return;
  std::uint64_t& line = line_of_shelf_[&who];
  for (const held_snapshot& one : shelf->state.shelf.content())
    expect(one.steps_done >= line, fmt::format("nobody keeps snapshots from before the recovery line: found one after "
                                               "{} steps, expected none before {}",
                                               one.steps_done, line));
  if (const auto* const in = message_if<recovery_line_message>(*what))
    line = std::max(line, in->steps_done);
}

} // namespace troupe::test
