// Which worker hosts which ranks and keeps which snapshots, and who takes over when one is lost.
#pragma once

#include "runtime/traffic.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// joining: it is being connected to the others, and hosts nothing yet. gone: it was lost; its number is not used
/// again. invited: it has a number, and has not taken its assignment yet; the coordinator alone knows this one.
enum class worker_standing { joining, member, gone, invited };

/// A worker's address, "HOST:PORT", and the ranks that live there, or did when it was lost.
struct worker_place {
  std::string address;
  std::vector<std::uint32_t> ranks;
  worker_standing standing = worker_standing::member;

  friend bool operator==(const worker_place&, const worker_place&) = default;
};

/// What a placement says of a rank besides where it lives.
struct rank_care {
  incarnation life = 1;      ///< that lives there
  std::uint32_t replica = 0; ///< the worker that keeps its snapshots, as its own one does

  friend bool operator==(const rank_care&, const rank_care&) = default;
};

/// Who takes part in a run, as its coordinator sees it. Workers only ever join at the end of the list.
struct placement {
  std::uint64_t version = 1; ///< one more with each change
  std::vector<worker_place> workers;
  std::vector<rank_care> ranks;

  friend bool operator==(const placement&, const placement&) = default;
};

/// The ranks of each of `workers`, contiguous and as even as can be; a worker beyond the number of ranks has none.
std::vector<std::vector<std::uint32_t>> place_ranks(std::uint32_t ranks, std::size_t workers);

/// What that worker is shown: for others, one that is only invited would not know what to say when they call, so that
/// for them it is as good as gone.
placement shown_to(std::uint32_t worker, placement where);

/// Where the rank lives.
std::uint32_t worker_of(const placement& where, std::uint32_t rank);

/// Where that life of the rank lives; nothing: it does not, or not where that would be known yet.
std::optional<std::uint32_t> home_of(const placement& where, std::uint32_t rank, incarnation life);

/// By rank: where it lives.
std::vector<std::uint32_t> hosts_of(const placement& where);

/// Who is to host a rank that has died: its worker if that is still there, else a member without ranks, else the member
/// with the fewest. Throws run_error when there is no member.
std::uint32_t choose_host(const placement& where, std::uint32_t rank);

void move_rank(placement& where, std::uint32_t rank, std::uint32_t worker);

/// Gives each rank whose replica is gone or its own host another one, as long as there is another member: the one that
/// hosts and keeps least. Returns the ranks whose replica has changed.
std::vector<std::uint32_t> choose_replicas(placement& where);

} // namespace troupe
