// What the wire format costs: a tensor of 64 MiB into frames, and out of frames as a socket would hand them over. In
// bytes of the tensor per second.
#include "runtime/wire/frame_reader.hpp"
#include "runtime/wire/frame_writer.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <span>
#include <vector>

namespace troupe::benchmarks {

namespace {

constexpr std::int64_t elements = std::int64_t{1} << 24;
constexpr std::size_t socket_bytes = 64 << 10; ///< that a read from a socket brings

activation_message large_message(tensor_pool& pool) {
  activation_message message;
  message.values = pool.make_filled({elements}, 1.5F);
  return message;
}

void run_encode(benchmark::State& state, wire_precision precision) {
  tensor_pool pool;
  const activation_message message = large_message(pool);
  frame_writer writer(precision);
  std::vector<char> frame;
  for (auto _ : state) {
    writer.put(message);
    while (!writer.empty()) {
      frame.clear();
      writer.write_next(frame);
      benchmark::DoNotOptimize(frame.data());
      benchmark::ClobberMemory();
    }
  }
  state.SetBytesProcessed(state.iterations() * elements * static_cast<std::int64_t>(sizeof(float)));
}

void run_decode(benchmark::State& state, wire_precision precision) {
  tensor_pool pool;
  const activation_message message = large_message(pool);
  const wire_limits limits{.message_bytes = std::uint64_t{1} << 30,
                           .tensors = 1,
                           .record_bytes = 0,
                           .workers = 1,
                           .ranks = 1,
                           .stages = 1,
                           .layers = 1};
  frame_writer writer(precision);
  frame_reader reader(limits, precision);
  std::vector<char> stream;
  for (auto _ : state) {
    state.PauseTiming();
    stream.clear();
    writer.put(message);
    while (!writer.empty())
      writer.write_next(stream);
    const auto bytes = std::as_bytes(std::span(stream));
    state.ResumeTiming();
    std::size_t delivered = 0;
    for (std::size_t place = 0; place < bytes.size(); place += socket_bytes)
      reader.read(bytes.subspan(place, std::min(socket_bytes, bytes.size() - place)),
                  [&](wire_message&&) { ++delivered; });
    benchmark::DoNotOptimize(delivered);
  }
  state.SetBytesProcessed(state.iterations() * elements * static_cast<std::int64_t>(sizeof(float)));
}

[[maybe_unused]] const bool registered = [] {
  const auto add = [](const char* name, auto run, wire_precision precision) {
    benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
      run(state, precision);
    })->Unit(benchmark::kMillisecond);
  };
  add("wire_encode/fp32", run_encode, wire_precision::fp32);
  add("wire_encode/bf16", run_encode, wire_precision::bf16);
  add("wire_decode/fp32", run_decode, wire_precision::fp32);
  add("wire_decode/bf16", run_decode, wire_precision::bf16);
  return true;
}();

} // namespace

} // namespace troupe::benchmarks
