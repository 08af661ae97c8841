// How the death of a rank's actor is told by whoever keeps it, the keeper of a local run or the worker's host.
#pragma once

#include "actors/messages.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace troupe {

/// Takes from `failing` what the rank has said as it failed; one that has said nothing died of `otherwise`.
inline rank_lost death_of(std::uint32_t rank, incarnation life, std::map<std::uint32_t, rank_failed>& failing,
                          const std::string& otherwise, double now) {
  rank_lost lost{.rank = rank, .life = life, .cause = otherwise, .last_heard = now, .noticed = now};
  if (const auto told = failing.extract(rank)) {
    lost.cause = told.mapped().what.text;
    lost.last_words = told.mapped().last_words;
  }
  return lost;
}

} // namespace troupe
