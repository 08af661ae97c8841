// A box of messages that wait for the action that needs them. Arrivals come in any order and may be repeated.
#pragma once

#include "runtime/traffic.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace troupe {

/// What a message is for.
struct message_place {
  step_id at;
  std::uint32_t stage = 0;
  std::uint32_t microbatch = 0;

  friend auto operator<=>(const message_place&, const message_place&) = default;
};

/// Holds one message a place until it is taken, and remembers what was taken until that is told to be over.
template <class Content>
class message_box {
public:
  bool has(const message_place& place) const { return waiting_.contains(place); }
  /// True when a message for this place is here or was taken before.
  bool knows(const message_place& place) const { return has(place) || taken_.contains(place); }
  void put(const message_place& place, const Content& content) { waiting_.emplace(place, content); }
  /// The message must be here.
  Content take(const message_place& place) {
    auto node = waiting_.extract(place);
    taken_.insert(place);
    return std::move(node.mapped());
  }
  /// Messages for one stage that wait.
  std::size_t waiting(std::uint32_t stage) const {
    std::size_t count = 0;
    for (const auto& [place, content] : waiting_)
      count += place.stage == stage ? 1 : 0;
    return count;
  }
  /// Forgets what is from before `current`: messages for those steps are stale by their step. Some of a validation that
  /// is over may wait: a rank that restarts is sent them again and does not run it again.
  void forget_before(const step_id& current) {
    taken_.erase(taken_.begin(), taken_.lower_bound({current, 0, 0}));
    waiting_.erase(waiting_.begin(), waiting_.lower_bound({current, 0, 0}));
  }

private:
  std::map<message_place, Content> waiting_;
  std::set<message_place> taken_;
};

} // namespace troupe
