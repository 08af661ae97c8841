#include "runtime/network/fingerprint.hpp"

#include "model/gemm.hpp"

#include <fmt/format.h>

namespace troupe {

namespace {

/// What -march allowed the compiler to use in our own loops: a fused multiply-add rounds otherwise than two operations.
std::string compiled_for() {
  std::string found;
#ifdef __AVX2__
  found += " AVX2";
#endif
#ifdef __FMA__
  found += " FMA";
#endif
#ifdef __AVX512F__
  found += " AVX512";
#endif
  return found.empty() ? "baseline" : found.substr(1);
}

} // namespace

arithmetic_fingerprint fingerprint_here(std::uint32_t threads) {
  return {.instruction_set = gemm_instruction_set(),
          .gemm_library = gemm_library(),
          .build = fmt::format("{} for {}", __VERSION__, compiled_for()),
          .threads = threads};
}

std::string difference(const arithmetic_fingerprint& found, const arithmetic_fingerprint& expected) {
  std::string text;
  const auto compare = [&](const char* what, const auto& one, const auto& other) {
    if (one != other)
      text += fmt::format("{}{}: found {}, expected {}", text.empty() ? "" : "; ", what, one, other);
  };
  compare("instruction set", found.instruction_set, expected.instruction_set);
  compare("GEMM library", found.gemm_library, expected.gemm_library);
  compare("build", found.build, expected.build);
  compare("threads of a matrix product", found.threads, expected.threads);
  return text;
}

} // namespace troupe
