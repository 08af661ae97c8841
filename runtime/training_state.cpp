#include "runtime/training_state.hpp"

#include "runtime/digest.hpp"
#include "runtime/gradient_groups.hpp"
#include "runtime/same_result.hpp"
#include "runtime/schedule/asynchronous.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

/// The name of the parameter that a tied head repeats; empty when the model has none. Only the last layer may hold a
/// replica.
std::string tied_owner_name(const model_family& family, const model_spec& spec) {
  const layer_ptr last = family.make_layer(spec, family.layer_count(spec) - 1);
  for (const parameter* p : parameters_of(*last))
    if (!p->replica_of.empty())
      return p->replica_of;
  return {};
}

} // namespace

std::optional<version_window> starting_versions(const schedule& order, std::uint32_t stage, std::uint64_t steps_done) {
  if (!order.asynchronous)
    return std::nullopt;
  const std::uint64_t microbatches = steps_done * order.microbatches;
  return version_window{weights_version(*order.asynchronous, stage, microbatches),
                        microbatches / order.asynchronous->update_every, versions_behind(*order.asynchronous)};
}

std::vector<std::string> snapshot_state_names(const optimizer_spec& spec, const schedule& order) {
  std::vector<std::string> names = make_optimizer(spec)->state_names();
  const std::uint32_t behind = order.asynchronous ? versions_behind(*order.asynchronous) : 0;
  for (std::uint32_t i = 1; i <= behind; ++i)
    names.push_back(fmt::format("weights.{}", i));
  return names;
}

std::string versions_rule(const plan& pipeline) {
  if (!pipeline.order.asynchronous)
    return {};
  const asynchrony& rule = *pipeline.order.asynchronous;
  const std::string every = fmt::format("an update every {} microbatches", rule.update_every);
  if (std::ranges::all_of(rule.lag, [&](std::uint32_t lag) { return lag == rule.lag.front(); }))
    return fmt::format("{}, weights {} microbatches old", every, rule.lag.front());
  std::vector<std::int64_t> layers;
  for (const layer_range& stage : pipeline.stages)
    layers.push_back(stage.size());
  return fmt::format("{}, weights {} microbatches old on stages of {} layers", every, fmt::join(rule.lag, "/"),
                     fmt::join(layers, "/"));
}

void expect_same_versions(const checkpoint& start, const std::string& rule) {
  expect_same_versions(rule, start.versions(), start.path(), "the checkpoint");
}

stage_state::stage_state(const run_spec& spec, const model_family& family, const layer_range& layers,
                         const parameter_source* start, tensor_pool& pool,
                         const std::optional<version_window>& versions)
    : optimizer_(make_optimizer(spec.optimizer)), behind_(versions ? versions->behind : 0) {
  const std::string owner = tied_owner_name(family, spec.model);
  const std::size_t states = optimizer_->state_names().size() + (start == nullptr ? 0 : behind_);
  std::vector<layer_ptr> built;
  for (std::int64_t index = layers.first; index < layers.last; ++index) {
    built.push_back(build_layer(family, spec.model, index, spec.training.seed, pool));
    for (parameter* p : parameters_of(*built.back())) {
      if (!p->replica_of.empty()) {
        tied_replica_ = p;
        if (start != nullptr && start->holds(p->replica_of))
          start->read(p->replica_of, p->value, {});
        continue;
      }
      if (!owner.empty() && p->name == owner)
        tied_owner_ = p;
      slots_.push_back({p, index, {}});
      for (std::size_t i = 0; i < states; ++i)
        slots_.back().state.push_back(pool.make_filled(p->extents, 0.0F));
      if (start != nullptr)
        start->read(p->name, p->value, slots_.back().state);
    }
  }
  model_ = std::make_unique<stage_model>(std::move(built), spec.pipeline.recomputation);
  if (versions)
    start_history(*versions);
}

/// Takes the older versions that were read from the checkpoint out of the slots, as far back as they are needed.
void stage_state::start_history(const version_window& versions) {
  std::vector<parameter*> parameters;
  for (const slot& s : slots_)
    parameters.push_back(s.what);
  history_.emplace(std::move(parameters), versions.newest);
  const std::size_t moments = optimizer_->state_names().size();
  for (std::size_t age = 0; age < versions.newest - versions.oldest; ++age) {
    std::vector<tensor> values;
    for (const slot& s : slots_)
      values.push_back(s.state.at(moments + age));
    history_->add_older(std::move(values));
  }
  for (slot& s : slots_)
    s.state.resize(moments);
}

void stage_state::use_newest() {
  if (history_)
    history_->use(history_->newest());
}

std::uint64_t stage_state::held_behind() const {
  return history_->newest() - history_->oldest();
}

void stage_state::apply_as_new_version(const update_rule& rule, tensor_pool& pool) {
  use_newest();
  apply(rule, pool); // other memory, as the history shares the values
  history_->add_newest();
}

std::vector<double> stage_state::gradient_squares() const {
  std::vector<double> squares(slots_.size());
  std::transform(slots_.begin(), slots_.end(), squares.begin(),
                 [](const slot& s) { return sum_of_squares(s.what->gradient); });
  return squares;
}

std::optional<std::int64_t> stage_state::last_not_finite(const std::vector<double>& squares) const {
  for (std::size_t index = slots_.size(); index-- > 0;)
    if (!std::isfinite(squares[index]))
      return slots_[index].layer;
  return std::nullopt;
}

void stage_state::apply(const update_rule& rule, tensor_pool& pool) {
  for (slot& s : slots_) {
    optimizer_->update(*s.what, s.state, rule, pool);
    s.what->gradient.fill(0.0F);
  }
  if (tied_replica_ != nullptr)
    tied_replica_->gradient.fill(0.0F);
}

void stage_state::discard_gradients() {
  for (slot& s : slots_)
    s.what->gradient.fill(0.0F);
  if (tied_replica_ != nullptr)
    tied_replica_->gradient.fill(0.0F);
}

std::vector<layer_snapshot> stage_state::snapshot() const {
  std::vector<layer_snapshot> layers;
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    const slot& s = slots_[index];
    if (layers.empty() || layers.back().layer != s.layer)
      layers.push_back({s.layer, {}});
    parameter_snapshot shared{s.what->name, s.what->value, s.state};
    for (std::uint64_t age = 1; age <= behind_; ++age)
      shared.state.push_back(history_->values(history_->newest() - std::min(age, held_behind()))[index]);
    layers.back().parameters.push_back(std::move(shared));
  }
  return layers;
}

std::vector<layer_digests> stage_state::digests() const {
  std::vector<layer_digests> layers;
  for (const slot& s : slots_) {
    if (layers.empty() || layers.back().layer != s.layer)
      layers.push_back({s.layer, {}});
    layers.back().parameters.push_back(digest_of(s.what->name, s.what->value, s.state));
  }
  return layers;
}

void stage_state::add_tied_gradient(const tensor& gradient) {
  tensor& sum = tied_owner_->gradient;
  if (gradient.extents() != sum.extents())
    throw protocol_error("tied gradient: found shape " + to_string(gradient.extents()) + ", expected " +
                         to_string(sum.extents()));
  add_to(sum, gradient);
}

void stage_state::set_tied_replica(const tensor& value) {
  if (value.extents() != tied_replica_->extents)
    throw protocol_error("tied value: found shape " + to_string(value.extents()) + ", expected " +
                         to_string(tied_replica_->extents));
  std::ranges::copy(value.values(), tied_replica_->value.values().begin());
}

} // namespace troupe
