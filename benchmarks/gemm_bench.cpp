// Every matrix product of a step of the reference model, against the peak of one core.
#include "benchmarks/support.hpp"
#include "model/gemm.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace troupe::benchmarks {

namespace {

/// c [rows, columns] from a sum over `depth`.
struct product {
  const char* name;
  std::int64_t rows, columns, depth;
  transpose flip_a, flip_b;
  accumulate mode;
};

shape operand_shape(std::int64_t rows, std::int64_t columns, transpose flipped) {
  return flipped == transpose::no ? shape{rows, columns} : shape{columns, rows};
}

void run_product(benchmark::State& state, const product& p) {
  tensor_pool pool;
  const tensor a = pool.make_filled(operand_shape(p.rows, p.depth, p.flip_a), 0.5F);
  const tensor b = pool.make_filled(operand_shape(p.depth, p.columns, p.flip_b), 0.25F);
  tensor c = pool.make_filled({p.rows, p.columns}, 0.0F);
  double total_seconds = 0.0;
  for (auto _ : state) {
    const double taken =
        seconds_of([&] { gemm(as_matrix(a), p.flip_a, as_matrix(b), p.flip_b, as_matrix(c), p.mode); });
    state.SetIterationTime(taken);
    total_seconds += taken;
  }
  report_flops(state, 2.0 * static_cast<double>(p.rows * p.columns * p.depth), total_seconds);
}

/// The three products of y = x W with x [B*T, inputs] and W [inputs, outputs].
void register_linear(const std::string& name, std::int64_t inputs, std::int64_t outputs) {
  const product forward = {"forward", B * T, outputs, inputs, transpose::no, transpose::no, accumulate::no};
  const product input = {"backward_input", B * T, inputs, outputs, transpose::no, transpose::yes, accumulate::no};
  const product weight = {"backward_weight", inputs, outputs, B * T, transpose::yes, transpose::no, accumulate::yes};
  for (const product& p : {forward, input, weight})
    benchmark::RegisterBenchmark(("gemm/" + name + "/" + p.name).c_str(),
                                 [p](benchmark::State& state) { run_product(state, p); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
}

[[maybe_unused]] const bool registered = [] {
  register_linear("attention_in", C, 3 * C);
  register_linear("attention_out", C, C);
  register_linear("mlp_in", C, 4 * C);
  register_linear("mlp_out", 4 * C, C);
  return true;
}();

} // namespace

} // namespace troupe::benchmarks
