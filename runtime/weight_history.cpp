#include "runtime/weight_history.hpp"

#include "model/error.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

weight_history::weight_history(std::vector<parameter*> parameters, std::uint64_t version)
    : parameters_(std::move(parameters)), oldest_(version) {
  std::vector<tensor>& present = versions_.emplace_back();
  for (const parameter* p : parameters_)
    present.push_back(p->value);
}

void weight_history::add_older(std::vector<tensor> values) {
  TROUPE_CHECK(oldest_ > 0 && values.size() == parameters_.size(), "a version is whole, and the first one is 0");
  versions_.push_front(std::move(values));
  --oldest_;
}

const std::vector<tensor>& weight_history::values(std::uint64_t version) const {
  TROUPE_CHECK(version >= oldest_ && version <= newest(),
               "weights after " + std::to_string(version) + " updates are not held");
  return versions_[version - oldest_];
}

void weight_history::use(std::uint64_t version) {
  const std::vector<tensor>& chosen = values(version);
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    parameters_[i]->value = chosen[i];
}

void weight_history::add_newest() {
  std::vector<tensor>& updated = versions_.emplace_back();
  for (const parameter* p : parameters_)
    updated.push_back(p->value);
}

void weight_history::drop_before(std::uint64_t version) {
  for (const std::uint64_t kept = std::min(version, newest()); oldest_ < kept; ++oldest_)
    versions_.pop_front();
}

} // namespace troupe
