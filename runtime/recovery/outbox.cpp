#include "runtime/recovery/outbox.hpp"

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <variant>

namespace troupe {

namespace {

std::uint64_t bytes_of(const tensor& one) {
  return one.bytes();
}

std::uint64_t bytes_of(const std::vector<tensor>& all) {
  return std::accumulate(all.begin(), all.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const tensor& one) { return sum + one.bytes(); });
}

/// Of what is needed until the run is over.
constexpr std::uint64_t the_end = std::numeric_limits<std::uint64_t>::max();

/// A tied parameter's value after a step is for who begins the next one.
template <class Message>
std::uint64_t boundary_of_message(const Message& sent) {
  return std::is_same_v<Message, tied_value_message> ? sent.at.step + 1 : boundary_of(sent.at);
}

} // namespace

void outbox::keep(const rank_output& sent) {
  std::visit(
      [&](const auto& message) {
        using type = std::decay_t<decltype(message)>;
        if constexpr (requires { message.via; })
          put(to_rank_.at(message.via.target_rank), boundary_of_message(message), bytes_of(message.values), sent);
        else if constexpr (std::is_same_v<type, loss_message> || std::is_same_v<type, step_report>)
          put(to_scheduler_, boundary_of(message.at), 0, sent);
        else if constexpr (std::is_same_v<type, digest_report>)
          put(to_scheduler_, the_end, 0, sent);
      },
      sent);
}

void outbox::put(std::deque<kept>& box, std::uint64_t boundary, std::uint64_t bytes, const rank_output& what) {
  box.push_back({boundary, bytes, what});
  bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, bytes_);
}

void outbox::trim(std::uint64_t recovery_line) {
  if (recovery_line <= recovery_line_)
    return;
  recovery_line_ = recovery_line;
  for (std::deque<kept>& box : to_rank_)
    trim(box);
  trim(to_scheduler_);
}

void outbox::trim(std::deque<kept>& box) {
  std::erase_if(box, [&](const kept& one) { // the messages of two steps may be mixed
    const bool over = one.boundary < recovery_line_;
    bytes_ -= over ? one.bytes : 0;
    return over;
  });
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> outbox::boundaries() const {
  std::optional<std::pair<std::uint64_t, std::uint64_t>> found;
  const auto note = [&](const std::deque<kept>& box) {
    for (const kept& one : box)
      if (one.boundary != the_end)
        found = found ? std::pair(std::min(found->first, one.boundary), std::max(found->second, one.boundary))
                      : std::pair(one.boundary, one.boundary);
  };
  std::ranges::for_each(to_rank_, note);
  note(to_scheduler_);
  return found;
}

rank_outputs outbox::for_scheduler() const {
  rank_outputs again;
  std::ranges::transform(to_scheduler_, std::back_inserter(again), &kept::what);
  return again;
}

rank_outputs outbox::for_rank(std::uint32_t rank, incarnation life) const {
  rank_outputs again;
  for (const kept& one : to_rank_.at(rank)) {
    again.push_back(one.what);
    std::visit(
        [&](auto& message) {
          if constexpr (requires { message.via; })
            message.via.target_incarnation = life;
        },
        again.back());
  }
  return again;
}

} // namespace troupe
