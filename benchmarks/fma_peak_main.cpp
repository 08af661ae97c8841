// troupe_fma_peak [--threads N]: prints the GFLOP/s that N threads reach together with nothing but FMAs.
#include "benchmarks/fma_peak.hpp"

#include <charconv>
#include <cstdio>
#include <span>
#include <string_view>

namespace {

constexpr int max_threads = 1024;

/// The number of threads asked for, 0 when the arguments make no sense.
int threads_of(std::span<const char* const> arguments) {
  if (arguments.empty())
    return 1;
  if (arguments.size() != 2 || std::string_view(arguments[0]) != "--threads")
    return 0;
  const std::string_view text = arguments[1];
  int threads = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), threads);
  const bool number = failure == std::errc{} && end == text.data() + text.size();
  return number && threads >= 1 && threads <= max_threads ? threads : 0;
}

} // namespace

int main(int argc, char** argv) {
  const int threads = threads_of(std::span<const char* const>(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (threads == 0) {
    std::fprintf(stderr, "troupe_fma_peak: expected [--threads N] with N from 1 to %d\n", max_threads);
    return 2;
  }
  std::printf("%.1f\n", troupe::benchmarks::measure_fma_peak(threads, 1.0));
}
