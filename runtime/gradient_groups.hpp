// Gradient groups: a step's gradient is ((g0 + g1) + g2) + .., where each g is the sum over a contiguous group of
// microbatches, ascending. Groups follow each other in one copy of the model, or stand side by side in two.
#pragma once

#include "model/parameter.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// Groups that follow each other in one copy. While the parameters' gradients collect a group, the sum of those before
/// is kept apart; after the last group the gradients hold the sum of all.
class group_sums {
public:
  /// The parameters outlive the sums, and their gradients are zero at the start of each step.
  group_sums(std::vector<parameter*> parameters, std::uint32_t groups, std::uint32_t microbatches, tensor_pool& pool);

  /// The gradients of one more microbatch have been added to the parameters'.
  void count_microbatch();

private:
  void close_group();

  std::vector<parameter*> parameters_;
  std::vector<tensor> sums_; ///< by parameter: of the step's groups that are closed
  std::uint32_t groups_;
  std::uint32_t microbatches_per_group_;
  std::uint32_t microbatches_ = 0; ///< of the open group
  std::uint32_t closed_ = 0;       ///< groups of this step
};

/// Adds `other`, of the same shape, element by element.
void add_to(tensor& sum, const tensor& other);

/// Copies of the gradients, to be sent to the other copy of the model.
std::vector<tensor> copy_gradients(const std::vector<parameter*>& parameters, tensor_pool& pool);

/// Whether these could be another copy's gradients: as many, of the same shapes.
bool gradients_fit(const std::vector<parameter*>& parameters, const std::vector<tensor>& others);

/// Adds the other copy's gradients, which must fit. A sum of two is the same whichever comes first, so both copies get
/// g0 + g1 to the bit.
void add_gradients(const std::vector<parameter*>& parameters, const std::vector<tensor>& others);

} // namespace troupe
