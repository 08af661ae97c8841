// The optimizer's update and the gradient's sum of squares, in bytes moved per second, beside a plain loop that only
// moves memory.
#include "model/optimizer.hpp"

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

namespace troupe::benchmarks {

namespace {

// Elements: 2^16 stays in L2, 2^20 in L3, 2^24 in neither.
constexpr std::int64_t first_size = 1 << 16, last_size = 1 << 24, size_factor = 1 << 4;

void count_bytes(benchmark::State& state, std::int64_t bytes_per_element) {
  state.SetBytesProcessed(state.iterations() * state.range(0) * bytes_per_element);
}

void run_update(benchmark::State& state, const std::string& kind) {
  const auto rule = make_optimizer({.kind = kind});
  tensor_pool pool;
  parameter p;
  p.extents = {state.range(0)};
  p.value = pool.make_filled(p.extents, 0.5F);
  p.gradient = pool.make_filled(p.extents, 0.25F);
  std::vector<tensor> moments;
  for (std::size_t i = 0; i < rule->state_names().size(); ++i)
    moments.push_back(pool.make_filled(p.extents, 0.0F));
  std::uint64_t step = 0;
  for (auto _ : state) {
    rule->update(p, moments, {.step = step++, .learning_rate = 1e-4, .gradient_scale = 0.5}, pool);
    benchmark::ClobberMemory();
  }
  // Value and moments are read and written, the gradient is read.
  count_bytes(state, static_cast<std::int64_t>(sizeof(float) * (3 + 2 * moments.size())));
}

void run_sum_of_squares(benchmark::State& state) {
  tensor_pool pool;
  const tensor gradient = pool.make_filled({state.range(0)}, 0.25F);
  for (auto _ : state)
    benchmark::DoNotOptimize(sum_of_squares(gradient));
  count_bytes(state, sizeof(float));
}

/// a = b + k c, the triad of McCalpin's STREAM.
void run_triad(benchmark::State& state) {
  tensor_pool pool;
  tensor a = pool.make_filled({state.range(0)}, 0.0F);
  const tensor b = pool.make_filled({state.range(0)}, 1.0F);
  const tensor c = pool.make_filled({state.range(0)}, 2.0F);
  float* __restrict out = a.data();
  const float* first = b.data();
  const float* second = c.data();
  const std::int64_t size = a.size();
  for (auto _ : state) {
    for (std::int64_t i = 0; i < size; ++i)
      out[i] = first[i] + 0.5F * second[i];
    benchmark::ClobberMemory();
  }
  count_bytes(state, 3 * sizeof(float));
}

void register_sizes(const std::string& name, const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)
      ->RangeMultiplier(size_factor)
      ->Range(first_size, last_size)
      ->Unit(benchmark::kMicrosecond);
}

[[maybe_unused]] const bool registered = [] {
  register_sizes("optimizer/adamw", [](benchmark::State& state) { run_update(state, "adamw"); });
  register_sizes("optimizer/sgd", [](benchmark::State& state) { run_update(state, "sgd"); });
  register_sizes("optimizer/sum_of_squares", run_sum_of_squares);
  register_sizes("memory/triad", run_triad);
  return true;
}();

} // namespace

} // namespace troupe::benchmarks
