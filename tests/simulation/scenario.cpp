#include "tests/simulation/scenario.hpp"

#include "model/error.hpp"
#include "runtime/plan.hpp"
#include "runtime/schedule/search/dice.hpp"
#include "runtime/stage_cuts.hpp"
#include "tests/support/tiny_run.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace troupe::test {

namespace {

/// So many restarts that none is refused.
constexpr std::uint32_t unlimited = 60000;
constexpr double for_ever = 1e6; ///< seconds

bool one_in(dice& chance, std::size_t sides) {
  return chance.below(sides) == 0;
}

std::uint64_t between(dice& chance, std::uint64_t least, std::uint64_t most) {
  return least + chance.below(most - least + 1);
}

/// Whether the schedule can be cut so.
std::optional<plan> plan_of(const run_spec& spec) {
  try {
    validate(spec);
    return make_plan(spec, find_family(spec.model.family));
  } catch (const spec_error&) {
    return std::nullopt;
  }
}

/// Names a schedule and what it is laid out by.
pipeline_spec draw_pipeline(dice& chance, std::uint32_t most_stages) {
  const std::vector<std::string> names = schedule_names();
  pipeline_spec pipeline;
  pipeline.schedule = names[chance.below(names.size())];
  pipeline.stages = static_cast<std::uint32_t>(between(chance, 1, most_stages));
  if (pipeline.schedule.starts_with("interleaved") || pipeline.schedule == "looped-bfs")
    pipeline.chunks = static_cast<std::uint32_t>(between(chance, 1, 2));
  if (pipeline.schedule == "hanayo")
    pipeline.waves = one_in(chance, 4) ? 2 : 1;
  const bool asynchronous = pipeline.schedule.starts_with("pipedream");
  if (!asynchronous && one_in(chance, 4))
    pipeline.dispatch = dispatch_mode::reactive;
  if (one_in(chance, 5))
    pipeline.recomputation = recompute::full;
  return pipeline;
}

void draw_model(dice& chance, run_spec& spec) {
  spec.model.family = one_in(chance, 4) ? "mlp" : "gpt";
  spec.model.layers = static_cast<std::int64_t>(between(chance, 1, 3));
  spec.model.width = 8;
  spec.model.heads = static_cast<std::int64_t>(between(chance, 1, 2));
  spec.model.vocabulary = 11;
  spec.model.sequence_length = 3;
  spec.model.embedding_width = 4;
  spec.data.tokens = token_format::uint16; // which may be few
  spec.model.dropout = one_in(chance, 3) ? 0.1 : 0.0;
}

void draw_training(dice& chance, run_spec& spec) {
  spec.training.steps = between(chance, 2, 6);
  spec.training.microbatches = static_cast<std::uint32_t>(between(chance, 1, 8));
  spec.training.microbatch_size = static_cast<std::uint32_t>(between(chance, 1, 2));
  spec.training.seed = chance.below(1000);
  if (one_in(chance, 4))
    spec.training.gradient_groups = static_cast<std::uint32_t>(between(chance, 1, 3));
  spec.optimizer.kind = one_in(chance, 3) ? "sgd" : "adamw";
  spec.optimizer.clip = one_in(chance, 2) ? 0.05 : 0.0;
  spec.model.tied_head = spec.model.family == "gpt" && one_in(chance, 2);
  spec.validation.every = chance.below(4);
  spec.validation.microbatches = static_cast<std::uint32_t>(between(chance, 1, 4));
}

void draw_saving(dice& chance, run_spec& spec) {
  spec.faults.snapshot_every = between(chance, 1, 3);
  spec.faults.max_restarts = unlimited;
  spec.faults.restart_window_seconds = for_ever;
  spec.checkpoint = {};
  if (one_in(chance, 2))
    return;
  spec.checkpoint.directory = disk_name;
  spec.checkpoint.every = chance.below(3);
}

/// What an asynchronous schedule refuses.
void settle(run_spec& spec) {
  if (!spec.pipeline.schedule.starts_with("pipedream"))
    return;
  spec.optimizer.clip = 0.0;
  spec.model.tied_head = false;
}

/// A run that can be made; most of what is drawn can.
run_spec draw_run(dice& chance) {
  while (true) {
    run_spec spec = tiny_spec();
    draw_model(chance, spec);
    draw_training(chance, spec);
    draw_saving(chance, spec);
    spec.pipeline = draw_pipeline(chance, 4);
    settle(spec);
    const bool rounds = one_in(chance, 10);
    const std::optional<plan> cut = plan_of(spec);
    if (!cut)
      continue;
    spec.training.gradient_groups = cut->gradient_groups; // settled, for the reference
    if (rounds) {
      spec.pipeline.wire = wire_precision::bf16;
      note_cuts(spec, cut->stages);
    }
    return spec;
  }
}

unruliness draw_network(dice& chance, const run_spec& spec) {
  constexpr std::array duplicated = {0.0, 0.1, 0.3};
  constexpr std::array lost = {0.0, 0.0, 0.0, 0.02, 0.1, 0.4};
  constexpr std::array in_order = {0.0, 0.0, 0.5, 0.95};
  // With the longer ones a step takes more than a stalled run is given.
  constexpr std::array seconds = {1e-6, 1e-6, 1e-3, 1e-2};
  unruliness how{.duplicated = chance.one_of(duplicated),
                 .lost = chance.one_of(lost),
                 .in_order = chance.one_of(in_order),
                 .seconds_per_event = chance.one_of(seconds),
                 .to_successors = chance.coin()};
  constexpr std::array roles = {actor_role::rank, actor_role::rank, actor_role::scheduler, actor_role::keeper,
                                actor_role::store};
  if (one_in(chance, 4))
    how.starved = actor_name{chance.one_of(roles), static_cast<std::uint32_t>(chance.below(spec.pipeline.stages)), 1};
  if (how.starved && how.starved->role != actor_role::rank)
    how.starved->rank = 0;
  return how;
}

/// About how many events a calm run has.
std::uint64_t events_of(const run_spec& spec) {
  const std::uint64_t chunks = std::max(spec.pipeline.chunks, 1U);
  return 100 + 14 * spec.training.steps * (spec.training.microbatches + 2) * spec.pipeline.stages * chunks;
}

strike draw_strike(dice& chance, const scenario& drawn) {
  constexpr std::array kinds = {strike_kind::one_rank,  strike_kind::one_rank,           strike_kind::some_ranks,
                                strike_kind::all_ranks, strike_kind::scheduler,          strike_kind::scheduler,
                                strike_kind::process,   strike_kind::scheduler_and_rank, strike_kind::interrupt};
  constexpr std::array occasions = {
      occasion::snapshot_asked,      occasion::snapshot_kept,   occasion::validation_opened,
      occasion::checkpoint_part,     occasion::checkpoint_over, occasion::rank_restarted,
      occasion::scheduler_restarted, occasion::told_again,      occasion::digests_asked};
  strike one{.what = chance.one_of(kinds)};
  if (one.what == strike_kind::process && !drawn.saves() && !one_in(chance, 4))
    one.what = strike_kind::one_rank;
  if (one.what == strike_kind::interrupt && !one_in(chance, 3))
    one.what = strike_kind::scheduler;
  if (one_in(chance, 2)) {
    one.delay = chance.below(events_of(drawn.spec));
    return one;
  }
  one.when = chance.one_of(occasions);
  one.skipped = chance.below(4) * chance.below(4);
  one.delay = chance.below(4) * chance.below(12);
  return one;
}

void draw_strikes(dice& chance, scenario& drawn) {
  const std::size_t count = one_in(chance, 5) ? 0 : between(chance, 1, 6);
  for (std::size_t i = 0; i < count; ++i)
    drawn.strikes.push_back(draw_strike(chance, drawn));
}

void draw_disk(dice& chance, scenario& drawn) {
  constexpr std::array codes = {ENOSPC, EIO, EDQUOT};
  constexpr std::uint64_t acts = 60; // of a few checkpoints
  if (!drawn.saves())
    return;
  if (one_in(chance, 3))
    drawn.disk_failures.push_back({between(chance, 1, acts), between(chance, 1, 8), chance.one_of(codes)});
  if (one_in(chance, 4))
    drawn.crash_at_act = between(chance, 1, acts);
}

/// Now and then a run may restart its ranks just so often, or has faults that strike in the middle of a handler.
void draw_rules(dice& chance, scenario& drawn) {
  faults_spec& faults = drawn.spec.faults;
  if (one_in(chance, 8))
    faults.max_restarts = static_cast<std::uint32_t>(chance.below(3));
  std::vector<std::string> chaos;
  if (one_in(chance, 4))
    chaos.push_back(fmt::format("kill:count={},seed={}", between(chance, 1, 3), chance.below(1000)));
  if (one_in(chance, 6))
    chaos.push_back(fmt::format("kill-scheduler:count={},seed={}", between(chance, 1, 2), chance.below(1000)));
  faults.chaos = fmt::format("{}", fmt::join(chaos, "+"));
}

void draw_poison(dice& chance, scenario& drawn) {
  run_spec& spec = drawn.spec;
  if (spec.model.family != "gpt" || !one_in(chance, 10))
    return;
  constexpr std::array moments = {poison_dose::moment::forward, poison_dose::moment::backward_input,
                                  poison_dose::moment::backward_weight};
  const std::int64_t layers = find_family("gpt").layer_count(spec.model);
  poison_dose dose{.when = chance.one_of(moments),
                   .layer = static_cast<std::int64_t>(chance.below(static_cast<std::size_t>(layers))),
                   .step = chance.below(spec.training.steps),
                   .microbatch = static_cast<std::uint32_t>(chance.below(spec.training.microbatches))};
  if (dose.layer == layers - 1) // the head's result is the loss
    dose.when = poison_dose::moment::backward_weight;
  if (dose.layer == 0) // there is nothing before the embedding
    dose.when = poison_dose::moment::forward;
  drawn.doses.push_back(dose);
  if (!drawn.asynchronous() && chance.coin())
    spec.faults.on_nan = nan_rule::skip;
  std::erase_if(drawn.strikes, [](const strike& one) { return one.what == strike_kind::interrupt; });
}

/// Without snapshots nobody lives again, and nothing is sent again.
void draw_frailty(dice& chance, scenario& drawn) {
  if (!one_in(chance, 25))
    return;
  drawn.spec.faults.snapshot_every = 0;
  drawn.spec.faults.chaos.clear();
  drawn.network.lost = 0.0;
}

const char* name_of(occasion when) {
  constexpr std::array names = {"the process's start",  "a snapshot is asked for",    "a snapshot is kept",
                                "a validation opens",   "a part of a checkpoint",     "a checkpoint is over",
                                "a rank is restarted",  "the scheduler is restarted", "all is sent again",
                                "digests are asked for"};
  return names.at(static_cast<std::size_t>(when));
}

std::string to_text(const strike& one) {
  if (one.when == occasion::start)
    return fmt::format("{} at event {}", to_text(one.what), one.delay);
  return fmt::format("{} {} events after {} ({} skipped)", to_text(one.what), one.delay, name_of(one.when),
                     one.skipped);
}

std::string to_text(const poison_dose& one) {
  constexpr std::array moments = {"F", "loss", "I", "W"};
  return fmt::format("{} of layer {}, step {}, microbatch {}", moments.at(static_cast<std::size_t>(one.when)),
                     one.layer, one.step, one.microbatch);
}

std::string starved_text(const unruliness& how) {
  constexpr std::array roles = {"rank", "the scheduler", "the keeper", "the recorder", "the store"};
  if (!how.starved)
    return "nobody is starved";
  const std::string name = roles.at(static_cast<std::size_t>(how.starved->role));
  return how.starved->role == actor_role::rank ? fmt::format("{} {} is starved", name, how.starved->rank)
                                               : name + " is starved";
}

} // namespace

scenario draw_scenario(std::uint64_t seed) {
  dice chance(seed);
  scenario drawn;
  drawn.seed = seed;
  drawn.spec = draw_run(chance);
  drawn.network = draw_network(chance, drawn.spec);
  draw_strikes(chance, drawn);
  draw_disk(chance, drawn);
  draw_rules(chance, drawn);
  draw_poison(chance, drawn);
  draw_frailty(chance, drawn);
  drawn.another_shape = chance.coin();
  drawn.forged_log = one_in(chance, 3);
  if (drawn.spec.faults.snapshot_every != 0 && one_in(chance, 5))
    drawn.spec.faults.snapshot_directory = shelf_name;
  return drawn;
}

std::optional<run_spec> reshaped(const run_spec& spec, std::uint64_t seed) {
  constexpr int tries = 20;
  if (spec.pipeline.wire != wire_precision::fp32 || spec.pipeline.schedule.starts_with("pipedream"))
    return std::nullopt;
  dice chance(seed);
  for (int i = 0; i < tries; ++i) {
    run_spec other = spec;
    other.pipeline = draw_pipeline(chance, 4);
    if (other.pipeline.schedule.starts_with("pipedream"))
      continue;
    if (const std::optional<plan> cut = plan_of(other); cut && cut->gradient_groups == spec.training.gradient_groups)
      return other;
  }
  return std::nullopt;
}

std::string to_text(strike_kind kind) {
  constexpr std::array names = {"one rank dies",      "some ranks die",           "all ranks die",
                                "the scheduler dies", "scheduler and a rank die", "the process dies",
                                "the user interrupts"};
  return names.at(static_cast<std::size_t>(kind));
}

std::string spec_text(const run_spec& spec) {
  std::string text;
  const run_spec plain;
  for (const std::string& field : field_names())
    if (get_field(spec, field) != get_field(plain, field))
      text += fmt::format("  {}={}\n", field, get_field(spec, field));
  return text;
}

std::string to_text(const scenario& drawn) {
  std::string text = fmt::format("seed {}\n{}", drawn.seed, spec_text(drawn.spec));
  text +=
      fmt::format("  network: {:g} duplicated, {:g} lost, {:g} in order, {:g} s an event, to {}, {}\n",
                  drawn.network.duplicated, drawn.network.lost, drawn.network.in_order, drawn.network.seconds_per_event,
                  drawn.network.to_successors ? "successors" : "the dead as well", starved_text(drawn.network));
  for (const strike& one : drawn.strikes)
    text += fmt::format("  strike: {}\n", to_text(one));
  for (const disk_failure& one : drawn.disk_failures)
    text += fmt::format("  disk: errno {} for {} acts from act {} on\n", one.code, one.count, one.first);
  if (drawn.crash_at_act)
    text += fmt::format("  disk: the process dies at act {}\n", *drawn.crash_at_act);
  for (const poison_dose& one : drawn.doses)
    text += fmt::format("  poison: {}\n", to_text(one));
  if (drawn.another_shape)
    text += "  resumed with another schedule, if one fits\n";
  if (drawn.forged_log)
    text += "  the decision log says something else to the next process\n";
  return text;
}

} // namespace troupe::test
