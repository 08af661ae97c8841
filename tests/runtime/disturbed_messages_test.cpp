// What chaos makes of the messages of a rank.
#include "runtime/faults/disturbed_messages.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <variant>
#include <vector>

using namespace troupe;

namespace {

std::vector<chaos_event> events_of(const std::string& text) {
  return resolve_chaos(parse_chaos(text), {.ranks = 3, .end_step = 4, .checkpoints = true, .actions = {6, 6, 6}});
}

/// From rank 1.
rank_output message(std::uint32_t receiver, std::uint32_t microbatch) {
  activation_message made;
  made.via = {.source_rank = 1, .target_rank = receiver};
  made.microbatch = microbatch;
  return made;
}

/// "2:0" for microbatch 0 to rank 2; "-" for what is not for a rank.
std::string text_of(const rank_output& one) {
  const auto* to_rank = std::get_if<activation_message>(&one);
  return to_rank == nullptr ? "-"
                            : std::to_string(to_rank->via.target_rank) + ":" + std::to_string(to_rank->microbatch);
}

std::string text_of(const rank_outputs& outputs) {
  std::string text;
  for (const rank_output& one : outputs)
    text += (text.empty() ? "" : " ") + text_of(one);
  return text;
}

/// What becomes of messages 0, 1, 2 to rank 2, 0 to rank 0, and one that is not for a rank.
rank_outputs five() {
  return {message(2, 0), credit_message{}, message(0, 0), message(2, 1), message(2, 2)};
}

} // namespace

TEST_CASE("without chaos messages are sent as they are", "[chaos]") {
  disturbed_messages chaos(events_of("kill:seed=1+disk:write=1"), 1, 1);
  rank_outputs outputs = five();
  CHECK(chaos.disturb(outputs).empty());
  CHECK(text_of(outputs) == "2:0 - 0:0 2:1 2:2");
  CHECK(chaos.release().empty());
}

TEST_CASE("messages to ranks are lost, doubled or late as chaos has it, and nothing else is", "[chaos]") {
  rank_outputs lost = five();
  CHECK(disturbed_messages(events_of("drop:share=0.999999"), 1, 1).disturb(lost).empty());
  CHECK(text_of(lost) == "-");

  rank_outputs doubled = five();
  CHECK(disturbed_messages(events_of("duplicate:share=1"), 1, 1).disturb(doubled).empty());
  CHECK(text_of(doubled) == "2:0 2:0 - 0:0 0:0 2:1 2:1 2:2 2:2");

  rank_outputs prompt = five();
  const std::vector<late_message> late = disturbed_messages(events_of("delay:share=1,for=5ms"), 1, 1).disturb(prompt);
  CHECK(text_of(prompt) == "-");
  REQUIRE(late.size() == 4);
  CHECK(text_of(late[3].what) == "2:2");
  CHECK(late[3].seconds == Approx(0.005));
}

TEST_CASE("a message is overtaken by the next one to the same rank, or waits until the rank has nothing to do",
          "[chaos]") {
  disturbed_messages chaos(events_of("reorder:share=1"), 1, 1);
  rank_outputs outputs = five();
  CHECK(chaos.disturb(outputs).empty());
  CHECK(text_of(outputs) == "- 2:1 2:0");
  CHECK(text_of(chaos.release()) == "0:0 2:2");
  CHECK(chaos.release().empty());
  rank_outputs later = {message(2, 3)};
  chaos.disturb(later);
  CHECK(later.empty());
  later = {message(2, 4)};
  chaos.disturb(later);
  CHECK(text_of(later) == "2:4 2:3");
}

TEST_CASE("each life of a rank disturbs as the numbers of its messages have it", "[chaos]") {
  const std::vector<chaos_event> events = events_of("drop:share=0.5");
  disturbed_messages one_by_one(events, 1, 1);
  disturbed_messages at_once(events, 1, 1);
  disturbed_messages reborn(events, 1, 2);
  rank_outputs all;
  rank_outputs apart;
  for (std::uint32_t number = 0; number < 64; ++number) {
    rank_outputs one = {message(2, number)};
    all.push_back(one.front());
    one_by_one.disturb(one);
    apart.insert(apart.end(), one.begin(), one.end());
  }
  rank_outputs other = all;
  at_once.disturb(all);
  reborn.disturb(other);
  CHECK(text_of(all) == text_of(apart));
  CHECK(text_of(all) != text_of(other));
  CHECK(all.size() > 16);
  CHECK(all.size() < 48);
}
