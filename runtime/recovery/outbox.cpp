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

/// A tied parameter's value after a step is for who begins the next one.
template <class Message>
std::uint64_t boundary_of_message(const Message& sent) {
  return std::is_same_v<Message, tied_value_message> ? sent.at.step + 1 : boundary_of(sent.at);
}

} // namespace

void outbox::keep(const rank_output& sent) {
  std::visit(
      [&](const auto& message) {
        if constexpr (requires { message.via; }) {
          const std::uint64_t bytes = bytes_of(message.values);
          to_rank_.at(message.via.target_rank).push_back({boundary_of_message(message), bytes, message});
          bytes_ += bytes;
          peak_bytes_ = std::max(peak_bytes_, bytes_);
        }
      },
      sent);
}

void outbox::trim(std::uint64_t recovery_line) {
  if (recovery_line <= recovery_line_)
    return;
  recovery_line_ = recovery_line;
  for (std::deque<kept>& box : to_rank_)
    std::erase_if(box, [&](const kept& one) { // the messages of two steps may be mixed
      const bool over = one.boundary < recovery_line;
      bytes_ -= over ? one.bytes : 0;
      return over;
    });
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
