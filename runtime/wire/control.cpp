#include "runtime/wire/control.hpp"

#include <fmt/format.h>

namespace troupe {

std::string describe(const arithmetic_fingerprint& arithmetic) {
  return fmt::format("{} instructions, {}, built by {}, {} thread{}", arithmetic.instruction_set,
                     arithmetic.gemm_library, arithmetic.build, arithmetic.threads, arithmetic.threads == 1 ? "" : "s");
}

} // namespace troupe
