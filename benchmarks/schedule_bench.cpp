// How many actions a second the simulator runs.
#include "runtime/schedule/simulate.hpp"

#include <benchmark/benchmark.h>

namespace troupe {

namespace {

struct simulation_case {
  const char* schedule;
  std::uint32_t ranks;
  std::uint32_t microbatches;
  simulation_costs costs;
};

void run_simulation(benchmark::State& state, const simulation_case& one) {
  const schedule plan = generate_schedule({.name = one.schedule, .ranks = one.ranks, .microbatches = one.microbatches});
  std::size_t actions = 0;
  for (const auto& list : plan.actions)
    actions += list.size();
  for (auto _ : state)
    benchmark::DoNotOptimize(simulate(plan, one.costs).makespan);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(actions));
}

const auto registered = [] {
  simulation_costs plain{{{}}, 0.1};
  simulation_costs links = plain;
  links.bandwidth = 10.0;
  links.sizes = {{.output = 1.0}};
  simulation_costs processors = plain;
  processors.processors = 2;
  const auto add = [](const char* name, const simulation_case& one) {
    benchmark::RegisterBenchmark(name, run_simulation, one)->Unit(benchmark::kMillisecond);
  };
  add("simulate/1f1b/p8m32", {"1f1b", 8, 32, plain});
  add("simulate/zb-v/p32m128", {"zb-v", 32, 128, plain});
  add("simulate/1f1b/p1024m4096", {"1f1b", 1024, 4096, plain});
  add("simulate/zb-v/p32m128/links", {"zb-v", 32, 128, links});
  add("simulate/zb-v/p32m128/processors", {"zb-v", 32, 128, processors});
  return true;
}();

} // namespace

} // namespace troupe
