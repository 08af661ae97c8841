// Signals in the midst of what may not be disturbed.
#include "cli/interrupt.hpp"
#include "model/gemm.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <cstdint>
#include <pthread.h>
#include <thread>
#include <vector>

using namespace troupe;

// Without a stack for the handler, the first signals spoil the heap with oneDNN before 3.11.2: the test program ends,
// its last words "corrupted size".
TEST_CASE("a signal within a matrix product changes neither its result nor the heap") {
  constexpr std::int64_t rows = 4;
  constexpr std::int64_t columns = 8;
  constexpr std::int64_t depth = 256; // enough for a work space
  const std::vector<float> left(rows * depth, 0.5F);
  const std::vector<float> right(depth * columns, 0.25F);
  const std::vector<float> expected(rows * columns, 0.125F * depth);
  const pthread_t self = ::pthread_self();
  std::signal(SIGABRT, SIG_DFL); // Catch2's handlers would wait for the spoilt heap
  std::signal(SIGSEGV, SIG_DFL);
  set_gemm_threads(1);
  std::uint64_t wrong = 0;
  for (int round = 0; round < 200; ++round) {
    const interrupt_watch watch;
    std::thread sender([self] { ::pthread_kill(self, SIGINT); });
    while (watch.count() == 0) {
      std::vector<float> product(rows * columns);
      gemm({left.data(), rows, depth, depth}, transpose::no, {right.data(), depth, columns, columns}, transpose::no,
           {product.data(), rows, columns, columns}, accumulate::no);
      wrong += product == expected ? 0 : 1;
    }
    sender.join();
  }
  CHECK(wrong == 0);
}
