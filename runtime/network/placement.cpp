#include "runtime/network/placement.hpp"

#include "model/error.hpp"

#include <algorithm>

namespace troupe {

namespace {

std::size_t kept_by(const placement& where, std::uint32_t worker) {
  return static_cast<std::size_t>(std::ranges::count(where.ranks, worker, &rank_care::replica));
}

/// The member with the least load but for `other_than`; of several the first. Nothing: there is none.
template <class Load>
std::optional<std::uint32_t> least_loaded(const placement& where, std::optional<std::uint32_t> other_than, Load load) {
  std::optional<std::uint32_t> best;
  for (std::uint32_t worker = 0; worker < where.workers.size(); ++worker)
    if (where.workers[worker].standing == worker_standing::member && worker != other_than &&
        (!best || load(worker) < load(*best)))
      best = worker;
  return best;
}

} // namespace

std::vector<std::vector<std::uint32_t>> place_ranks(std::uint32_t ranks, std::size_t workers) {
  std::vector<std::vector<std::uint32_t>> places(workers);
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    places[workers >= ranks ? rank : rank * workers / ranks].push_back(rank);
  return places;
}

placement shown_to(std::uint32_t worker, placement where) {
  for (std::uint32_t number = 0; number < where.workers.size(); ++number)
    if (worker_standing& standing = where.workers[number].standing; standing == worker_standing::invited)
      standing = number == worker ? worker_standing::joining : worker_standing::gone;
  return where;
}

std::uint32_t worker_of(const placement& where, std::uint32_t rank) {
  const auto found = std::ranges::find_if(
      where.workers, [&](const worker_place& one) { return std::ranges::count(one.ranks, rank) > 0; });
  TROUPE_CHECK(found != where.workers.end(), "each rank has its place");
  return static_cast<std::uint32_t>(found - where.workers.begin());
}

std::optional<std::uint32_t> home_of(const placement& where, std::uint32_t rank, incarnation life) {
  const std::uint32_t host = worker_of(where, rank);
  const bool lives = where.ranks[rank].life == life && where.workers[host].standing == worker_standing::member;
  return lives ? std::optional(host) : std::nullopt;
}

std::vector<std::uint32_t> hosts_of(const placement& where) {
  std::vector<std::uint32_t> hosts;
  for (std::uint32_t rank = 0; rank < where.ranks.size(); ++rank)
    hosts.push_back(worker_of(where, rank));
  return hosts;
}

std::uint32_t choose_host(const placement& where, std::uint32_t rank) {
  const std::uint32_t before = worker_of(where, rank);
  if (where.workers[before].standing == worker_standing::member)
    return before;
  const auto chosen =
      least_loaded(where, std::nullopt, [&](std::uint32_t worker) { return where.workers[worker].ranks.size(); });
  if (!chosen)
    throw run_error("rank " + std::to_string(rank) + ": found no worker that is left to host it, expected one");
  return *chosen;
}

void move_rank(placement& where, std::uint32_t rank, std::uint32_t worker) {
  std::erase(where.workers[worker_of(where, rank)].ranks, rank);
  std::vector<std::uint32_t>& ranks = where.workers[worker].ranks;
  ranks.insert(std::ranges::upper_bound(ranks, rank), rank);
}

std::vector<std::uint32_t> choose_replicas(placement& where) {
  std::vector<std::uint32_t> changed;
  for (std::uint32_t rank = 0; rank < where.ranks.size(); ++rank) {
    const std::uint32_t host = worker_of(where, rank);
    const std::uint32_t now = where.ranks[rank].replica;
    if (now != host && where.workers[now].standing == worker_standing::member)
      continue;
    const std::uint32_t chosen = least_loaded(where, host, [&](std::uint32_t worker) {
                                   return where.workers[worker].ranks.size() + kept_by(where, worker);
                                 }).value_or(host);
    if (chosen == now)
      continue;
    where.ranks[rank].replica = chosen;
    changed.push_back(rank);
  }
  return changed;
}

} // namespace troupe
