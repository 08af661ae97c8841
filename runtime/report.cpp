#include "runtime/report.hpp"

#include "model/error.hpp"
#include "runtime/poison.hpp"
#include "runtime/run_spec.pb.h"
#include "runtime/run_spec_proto.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>

namespace troupe {

namespace {

namespace pb = google::protobuf;
using json = nlohmann::ordered_json;
using pb::FieldDescriptor;

/// One field of a message with its type: protobuf's own JSON would make strings of 64-bit numbers.
json field_to_json(const pb::Message& message, const FieldDescriptor* field) {
  const pb::Reflection& access = *message.GetReflection();
  switch (field->cpp_type()) {
  case FieldDescriptor::CPPTYPE_STRING:
    return access.GetString(message, field);
  case FieldDescriptor::CPPTYPE_DOUBLE:
    return access.GetDouble(message, field);
  case FieldDescriptor::CPPTYPE_BOOL:
    return access.GetBool(message, field);
  case FieldDescriptor::CPPTYPE_INT64:
    return access.GetInt64(message, field);
  case FieldDescriptor::CPPTYPE_UINT64:
    return access.GetUInt64(message, field);
  case FieldDescriptor::CPPTYPE_UINT32:
    return access.GetUInt32(message, field);
  default:
    break;
  }
  TROUPE_CHECK(false, "the run spec has no field of another type");
}

json message_to_json(const pb::Message& message) {
  json result = json::object();
  const pb::Descriptor& type = *message.GetDescriptor();
  for (int index = 0; index < type.field_count(); ++index) {
    const FieldDescriptor* field = type.field(index);
    result[field->name()] = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE
                                ? message_to_json(message.GetReflection()->GetMessage(message, field))
                                : field_to_json(message, field);
  }
  return result;
}

json spec_to_json(const run_spec& spec) {
  proto::RunSpec message;
  to_message(spec, message);
  return message_to_json(message);
}

json rank_to_json(const rank_report& rank) {
  return {{"rank", rank.rank},
          {"node", rank.node},
          {"stages", rank.stages},
          {"busy_seconds", rank.usage.busy_seconds},
          {"peak_stash_microbatches", rank.usage.peak_stash_microbatches},
          {"peak_stash_bytes", rank.usage.peak_stash_bytes},
          {"recomputed_microbatches", rank.usage.recomputed_microbatches},
          {"forward_passes", rank.usage.forward_passes},
          {"replayed_passes", rank.usage.replayed_passes},
          {"peak_outbox_bytes", rank.usage.peak_outbox_bytes}};
}

json recovery_to_json(const rank_recovery& one) {
  constexpr double milliseconds = 1e3; // in a second
  const auto since_noticed = [&](double moment) {
    return moment > 0.0 ? json((moment - one.noticed) * milliseconds) : json(); // it came to nothing
  };
  return {{"step", one.step + 1},
          {"rank", one.rank},
          {"cause", one.cause},
          {"detected_ms", (one.noticed - one.last_heard) * milliseconds},
          {"resumed_ms", since_noticed(one.resumed)},
          {"caught_up_ms", since_noticed(one.caught_up)},
          {"replayed_microbatches", one.replayed_passes}};
}

json return_to_json(const run_return& one) {
  return {{"from_step", one.from_step}, {"to_step", one.to_step}, {"cause", one.cause}, {"seconds", one.seconds}};
}

json scheduler_recovery_to_json(const scheduler_recovery& one) {
  constexpr double milliseconds = 1e3; // in a second
  return {{"step", one.step + 1}, {"cause", one.cause}, {"resumed_ms", (one.resumed - one.noticed) * milliseconds}};
}

json stage_to_json(const stage_report& stage) {
  return {{"stage", stage.stage},
          {"rank", stage.rank},
          {"first_layer", stage.layers.first},
          {"layers", stage.layers.size()},
          {"forward_seconds", stage.seconds.forward},
          {"backward_input_seconds", stage.seconds.backward_input},
          {"backward_weight_seconds", stage.seconds.backward_weight}};
}

json skipped_to_json(const skipped_step& skipped) {
  const bool one_microbatch = skipped.why.source == poison_source::loss;
  return {{"step", skipped.step},
          {"microbatch", one_microbatch ? std::int64_t{skipped.why.microbatch} : -1},
          {"layer", skipped.why.layer},
          {"cause", cause_of(skipped.why)}};
}

json failed_to_json(const checkpoint_failed& one) {
  return {{"steps_done", one.steps_done}, {"reason", one.reason}};
}

json optional_to_json(const std::optional<double>& value) {
  return value ? json(*value) : json(nullptr);
}

template <typename Item, typename Convert>
json list_to_json(const std::vector<Item>& items, const Convert& convert) {
  json list = json::array();
  for (const Item& item : items)
    list.push_back(convert(item));
  return list;
}

} // namespace

std::size_t warmup_steps(std::size_t steps) {
  return steps > 2 ? std::clamp<std::size_t>(steps / 10, 1, 10) : 0;
}

double median_after_warmup(const std::vector<double>& values) {
  if (values.empty())
    return 0.0;
  std::vector<double> kept(values.begin() + static_cast<std::ptrdiff_t>(warmup_steps(values.size())), values.end());
  std::ranges::sort(kept);
  const std::size_t middle = kept.size() / 2;
  return kept.size() % 2 == 1 ? kept[middle] : (kept[middle - 1] + kept[middle]) / 2;
}

void fill_rates(run_report& report, double tokens_per_step, double flops_per_step) {
  const double seconds = median_after_warmup(report.step_seconds);
  report.tokens_per_second = seconds > 0.0 ? tokens_per_step / seconds : 0.0;
  report.model_flops_per_second = seconds > 0.0 ? flops_per_step / seconds : 0.0;
}

std::string to_json(const run_report& report, const std::string& version) {
  // An emulated run has no weights and no losses: what stands for them would look like a result.
  const bool emulated = report.spec.pipeline.emulated();
  const auto result_only = [&](const auto& value) { return emulated ? json(nullptr) : json(value); };
  const json document = {
      {"version", version},
      {"emulated", emulated},
      {"weights_sha256", result_only(report.weights_sha256)},
      {"optimizer_sha256", result_only(report.optimizer_sha256)},
      {"schedule", report.schedule},
      {"interrupted", report.interrupted},
      {"tokens_per_second", report.tokens_per_second},
      {"model_flops_per_second", report.model_flops_per_second},
      {"bubble_fraction", optional_to_json(report.bubble_fraction)},
      {"predicted_bubble_fraction", optional_to_json(report.predicted_bubble_fraction)},
      {"span_seconds", optional_to_json(report.span_seconds)},
      {"runtime_seconds_per_action", optional_to_json(report.runtime_seconds_per_action)},
      {"first_step", report.first_step},
      {"resumed_from", report.resumed_from.empty() ? json(nullptr) : json(report.resumed_from)},
      {"losses", result_only(report.losses)},
      {"gradient_norms", result_only(report.gradient_norms)},
      {"validations", list_to_json(report.validations,
                                   [](const validation_point& one) {
                                     return json{{"step", one.step}, {"loss", one.loss}};
                                   })},
      {"failed_checkpoints", list_to_json(report.failed_checkpoints, failed_to_json)},
      {"failed_outputs", report.failed_outputs},
      {"step_seconds", report.step_seconds},
      {"skipped_steps", list_to_json(report.skipped_steps, skipped_to_json)},
      {"ranks", list_to_json(report.ranks, rank_to_json)},
      {"stages", list_to_json(report.stages, stage_to_json)},
      {"recoveries", list_to_json(report.recoveries, recovery_to_json)},
      {"scheduler_recoveries", list_to_json(report.scheduler_recoveries, scheduler_recovery_to_json)},
      {"returns", list_to_json(report.returns, return_to_json)},
      {"stalls", report.stalls},
      {"spec", spec_to_json(report.spec)}};
  // Names of nodes and files may be any bytes; JSON is UTF-8. nlohmann writes the shortest digits that give a double
  // back.
  constexpr int indent = 2;
  return document.dump(indent, ' ', false, json::error_handler_t::replace) + "\n";
}

} // namespace troupe
