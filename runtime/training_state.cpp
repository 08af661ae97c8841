#include "runtime/training_state.hpp"

#include "runtime/digest.hpp"

#include <algorithm>

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

stage_state::stage_state(const run_spec& spec, const model_family& family, const layer_range& layers,
                         const checkpoint* start, tensor_pool& pool)
    : optimizer_(make_optimizer(spec.optimizer)) {
  const std::string owner = tied_owner_name(family, spec.model);
  const std::size_t states = optimizer_->state_names().size();
  std::vector<layer_ptr> built;
  for (std::int64_t index = layers.first; index < layers.last; ++index) {
    built.push_back(build_layer(family, spec.model, index, spec.training.seed, pool));
    for (parameter* p : parameters_of(*built.back())) {
      if (!p->replica_of.empty()) {
        tied_replica_ = p;
        if (start != nullptr)
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
}

std::vector<double> stage_state::gradient_squares() const {
  std::vector<double> squares(slots_.size());
  std::transform(slots_.begin(), slots_.end(), squares.begin(),
                 [](const slot& s) { return sum_of_squares(s.what->gradient); });
  return squares;
}

void stage_state::apply(const update_rule& rule) {
  for (slot& s : slots_) {
    optimizer_->update(*s.what, s.state, rule);
    s.what->gradient.fill(0.0F);
  }
  if (tied_replica_ != nullptr)
    tied_replica_->gradient.fill(0.0F);
}

std::vector<layer_snapshot> stage_state::snapshot(tensor_pool& pool) const {
  std::vector<layer_snapshot> layers;
  for (const slot& s : slots_) {
    if (layers.empty() || layers.back().layer != s.layer)
      layers.push_back({s.layer, {}});
    parameter_snapshot copied{s.what->name, pool.copy(s.what->value), {}};
    for (const tensor& moment : s.state)
      copied.state.push_back(pool.copy(moment));
    layers.back().parameters.push_back(std::move(copied));
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
  std::transform(sum.values().begin(), sum.values().end(), gradient.values().begin(), sum.values().begin(),
                 std::plus<>());
}

void stage_state::set_tied_replica(const tensor& value) {
  if (value.extents() != tied_replica_->extents)
    throw protocol_error("tied value: found shape " + to_string(value.extents()) + ", expected " +
                         to_string(tied_replica_->extents));
  std::ranges::copy(value.values(), tied_replica_->value.values().begin());
}

} // namespace troupe
