// A rank's snapshot as the place where its next incarnation reads its parameters from.
#pragma once

#include "runtime/parameter_source.hpp"
#include "runtime/traffic.hpp"

#include <map>
#include <memory>
#include <string>

namespace troupe {

class snapshot_source : public parameter_source {
public:
  explicit snapshot_source(std::shared_ptr<const rank_snapshot> from);

  std::uint64_t steps_done() const override { return from_->steps_done; }
  void read(const std::string& parameter, tensor& value, std::span<tensor> state) const override;
  bool holds(const std::string& parameter) const override { return where_.contains(parameter); }
  bool is_whole() const override { return false; }

private:
  std::shared_ptr<const rank_snapshot> from_;
  std::map<std::string, const parameter_snapshot*> where_;
};

} // namespace troupe
