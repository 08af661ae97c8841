// Which action a rank runs next: what may overtake, and what never happens whatever comes late.
#include "runtime/action_queue.hpp"
#include "runtime/schedule/check.hpp"
#include "tests/support/random_schedule.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

std::vector<action> list_of(const std::vector<std::string>& texts) {
  std::vector<action> list;
  for (const std::string& text : texts)
    list.push_back(parse_action(text).value());
  return list;
}

/// What a queue with these bounds runs next when only the inputs of `ready` are here; "wait" if nothing.
std::string next_of(const action_queue& queue, const std::set<std::string>& ready) {
  const action* const next = queue.next([&](const action& one) { return ready.contains(to_string(one)); });
  return next == nullptr ? "wait" : to_string(*next);
}

void finish(action_queue& queue, const std::string& text) {
  const action* const next = queue.next([&](const action& one) { return to_string(one) == text; });
  REQUIRE(next != nullptr);
  queue.finish(*next);
}

/// A pipeline played without computing: each rank runs what its queue says, at once or later; results are under way
/// for as long as chance likes.
class play {
public:
  play(const schedule& plan, const schedule_facts& facts, std::mt19937& random)
      : plan_(plan), facts_(facts), random_(random), held_(plan.ranks, std::vector<std::uint32_t>(plan.stages(), 0)),
        ran_(plan.ranks) {
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
      queues_.emplace_back(stash_bounds{facts.peak_by_stage, facts.peak_by_rank[rank]});
      queues_.back().begin(plan.actions[rank], dispatch_mode::reactive);
    }
  }

  /// True when all lists were run to their ends.
  bool run() {
    while (true) {
      std::vector<std::uint32_t> able;
      for (std::uint32_t rank = 0; rank < plan_.ranks; ++rank)
        if (next_of_rank(rank) != nullptr)
          able.push_back(rank);
      const std::size_t choices = able.size() + under_way_.size();
      if (choices == 0)
        break;
      const std::size_t chosen = pick(random_, 0, static_cast<std::uint32_t>(choices - 1));
      if (chosen < able.size())
        run_one(able[chosen]);
      else
        deliver(chosen - able.size());
    }
    return std::all_of(queues_.begin(), queues_.end(), [](const action_queue& queue) { return queue.empty(); });
  }

  const std::vector<action>& ran(std::uint32_t rank) const { return ran_[rank]; }

private:
  /// What `one` takes from a neighbour is the neighbour's action of the same microbatch, in either form.
  bool is_here(const action& one) const {
    const auto has = [&](const action& giver) { return here_.contains(giver); };
    if (one.op == operation::backward_weight)
      return true;
    if (one.op == operation::forward)
      return one.stage == 0 || has({one.stage - 1, operation::forward, one.microbatch});
    return one.stage + 1 == plan_.stages() || has({one.stage + 1, operation::backward_input, one.microbatch}) ||
           has({one.stage + 1, operation::backward, one.microbatch});
  }

  const action* next_of_rank(std::uint32_t rank) const {
    return queues_[rank].next([this](const action& one) { return is_here(one); });
  }

  void run_one(std::uint32_t rank) {
    const action one = *next_of_rank(rank);
    queues_[rank].finish(*next_of_rank(rank));
    REQUIRE(can_run(one, plan_.stages(), done_));
    done_.insert(one);
    ran_[rank].push_back(one);
    if (one.op == operation::forward)
      ++held_[rank][one.stage];
    else if (one.op != operation::backward_input)
      --held_[rank][one.stage];
    REQUIRE(held_[rank][one.stage] <= facts_.peak_by_stage[one.stage]);
    REQUIRE(std::accumulate(held_[rank].begin(), held_[rank].end(), 0U) <= facts_.peak_by_rank[rank]);
    if (one.op != operation::backward_weight)
      under_way_.push_back(one);
  }

  void deliver(std::size_t index) {
    here_.insert(under_way_[index]);
    under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(index));
    check_waiting();
  }

  /// The bounds by which stage_runner refuses messages.
  void check_waiting() const {
    std::vector<std::uint32_t> activations(plan_.stages(), 0);
    std::vector<std::uint32_t> gradients(plan_.stages(), 0);
    for (const auto& [stage, op, microbatch] : here_)
      if (op == operation::forward && stage + 1 < plan_.stages())
        activations[stage + 1] += done_.contains({stage + 1, operation::forward, microbatch}) ? 0 : 1;
      else if (op != operation::forward && stage > 0)
        gradients[stage - 1] += done_.contains({stage - 1, operation::backward_input, microbatch}) ||
                                        done_.contains({stage - 1, operation::backward, microbatch})
                                    ? 0
                                    : 1;
    for (std::uint32_t stage = 0; stage < plan_.stages(); ++stage) {
      REQUIRE((stage == 0 || activations[stage] <= facts_.peak_by_stage[stage - 1]));
      REQUIRE(gradients[stage] <= facts_.peak_by_stage[stage]);
    }
  }

  const schedule& plan_;
  const schedule_facts& facts_;
  std::mt19937& random_;
  std::vector<action_queue> queues_;
  std::set<action> done_;
  std::set<action> here_;                        ///< passes whose result has arrived
  std::vector<action> under_way_;                ///< passes whose result is on its way
  std::vector<std::vector<std::uint32_t>> held_; ///< by rank and stage
  std::vector<std::vector<action>> ran_;
};

/// The microbatches of one stage in the order in which its weight gradients are added.
std::map<std::uint32_t, std::vector<std::uint32_t>> weight_orders(const std::vector<action>& list) {
  std::map<std::uint32_t, std::vector<std::uint32_t>> orders;
  for (const action& one : list)
    if (one.op == operation::backward || one.op == operation::backward_weight)
      orders[one.stage].push_back(one.microbatch);
  return orders;
}

void check_plays(const schedule& plan, std::mt19937& random, std::size_t& overtakings) {
  const schedule_facts facts = check_schedule(plan);
  play one(plan, facts, random);
  REQUIRE(one.run());
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
    REQUIRE(weight_orders(one.ran(rank)) == weight_orders(plan.actions[rank]));
    overtakings += one.ran(rank) == plan.actions[rank] ? 0 : 1;
  }
}

} // namespace

TEST_CASE("fixed: nothing overtakes the first action of the list", "[dispatch]") {
  const std::vector<action> list = list_of({"1F0", "1I0", "1F1", "1W0"});
  action_queue queue({{2, 2, 2}, 2});
  queue.begin(list, dispatch_mode::fixed);
  CHECK(next_of(queue, {"1F1", "1W0", "1I0"}) == "wait");
  CHECK(next_of(queue, {"1F0", "1F1"}) == "1F0");
  finish(queue, "1F0");
  CHECK(next_of(queue, {"1F1"}) == "wait");
}

TEST_CASE("reactive: the first action goes first when it is ready, else the first later one that may", "[dispatch]") {
  const std::vector<action> list = list_of({"1F0", "1F1", "1I0", "1I1", "1W0", "1F2", "1W1"});
  action_queue queue({{3, 3, 3}, 3});
  queue.begin(list, dispatch_mode::reactive);
  for (const std::string text : {"1F0", "1F1", "1I0"})
    finish(queue, text);
  CHECK(next_of(queue, {"1I1", "1W0", "1F2"}) == "1I1");
  CHECK(next_of(queue, {"1W0", "1F2"}) == "1W0");
  CHECK(next_of(queue, {"1F2"}) == "1F2");
  CHECK(next_of(queue, {"1W1"}) == "wait"); // behind W0 and its own I1
  finish(queue, "1W0");
  finish(queue, "1I1");
  finish(queue, "1W1");
  CHECK(next_of(queue, {"1F2"}) == "1F2");
  finish(queue, "1F2");
  CHECK(queue.empty());
}

TEST_CASE("reactive: actions of one stage and kind keep the list's order, and none comes before its own F or I",
          "[dispatch]") {
  const std::vector<action> list = list_of({"0F0", "0F1", "0I0", "0B1", "0W0", "1F0", "1B0"});
  action_queue queue({{9, 9}, 9});
  queue.begin(list, dispatch_mode::reactive);
  CHECK(next_of(queue, {"0F1"}) == "wait");        // behind F0
  CHECK(next_of(queue, {"0I0", "0B1"}) == "wait"); // each behind its own F
  CHECK(next_of(queue, {"1F0"}) == "1F0");         // another stage
  CHECK(next_of(queue, {"1B0"}) == "wait");
  finish(queue, "0F0");
  finish(queue, "0F1");
  CHECK(next_of(queue, {"0B1"}) == "0B1"); // I and B are different kinds
  CHECK(next_of(queue, {"0W0"}) == "wait");
}

TEST_CASE("reactive: an F waits when the stage or the rank would hold too much before the F's own place",
          "[dispatch]") {
  // Ahead of its place, 0F2 would meet 0F1 (2 held with 0F0) before 0B0 frees one.
  const std::vector<action> list = list_of({"1F0", "0F0", "0F1", "0B0", "0F2", "1B0", "0B1", "0B2"});
  const auto after_three = [&](const stash_bounds& bounds) {
    action_queue queue(bounds);
    queue.begin(list, dispatch_mode::reactive);
    for (const std::string text : {"1F0", "0F0", "0F1"})
      finish(queue, text);
    return next_of(queue, {"0F2"});
  };
  CHECK(after_three({{2, 1}, 3}) == "wait"); // stage 0 holds 2
  CHECK(after_three({{3, 1}, 3}) == "wait"); // the rank holds 3
  CHECK(after_three({{3, 1}, 4}) == "0F2");

  // Nothing is held now, but 0F0 and 0F1 are held before 1F0's own place.
  const std::vector<action> full_later = list_of({"0F0", "0F1", "0B0", "0B1", "1F0", "1B0"});
  for (const std::uint32_t rank_bound : {2U, 3U}) {
    action_queue queue({{2, 1}, rank_bound});
    queue.begin(full_later, dispatch_mode::reactive);
    CHECK(next_of(queue, {"1F0"}) == (rank_bound == 3 ? "1F0" : "wait"));
  }
}

TEST_CASE("reactive: a rank looks only so far ahead", "[dispatch]") {
  std::vector<action> list;
  for (std::uint32_t microbatch = 0; microbatch < 100; ++microbatch)
    list.push_back({0, operation::forward, microbatch});
  list.insert(list.begin() + action_queue::lookahead, {1, operation::forward, 0});
  action_queue queue({{200, 200}, 200});
  queue.begin(list, dispatch_mode::reactive);
  CHECK(next_of(queue, {"1F0"}) == "wait");
  finish(queue, "0F0");
  CHECK(next_of(queue, {"1F0"}) == "1F0");
}

TEST_CASE("whatever comes late: reactive ranks stay within the peaks, keep the order of weight gradients, and end",
          "[dispatch]") {
  std::mt19937 random(11);
  std::size_t overtakings = 0;
  for (int run = 0; run < 400; ++run)
    check_plays(random_schedule(random), random, overtakings);
  CHECK(overtakings > 400); // else this test would show nothing
}

TEST_CASE("the built-in schedules stay within their peaks and end when anything comes late", "[dispatch]") {
  std::mt19937 random(12);
  for (const std::string& name : schedule_names()) {
    std::size_t overtakings = 0;
    for (const std::uint32_t ranks : {2U, 4U})
      for (int run = 0; run < 5; ++run)
        check_plays(generate_schedule({.name = name, .ranks = ranks, .microbatches = 8}), random, overtakings);
    INFO(name);
    CHECK((overtakings > 0 || name == "naive"));
  }
}
