// The coordinator: claims workers for one run, checks them, gives each its ranks, and watches them. Tensors of the run
// never pass through it; the scheduler, the recorder and the store live beside it.
#pragma once

#include "actors/network/link.hpp"
#include "actors/network/surroundings.hpp"
#include "runtime/network_address.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Whether workers may compute differently from each other, which may change bits.
enum class arithmetic_rule { equal, any };

/// Whether a run can begin while a worker cannot be reached.
enum class missing_rule { refused, left_out };

/// A run that goes on asks its workers what they hold of it, and needs nothing of it in other cases.
struct held_question {
  held_bounds bounds;
  std::string otherwise; ///< where the run goes on without it, "step-00000040"; empty: people know that
  std::string unused;    ///< why nothing of it is used, whatever it is; empty: it can be
};

struct coordinator_setup_of_workers {
  std::vector<network_address> workers;
  std::shared_ptr<const tls_identity> tls; ///< null: none
  double peer_timeout = 5.0;               ///< seconds
  double connect_timeout = 30.0;           ///< seconds
  checkpoint_route checkpoints = checkpoint_route::shared;
  arithmetic_rule arithmetic = arithmetic_rule::equal;
  std::uint32_t processors = 0; ///< how many ranks can compute at once; 0: all
  missing_rule missing = missing_rule::refused;
  /// Starts a worker in place of one that was lost and tells its address; may block. Null: the lost one comes back at
  /// its own address, or not at all.
  std::function<network_address(const network_address& lost)> replace{};
  /// Starts workers in place of all that have ended, and tells the addresses of all. Null: they are as they were.
  std::function<std::vector<network_address>()> replace_all{};
  std::optional<held_question> held{};                ///< nothing: workers are not asked
  std::function<void(std::uint64_t)> on_ready{};      ///< the ranks have their workers; steps done in their state
  std::function<void(const std::string&)> on_event{}; ///< a line for people: workers lost, joined
  surroundings outside{};
};

class worker_claims;

struct coordinator_state {
  coordinator_state();
  coordinator_state(const coordinator_state&) = delete;
  coordinator_state& operator=(const coordinator_state&) = delete;
  ~coordinator_state();
  static constexpr const char* name = "coordinator";
  std::unique_ptr<worker_claims> claims;
};

/// Tells `watcher` workers_ready, or a failure_message that names the worker; takes begin_run, and leave_run, after
/// which it answers with left_run. For the scheduler it is the keeper: it tells of ranks that are lost with their
/// worker, finds a worker for their next life, and starts the scheduler again when that dies. What cannot be made good
/// it tells `watcher` as state_lost. Once begun it ends by dismiss_ranks, after left_run. Needs a thread of its own: it
/// reads from disk.
caf::behavior coordinator(caf::stateful_actor<coordinator_state>* self, const setup_ptr& setup,
                          const coordinator_setup_of_workers& workers, const observer& watcher);

} // namespace troupe
