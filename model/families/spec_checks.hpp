// Checks on the fields of a model_spec that all families share.
#pragma once

#include "model/model_spec.hpp"

#include <cstdint>
#include <initializer_list>
#include <string>

namespace troupe {

/// A field of the model and its value, for error messages.
struct spec_field {
  std::string name; ///< as in "model.width"
  std::int64_t value = 0;
};

/// Throws spec_error unless 1 <= field.value <= most.
void check_size(const spec_field& field, std::int64_t most);
/// Throws spec_error when the product of the fields, each of them positive, exceeds 2^40, the most that a tensor holds.
void check_product(std::initializer_list<spec_field> factors);
/// Layers, width, vocabulary, sequence length and dropout, which every family has.
void check_common_fields(const model_spec& spec);

} // namespace troupe
