#include "runtime/gradient_groups.hpp"

#include "model/error.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace troupe {

void add_to(tensor& sum, const tensor& other) {
  std::transform(sum.values().begin(), sum.values().end(), other.values().begin(), sum.values().begin(), std::plus<>());
}

group_sums::group_sums(std::vector<parameter*> parameters, std::uint32_t groups, std::uint32_t microbatches,
                       tensor_pool& pool)
    : parameters_(std::move(parameters)), groups_(groups), microbatches_per_group_(microbatches / groups) {
  TROUPE_CHECK(microbatches % groups == 0, "groups are of equal size");
  for (const parameter* p : parameters_)
    sums_.push_back(pool.make(p->extents));
}

void group_sums::count_microbatch() {
  if (++microbatches_ < microbatches_per_group_)
    return;
  close_group();
  microbatches_ = 0;
  closed_ = (closed_ + 1) % groups_;
}

void group_sums::close_group() {
  const bool last = closed_ + 1 == groups_;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    tensor& gradient = parameters_[i]->gradient;
    if (closed_ == 0)
      std::swap(sums_[i], gradient);
    else
      add_to(sums_[i], gradient);
    if (last)
      std::swap(sums_[i], gradient);
    else
      gradient.fill(0.0F);
  }
}

std::vector<tensor> copy_gradients(const std::vector<parameter*>& parameters, tensor_pool& pool) {
  std::vector<tensor> copies;
  copies.reserve(parameters.size());
  for (const parameter* p : parameters)
    copies.push_back(pool.copy(p->gradient));
  return copies;
}

bool gradients_fit(const std::vector<parameter*>& parameters, const std::vector<tensor>& others) {
  return std::ranges::equal(parameters, others, [](const parameter* p, const tensor& other) {
    return p->gradient.extents() == other.extents();
  });
}

void add_gradients(const std::vector<parameter*>& parameters, const std::vector<tensor>& others) {
  for (std::size_t i = 0; i < parameters.size(); ++i)
    add_to(parameters[i]->gradient, others[i]);
}

} // namespace troupe
