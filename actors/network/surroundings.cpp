#include "actors/network/surroundings.hpp"

#include <random>

namespace troupe {

run_id draw_run_id() {
  std::random_device chance;
  run_id drawn{};
  for (std::uint8_t& byte : drawn)
    byte = static_cast<std::uint8_t>(chance());
  return drawn;
}

} // namespace troupe
