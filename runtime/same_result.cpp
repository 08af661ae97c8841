#include "runtime/same_result.hpp"

#include "model/error.hpp"
#include "runtime/stage_cuts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace troupe {

namespace {

/// Sections of a run spec whose fields decide the result, the fields of them that do not, and those that do elsewhere.
bool decides_result(const std::string& field) {
  constexpr std::array sections = {"model.", "data.", "training.", "optimizer."};
  constexpr std::array free_fields = {"data.path", "training.steps", "training.stop_after"};
  constexpr std::array bound_fields = {"pipeline.threads_per_stage", "pipeline.wire"};
  const bool in_section = std::ranges::any_of(sections, [&](const char* one) { return field.starts_with(one); });
  const auto listed = [&](const auto& list) {
    return std::ranges::any_of(list, [&](const char* one) { return field == one; });
  };
  return (in_section && !listed(free_fields)) || listed(bound_fields);
}

std::string cuts_text(const std::optional<std::vector<layer_range>>& cuts) {
  return cuts ? partition_text(*cuts) : "one that the plan decides";
}

} // namespace

std::string deciding_fields(const run_spec& spec) {
  std::string text;
  for (const std::string& field : field_names())
    if (decides_result(field))
      text += field + '=' + get_field(spec, field) + '\n';
  return text;
}

std::optional<spec_difference> first_difference(const run_spec& spec, const run_spec& expected) {
  for (const std::string& field : field_names())
    if (decides_result(field) && get_field(spec, field) != get_field(expected, field))
      return spec_difference{field, get_field(spec, field), get_field(expected, field)};
  if (spec.pipeline.wire == wire_precision::fp32)
    return std::nullopt;
  const model_family& family = find_family(spec.model.family);
  const auto cuts = cuts_of(spec, family);
  const auto expected_cuts = cuts_of(expected, family);
  if (!cuts || !expected_cuts || *cuts != *expected_cuts)
    return spec_difference{"pipeline.partition", cuts_text(cuts), cuts_text(expected_cuts)};
  return std::nullopt;
}

void expect_same_result(const run_spec& spec, const run_spec& expected, const std::filesystem::path& place,
                        const char* what) {
  if (const auto other = first_difference(spec, expected))
    throw checkpoint_error(fmt::format("{}: {}: found {} in this run, expected {} as in {}", place.string(),
                                       other->field, other->found, other->expected, what));
}

void expect_same_versions(const std::string& rule, const std::string& expected, const std::filesystem::path& place,
                          const char* what) {
  const auto text = [](const std::string& one) { return one.empty() ? "a synchronous schedule" : "'" + one + "'"; };
  if (rule != expected)
    throw checkpoint_error(fmt::format("{}: pipeline.schedule: found {} in this run, expected {} as in {}",
                                       place.string(), text(rule), text(expected), what));
}

} // namespace troupe
