// A model of three layers with a few numbers each, to write checkpoints of.
#pragma once

#include "model/tensor.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe::test {

class small_model {
public:
  static constexpr std::int64_t layer_count = 3;

  small_model() {
    spec_.optimizer.learning_rate = 0.1; // has no finite binary form
    spec_.data.path = "text.txt";
    spec_.training.gradient_groups = 1; // a run settles it before it writes
  }

  run_spec& spec() { return spec_; }
  const std::vector<std::string>& state_names() const { return state_names_; }

  /// Every element differs from every other one, of this step or another.
  layer_snapshot layer(std::int64_t index, std::uint64_t step) {
    layer_snapshot made{.layer = index, .parameters = {}};
    for (const char* name : {"weight", "bias"}) {
      const shape extents = name[0] == 'w' ? shape{2, 3} : shape{2};
      parameter_snapshot one{
          .name = "h." + std::to_string(index) + "." + name, .value = numbers(extents, step), .state = {}};
      for (std::size_t state = 0; state < state_names_.size(); ++state)
        one.state.push_back(numbers(extents, step));
      made.parameters.push_back(one);
    }
    return made;
  }

  std::vector<layer_snapshot> layers(std::uint64_t step) {
    next_ = 0.0F;
    return {layer(0, step), layer(1, step), layer(2, step)};
  }

  /// Writes one generation and returns its directory.
  std::filesystem::path write(const std::filesystem::path& directory, std::uint64_t step) {
    checkpoint_writer writer(directory, spec_, step, state_names_);
    writer.add(layers(step));
    return writer.commit(layer_count);
  }

  tensor empty(const shape& extents) { return pool_.make_filled(extents, -1.0F); }

private:
  tensor numbers(const shape& extents, std::uint64_t step) {
    tensor made = pool_.make(extents);
    for (float& value : made.values())
      value = static_cast<float>(step) * 1000.0F + (next_ += 1.0F) / 3.0F;
    return made;
  }

  tensor_pool pool_;
  run_spec spec_;
  std::vector<std::string> state_names_ = {"m", "v"};
  float next_ = 0.0F;
};

} // namespace troupe::test
