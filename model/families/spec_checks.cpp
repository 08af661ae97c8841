#include "model/families/spec_checks.hpp"

#include "model/error.hpp"

namespace troupe {

namespace {

constexpr std::int64_t most_layers = 1 << 16;
constexpr std::int64_t most_width = 1 << 16;
constexpr std::int64_t most_tokens = 1 << 20;
constexpr std::int64_t most_elements = std::int64_t{1} << 40;

} // namespace

void check_size(const spec_field& field, std::int64_t most) {
  if (field.value < 1 || field.value > most)
    throw spec_error(field.name + ": found " + std::to_string(field.value) + ", expected 1 to " + std::to_string(most));
}

void check_product(std::initializer_list<spec_field> factors) {
  std::int64_t product = 1;
  std::string names;
  std::string values;
  bool overflows = false;
  for (const spec_field& factor : factors) {
    overflows = overflows || product > most_elements / factor.value;
    product = overflows ? product : product * factor.value;
    names += (names.empty() ? "" : " * ") + factor.name;
    values += (values.empty() ? "" : " * ") + std::to_string(factor.value);
  }
  if (overflows)
    throw spec_error(names + ": found " + values + ", expected a product of at most 2^40");
}

void check_common_fields(const model_spec& spec) {
  check_size({"model.layers", spec.layers}, most_layers);
  check_size({"model.width", spec.width}, most_width);
  check_size({"model.vocabulary", spec.vocabulary}, most_tokens);
  check_size({"model.sequence_length", spec.sequence_length}, most_tokens);
  if (!(spec.dropout >= 0.0 && spec.dropout < 1.0)) // a NaN fails here too
    throw spec_error("model.dropout: found " + std::to_string(spec.dropout) + ", expected at least 0 and below 1");
}

} // namespace troupe
