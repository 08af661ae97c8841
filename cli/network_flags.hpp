// The flags that say where ranks live: on workers at given addresses, or on workers that this process starts itself.
#pragma once

#include "actors/network/coordinator.hpp"
#include "cli/local_workers.hpp"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace troupe {

/// The flags that `train` and `worker` share.
struct tls_flags {
  std::string directory;
  double peer_timeout = 5.0;

  void add_to(CLI::App& command);
  /// Null without --tls. Throws security_error.
  std::shared_ptr<const tls_identity> load() const;
};

class network_flags {
public:
  void add_to(CLI::App& command);
  bool distributed() const { return workers_ || spawn_; }
  /// Throws spec_error or security_error; opens no connection.
  void check() const;
  /// Starts local workers if asked to; they live as long as `started`.
  coordinator_setup_of_workers settle(std::optional<local_workers>& started) const;

private:
  void expect_workers_for_flags() const;

  const CLI::App* command_ = nullptr; ///< has the flags
  tls_flags tls_;
  std::optional<std::string> workers_;
  std::optional<std::uint32_t> spawn_;
  double connect_timeout_ = 30.0;
  std::string checkpoint_via_ = "shared";
  bool mixed_arithmetic_ = false;
};

} // namespace troupe
