#include "model/model_spec.hpp"

#include "model/error.hpp"
#include "model/families/gpt.hpp"
#include "model/families/mlp.hpp"

#include <array>

namespace troupe {

namespace {

/// Where a parameter is drawn from.
struct coordinates {
  std::uint64_t layer = 0;
  std::uint64_t index = 0;
};

std::array<const model_family*, 2> families() {
  static const gpt_family gpt;
  static const mlp_family mlp;
  return {&gpt, &mlp};
}

coordinates find_owner(const model_family& family, const model_spec& spec, const std::string& name) {
  for (std::int64_t at = 0; at < family.layer_count(spec); ++at) {
    const layer_ptr candidate = family.make_layer(spec, at);
    const std::vector<parameter*> parameters = parameters_of(*candidate);
    for (std::size_t i = 0; i < parameters.size(); ++i)
      if (parameters[i]->name == name)
        return {static_cast<std::uint64_t>(at), i};
  }
  TROUPE_CHECK(false, "no parameter named " + name);
  return {};
}

} // namespace

layer_ptr model_family::make_output_layer(const model_spec& spec) const {
  throw spec_error("model.family: found '" + spec.family + "', expected a family that predicts tokens");
}

const model_family& find_family(const std::string& name) {
  std::string known;
  for (const model_family* family : families()) {
    if (family->name() == name)
      return *family;
    known += (known.empty() ? "" : ", ") + family->name();
  }
  throw spec_error("model.family: found '" + name + "', expected one of " + known);
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const model_family* family : families())
    names.push_back(family->name());
  return names;
}

layer_ptr build_layer(const model_family& family, const model_spec& spec, std::int64_t index, std::uint64_t seed,
                      tensor_pool& pool) {
  layer_ptr built = family.make_layer(spec, index);
  const std::vector<parameter*> parameters = parameters_of(*built);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameter& p = *parameters[i];
    const coordinates drawn_at = p.replica_of.empty() ? coordinates{static_cast<std::uint64_t>(index), i}
                                                      : find_owner(family, spec, p.replica_of);
    allocate(p, pool, seed, drawn_at.layer, drawn_at.index);
  }
  return built;
}

} // namespace troupe
