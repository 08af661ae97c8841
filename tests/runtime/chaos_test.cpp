// The faults that a run makes itself: their language, what is drawn, and when they strike.
#include "model/error.hpp"
#include "runtime/faults/chaos.hpp"
#include "runtime/faults/chaos_queries.hpp"
#include "runtime/plan.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <utility>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::StartsWith;

namespace {

/// Four ranks with six actions each, ten steps, a snapshot after each second one.
chaos_run small_run() {
  return {.ranks = 4, .end_step = 10, .snapshot_every = 2, .checkpoints = true, .actions = {6, 6, 6, 6}};
}

std::vector<chaos_event> events_of(const std::string& text, const chaos_run& run = small_run()) {
  return resolve_chaos(parse_chaos(text), run);
}

std::string refusal(const std::string& text) {
  return error_text<spec_error>([&] { events_of(text); });
}

/// Runs one rank through all its steps, restarted from the newest snapshot whenever it is killed. How often each event
/// struck it.
std::map<std::string, int> strikes(const std::vector<chaos_event>& events, std::uint32_t rank, const chaos_run& run) {
  constexpr std::array in_action = {chaos_moment::before_receive, chaos_moment::after_compute,
                                    chaos_moment::after_send};
  std::map<std::string, int> seen;
  incarnation life = 1;
  rank_chaos chaos(events, rank, life);
  std::uint64_t step = 0;
  while (step < run.end_step) {
    bool alive = true;
    const auto ask = [&](std::uint32_t action, chaos_moment moment) {
      if (const auto event = alive ? chaos.due(step, action, moment) : std::nullopt) {
        ++seen[to_text(*event)];
        alive = event->verb == chaos_verb::freeze;
      }
    };
    for (std::uint32_t action = 0; action < run.actions[rank]; ++action)
      for (const chaos_moment moment : in_action)
        ask(action, moment);
    if ((step + 1) % run.snapshot_every == 0)
      ask(0, chaos_moment::during_snapshot);
    step = alive ? step + 1 : step / run.snapshot_every * run.snapshot_every;
    if (!alive)
      chaos = rank_chaos(events, rank, ++life);
  }
  return seen;
}

} // namespace

TEST_CASE("every verb of chaos reads as it is written", "[chaos]") {
  const std::vector<chaos_event> events =
      events_of("kill:rank=2,step=5,action=3,at=after-compute + kill-process:rank=1,step=2,action=0,at=after-send"
                "+kill-scheduler:step=3+freeze:rank=0,step=4,action=5,at=before-receive,for=2s"
                "+drop:share=0.01,seed=7+duplicate:share=1+delay:share=0.5,for=5ms+reorder:share=0.25"
                "+disk:write=3,error=EIO+disk:write=4");
  CHECK(events == std::vector<chaos_event>{
                      {.verb = chaos_verb::kill_process, .rank = 1, .step = 1, .moment = chaos_moment::after_send},
                      {.verb = chaos_verb::kill_scheduler, .step = 2},
                      {.verb = chaos_verb::freeze,
                       .rank = 0,
                       .step = 3,
                       .action = 5,
                       .moment = chaos_moment::before_receive,
                       .seconds = 2.0},
                      {.verb = chaos_verb::kill, .rank = 2, .step = 4, .action = 3},
                      {.verb = chaos_verb::drop, .share = 0.01, .seed = 7},
                      {.verb = chaos_verb::duplicate, .share = 1.0},
                      {.verb = chaos_verb::delay, .seconds = 0.005, .share = 0.5},
                      {.verb = chaos_verb::reorder, .share = 0.25},
                      {.verb = chaos_verb::disk, .write = 3, .error = EIO},
                      {.verb = chaos_verb::disk, .write = 4, .error = ENOSPC},
                  });
  CHECK(events_of("").empty());
  CHECK(events_of(" \n").empty());
}

TEST_CASE("what chaos cannot read is refused with what was found and what was expected", "[chaos]") {
  CHECK(refusal("kil:rank=2") == "faults.chaos: found 'kil', expected one of kill, kill-process, kill-scheduler, "
                                 "freeze, drop, duplicate, delay, reorder, disk, did you mean 'kill'?");
  CHECK(refusal("kill:rnak=2") == "faults.chaos: kill: found 'rnak=2', expected one of rank, step, action, at, count, "
                                  "seed, did you mean 'rank'?");
  CHECK(refusal("drop:share=0.1,for=2s") == "faults.chaos: drop: found 'for=2s', expected one of share, seed");
  CHECK(refusal("kill:rank=2,rank=3") == "faults.chaos: kill: found 'rank=3', expected rank= once");
  CHECK(refusal("kill:at=after-comput") ==
        "faults.chaos: kill: found 'at=after-comput', expected one of before-receive, after-compute, after-send, "
        "during-snapshot, any, did you mean 'after-compute'?");
  CHECK(refusal("kill:rank=2, ") == "faults.chaos: found nothing after 'rank=2,', expected more to follow");
  CHECK(refusal("kill:") == "faults.chaos: found nothing after 'kill:', expected more to follow");
  CHECK_THAT(refusal("kill:,rank=2"), StartsWith("faults.chaos: kill: found '', expected one of rank, "));
  for (const std::string term : {"step=0", "step=-1", "step=2.5", "step=", "step=1099511627777", "step"})
    CHECK(refusal("kill:" + term) == "faults.chaos: kill: found '" + term +
                                         "', expected step= and a whole number from 1 to 1099511627776, or any");
  for (const std::string term : {"share=0", "share=1.5", "share=-1", "share=nan", "share=1%", "share="})
    CHECK(refusal("drop:" + term) == "faults.chaos: drop: found '" + term +
                                         "', expected the part of all messages, above 0 and at most 1, as in "
                                         "share=0.01");
  for (const std::string term : {"for=2", "for=0s", "for=2h", "for=inf", "for=4000s", "for="})
    CHECK(refusal("freeze:" + term) == "faults.chaos: freeze: found '" + term +
                                           "', expected a time above 0 and at most 3600 s, as in for=2s or for=5ms "
                                           "(units: s, ms, us)");
  CHECK(refusal("drop:share=1") == "faults.chaos: found 'drop:share=1', expected a share below 1, since a run in which "
                                   "nothing arrives never ends");
  CHECK(refusal("freeze:rank=1") == "faults.chaos: found 'freeze:rank=1', expected for= in it");
  CHECK(refusal("delay:for=5ms") == "faults.chaos: found 'delay:for=5ms', expected share= in it");
  CHECK(refusal("disk") == "faults.chaos: found 'disk', expected write= in it");
  CHECK(refusal("disk:write=1,error=ENOSPACE") == "faults.chaos: disk: found 'error=ENOSPACE', expected one of ENOSPC, "
                                                  "EIO, EDQUOT, EROFS, did you mean 'ENOSPC'?");
  CHECK(refusal("kill+") == "faults.chaos: found nothing after 'kill+', expected more to follow");
  CHECK_THAT(refusal("kill:seed=1++kill:seed=1"), StartsWith("faults.chaos: found '', expected one of kill, "));
  CHECK(refusal("kill:count=1001") ==
        "faults.chaos: kill: found 'count=1001', expected count= and a whole number from 1 to 1000");
  CHECK(refusal("kill:count=600+kill:count=600") == "faults.chaos: found more than 1000 faults, expected at most 1000");
  CHECK(refusal("kill:action=1,at=during-snapshot") ==
        "faults.chaos: found 'kill:action=1,at=during-snapshot', expected no action=, since no action runs "
        "during-snapshot");
}

TEST_CASE("a fault where the run has no such place is refused", "[chaos]") {
  CHECK(refusal("kill:rank=4") == "faults.chaos: kill:rank=4: found rank 4, expected 0 to 3");
  CHECK(refusal("kill-scheduler:step=11") == "faults.chaos: kill-scheduler:step=11: found step 11, expected 1 to 10");
  CHECK(refusal("freeze:action=6,for=1s") == "faults.chaos: freeze:action=6,for=1s: found action 6, expected 0 to 5");
  CHECK(refusal("kill:at=during-snapshot,step=3") ==
        "faults.chaos: kill:at=during-snapshot,step=3: found at=during-snapshot in step 3, expected a step that "
        "faults.snapshot_every (2) divides");
  chaos_run run = small_run();
  run.first_step = 4;
  CHECK(error_text<spec_error>([&] { events_of("kill:step=4", run); }) ==
        "faults.chaos: kill:step=4: found step 4, expected 5 to 10");
  run.snapshot_every = 0;
  CHECK(error_text<spec_error>([&] { events_of("kill:at=during-snapshot", run); }) ==
        "faults.chaos: kill:at=during-snapshot: found at=during-snapshot, expected another moment, since no step of "
        "the run is followed by a snapshot");
  CHECK(error_text<spec_error>([&] { events_of("drop:share=0.1", run); }) ==
        "faults.chaos: drop:share=0.1: found faults.snapshot_every 0, expected 1 or more, since without snapshots "
        "nobody keeps what is to be sent again");
  run.actions = {6, 3, 6, 6};
  CHECK(error_text<spec_error>([&] { events_of("kill:action=4", run); }) ==
        "faults.chaos: kill:action=4: found action 4, expected 0 to 2"); // any rank: one that all of them have
  CHECK(events_of("kill:action=4,rank=0", run).size() == 1);
}

TEST_CASE("a fault that could strike nothing in the run is refused", "[chaos]") {
  chaos_run run = small_run();
  const auto text = [&](const std::string& chaos) { return error_text<spec_error>([&] { events_of(chaos, run); }); };
  run.checkpoints = false;
  const std::string no_file = "faults.chaos: disk:write=1: found a run that writes neither checkpoints nor snapshots, "
                              "expected checkpoint.directory or faults.snapshot_directory";
  CHECK(text("disk:write=1") == no_file);
  run.snapshots_on_disk = true;
  CHECK(text("disk:write=1").empty());
  run.snapshot_every = 11; // no step is followed by one
  CHECK(text("disk:write=1") == no_file);
  run.ranks = 1;
  run.actions = {6};
  for (const std::string fault : {"drop:share=0.1", "duplicate:share=1", "delay:share=1,for=1s", "reorder:share=1"})
    CHECK(text(fault) == "faults.chaos: " + fault +
                             ": found pipeline.stages 1, expected 2 or more, since a rank alone "
                             "sends no messages to others");
}

TEST_CASE("what is drawn stays within the run, reaches every part of it, and follows from the seed alone", "[chaos]") {
  const std::vector<chaos_event> events = events_of("kill:count=1000,seed=7");
  REQUIRE(events.size() == 1000);
  CHECK(events == events_of("kill:rank=any,step=any,action=any,at=any,count=1000,seed=7"));
  CHECK(events != events_of("kill:count=1000,seed=8"));
  std::set<std::uint64_t> ranks, steps, actions, moments;
  for (const chaos_event& one : events) {
    ranks.insert(one.rank);
    steps.insert(one.step);
    actions.insert(one.action);
    moments.insert(static_cast<std::uint64_t>(one.moment));
    CHECK((one.moment != chaos_moment::during_snapshot || one.step % 2 == 1));
  }
  CHECK(ranks == std::set<std::uint64_t>{0, 1, 2, 3});
  CHECK(steps == std::set<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(actions == std::set<std::uint64_t>{0, 1, 2, 3, 4, 5});
  CHECK(moments == std::set<std::uint64_t>{0, 1, 2, 3});
  chaos_run late = small_run();
  late.first_step = 5;
  late.snapshot_every = 3;
  std::set<std::uint64_t> snapshots;
  for (const chaos_event& one : events_of("kill:count=100,at=during-snapshot", late))
    snapshots.insert(one.step);
  CHECK(snapshots == std::set<std::uint64_t>{5, 8});
}

TEST_CASE("the same text draws the same faults on every machine", "[chaos]") {
  CHECK(to_text(events_of("kill:count=3,seed=7+freeze:for=5ms+kill-scheduler:seed=2")) ==
        "freeze:rank=3,step=2,action=0,at=after-compute,for=0.005s+kill:rank=0,step=2,action=3,at=after-compute"
        "+kill:rank=3,step=8,at=during-snapshot+kill-scheduler:step=9+kill:rank=3,step=9,action=4,at=before-receive");
}

TEST_CASE("what was drawn, written as text, makes the same faults again", "[chaos]") {
  const std::vector<chaos_event> events =
      events_of("kill:count=20,seed=3+kill-process:count=5+freeze:count=5,for=1500us+kill-scheduler:count=3"
                "+delay:share=0.125,for=5ms,seed=9+drop:share=0.3+disk:write=7,error=EDQUOT");
  REQUIRE(events.size() == 36);
  CHECK(events_of(to_text(events)) == events);
}

TEST_CASE("a rank that is restarted runs the same step again and is struck by each event once", "[chaos]") {
  const std::uint64_t every = GENERATE(1, 2, 5);
  const int seed = GENERATE(range(0, 8));
  chaos_run run = small_run();
  run.snapshot_every = every;
  const std::string text = "kill:count=12,seed=" + std::to_string(seed) +
                           "+freeze:count=4,for=1s,seed=" + std::to_string(seed) +
                           "+kill:rank=1,step=5,action=2,at=after-send,count=3";
  INFO(text);
  const std::vector<chaos_event> events = events_of(text, run);
  std::map<std::string, int> expected, seen;
  for (const chaos_event& one : events)
    ++expected[to_text(one)];
  for (std::uint32_t rank = 0; rank < run.ranks; ++rank)
    for (const auto& [event, times] : strikes(events, rank, run))
      seen[event] += times;
  CHECK(seen == expected);
  CHECK(seen["kill:rank=1,step=5,action=2,at=after-send"] >= 3);
}

TEST_CASE("the death of a process counts as one of each rank in it", "[chaos]") {
  chaos_run run = small_run();
  run.processes = {0, 0, 1, 1};
  const auto lives = [&](const std::string& text) {
    std::vector<std::pair<std::uint32_t, incarnation>> found;
    for (const chaos_event& one : events_of(text, run))
      found.emplace_back(one.rank, one.life);
    return found;
  };
  using pairs = std::vector<std::pair<std::uint32_t, incarnation>>;
  CHECK(lives("kill-process:rank=2,step=3+kill:rank=3,step=5,action=1+kill:rank=1,step=5,action=0") ==
        pairs{{2, 1}, {1, 1}, {3, 2}});
  // In one step: a rank that comes by its own fault before it dies with the process comes by once more.
  CHECK(lives("kill:rank=3,step=3,action=0,at=after-send+kill-process:rank=2,step=3,action=5") ==
        pairs{{2, 1}, {3, 2}});
  run.processes.clear();
  CHECK(lives("kill-process:rank=2,step=3+kill:rank=3,step=5") == pairs{{2, 1}, {3, 1}});
}

TEST_CASE("the scheduler's deaths are counted apart, and each strikes once", "[chaos]") {
  const std::vector<chaos_event> events = events_of("kill-scheduler:step=3,count=2+kill:rank=0,step=2");
  scheduler_chaos first(events, 1);
  CHECK_FALSE(first.due(1));
  REQUIRE(first.due(2));
  CHECK_FALSE(first.due(2));
  scheduler_chaos second(events, 2);
  REQUIRE(second.due(2));
  CHECK_FALSE(scheduler_chaos(events, 3).due(2));
}

TEST_CASE("a rank is asked for no other one's events, nor at another moment", "[chaos]") {
  const std::vector<chaos_event> events = events_of("kill:rank=2,step=5,action=3,at=after-compute");
  CHECK_FALSE(rank_chaos(events, 1, 1).due(4, 3, chaos_moment::after_compute));
  CHECK_FALSE(rank_chaos(events, 2, 2).due(4, 3, chaos_moment::after_compute));
  rank_chaos chaos(events, 2, 1);
  CHECK_FALSE(chaos.due(3, 3, chaos_moment::after_compute));
  CHECK_FALSE(chaos.due(4, 2, chaos_moment::after_compute));
  CHECK_FALSE(chaos.due(4, 3, chaos_moment::after_send));
  CHECK(chaos.due(4, 3, chaos_moment::after_compute) == events.front());
  CHECK_FALSE(chaos.due(4, 3, chaos_moment::after_compute));
}

TEST_CASE("messages meet their fates as often as asked for, other ones in another life", "[chaos]") {
  const std::vector<chaos_event> events = events_of("drop:share=0.1,seed=5+delay:share=0.5,for=5ms");
  constexpr std::uint64_t count = 10000;
  message_chaos chaos(events, 2, 1);
  const message_chaos same(events, 2, 1);
  const message_chaos reborn(events, 2, 2);
  const message_chaos neighbour(events, 3, 1);
  std::map<message_fate::kind, int> seen;
  std::uint64_t reborn_differs = 0;
  std::uint64_t neighbour_differs = 0;
  for (std::uint64_t number = 0; number < count; ++number) {
    const message_fate fate = chaos.next();
    REQUIRE(fate == same.fate_of(number));
    ++seen[fate.what];
    CHECK((fate.seconds == 0.005) == (fate.what == message_fate::kind::delay));
    reborn_differs += fate == reborn.fate_of(number) ? 0 : 1;
    neighbour_differs += fate == neighbour.fate_of(number) ? 0 : 1;
  }
  CHECK(seen[message_fate::kind::drop] == Approx(1000).margin(150));  // five standard deviations
  CHECK(seen[message_fate::kind::delay] == Approx(4500).margin(250)); // half of what is not dropped
  CHECK(seen[message_fate::kind::deliver] == Approx(4500).margin(250));
  CHECK(reborn_differs > count / 3);
  CHECK(neighbour_differs > count / 3);
  CHECK(message_chaos(events_of("kill:seed=1+disk:write=1"), 0, 1).next() == message_fate{});
  CHECK(message_chaos(events_of("reorder:share=1"), 0, 1).next().what == message_fate::kind::reorder);
  CHECK(message_chaos(events_of("duplicate:share=1"), 0, 1).next().what == message_fate::kind::duplicate);
}

TEST_CASE("just the writes that are named fail", "[chaos]") {
  disk_chaos disk(events_of("disk:write=3,error=EIO+disk:write=2"));
  std::array<int, 5> results{};
  for (int& one : results)
    one = disk.next_write();
  CHECK(results == std::array<int, 5>{0, ENOSPC, EIO, 0, 0});
}

TEST_CASE("the places of a run are those of its plan", "[chaos]") {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.training.stop_after = 2;
  spec.faults.snapshot_every = 3;
  const chaos_run run = chaos_run_of(spec, make_plan(spec, find_family("gpt")), 1);
  CHECK(run.ranks == 2);
  CHECK(run.first_step == 1);
  CHECK(run.end_step == 2);
  CHECK(run.snapshot_every == 3);
  CHECK_FALSE(run.checkpoints);
  CHECK_FALSE(run.snapshots_on_disk);
  CHECK(run.actions == std::vector<std::uint32_t>{8, 8}); // F and B of four microbatches
  spec.pipeline.schedule = "pipedream";
  spec.optimizer.clip = 0.0;
  spec.model.tied_head = false;
  // Of a step between others that carry on, rank 0 has run a forward pass before it begins.
  CHECK(chaos_run_of(spec, make_plan(spec, find_family("gpt")), 0).actions == std::vector<std::uint32_t>{7, 8});
}

TEST_CASE("a run spec whose chaos cannot be is refused", "[chaos]") {
  run_spec spec;
  const auto text = [&](const std::string& chaos) {
    spec.faults.chaos = chaos;
    return error_text<spec_error>([&] { validate(spec); });
  };
  spec.pipeline.stages = 2;
  CHECK(text("kill:rank=1,step=1+drop:share=0.1").empty());
  CHECK_THAT(text("kill:rank=2"), StartsWith("faults.chaos: kill:rank=2: found rank 2, expected 0 to 1"));
  CHECK_THAT(text("kill:step=1000"), StartsWith("faults.chaos: kill:step=1000: found step 1000, expected 1 to "));
  CHECK_FALSE(text("disk:write=1").empty());
  spec.faults.snapshot_directory = "snapshots";
  CHECK(text("disk:write=1").empty());
  spec.faults.snapshot_directory.clear();
  spec.checkpoint.directory = "run";
  CHECK(text("disk:write=1").empty());
  CHECK_THAT(text("slay"), StartsWith("faults.chaos: found 'slay', expected one of kill, "));
  CHECK(
      text("drop:share=0.1+kill") ==
      "faults.chaos: found 'kill', expected kill:KEY=VALUE, with at least one of rank, step, action, at, count, seed");
  spec.pipeline.schedule = "reference";
  CHECK(
      text("kill:seed=1") ==
      "faults.chaos: found 'kill:seed=1', expected nothing, since pipeline.schedule is reference, which has no ranks");
}
