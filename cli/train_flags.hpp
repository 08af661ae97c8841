// The flags of `troupe train` that set fields of the run spec: one table, so that help, flags, --set and spec files can
// never disagree.
#pragma once

#include "runtime/run_spec.hpp"

#include <map>
#include <span>
#include <string>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace troupe {

/// One flag. All values go through set_field, so a flag accepts exactly what --set and the spec file accept.
struct train_flag {
  const char* flag;
  const char* field;
  const char* value; ///< how help names the value; empty for a switch
  const char* group; ///< heading in help
  const char* help;
};

std::span<const train_flag> train_flags();

/// The flags as they were given to one command.
class spec_flags {
public:
  /// Adds --config, --set and all of train_flags. The command must outlive this.
  void add_to(CLI::App& command);
  /// `base`, overridden by the --config file, then by --set and flags in the order given. Throws spec_error.
  run_spec apply(const run_spec& base) const;
  /// The file that --config names; empty: none.
  const std::string& config_file() const { return config_; }

private:
  const CLI::App* command_ = nullptr;
  std::string config_;
  const CLI::Option* set_ = nullptr;
  std::map<const CLI::Option*, std::string> fields_;
};

} // namespace troupe
