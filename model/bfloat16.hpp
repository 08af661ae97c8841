// Rounding to bfloat16: the upper half of a float (sign, 8 bits of exponent, 7 of mantissa), as it is sent between
// stages when half the bytes are wanted.
#pragma once

#include "model/tensor.hpp"

#include <span>

namespace troupe {

/// Rounds each value to the nearest bfloat16, of two that are equally near to the one whose last bit is 0 (IEEE 754's
/// roundTiesToEven): a finite value beyond the largest becomes infinity, infinities stay, NaN becomes a quiet NaN.
void round_to_bfloat16(std::span<float> values);

/// The same for a tensor: in place when it is the only holder of its elements, else in a copy, which leaves the other
/// holders' as they are. An empty tensor stays empty.
tensor rounded_to_bfloat16(tensor values, tensor_pool& pool);

} // namespace troupe
