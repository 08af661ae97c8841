#include "runtime/parameter_source.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

void copy_parameter(const std::string& name, const tensor& from, tensor& to) {
  if (from.extents() != to.extents())
    throw checkpoint_error(
        fmt::format("{}: found shape {}, expected {}", name, to_string(from.extents()), to_string(to.extents())));
  std::ranges::copy(from.values(), to.data());
}

} // namespace troupe
