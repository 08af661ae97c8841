// The mask of inverted dropout (Srivastava et al., "Dropout", JMLR 2014, with the scaling moved to training), drawn by
// counter so that backward can draw it again.
#pragma once

#include "model/layer.hpp"
#include "model/random.hpp"

#include <cstdint>

namespace troupe {

/// For one place of dropout and one microbatch: 0 where an element is dropped, 1 / (1 - rate) elsewhere. A function of
/// (seed, step, microbatch, site, element) and nothing else.
class dropout_mask {
public:
  /// Elements per block of random words.
  static constexpr std::int64_t block_size = 8;

  /// `site` is unique to each place of dropout in the model. 0 <= rate < 1.
  dropout_mask(double rate, std::uint64_t site, const pass_context& at);

  /// Writes the factors of the elements from block_size * first_block on. `count` may end within a block.
  void draw(std::uint64_t first_block, std::int64_t count, float* factors) const;

private:
  random_stream stream_;
  std::uint32_t threshold_; ///< random words below it mean dropped
  float scale_;
};

} // namespace troupe
