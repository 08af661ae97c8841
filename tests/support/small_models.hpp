// Small whole models for the tests: their specs, their layers in one stage, and microbatches of random tokens.
#pragma once

#include "model/stage_model.hpp"
#include "tests/support/double_models.hpp"
#include "tests/support/layer_checks.hpp"

#include <string>
#include <vector>

namespace troupe::test {

/// Two blocks; sequences longer than a block of attention when `sequence_length` says so.
inline model_spec small_spec(const std::string& family, std::int64_t sequence_length = 9) {
  model_spec spec;
  spec.family = family;
  spec.layers = 2;
  spec.width = 24;
  spec.heads = 3;
  spec.vocabulary = 31;
  spec.sequence_length = sequence_length;
  spec.embedding_width = 5;
  return spec;
}

/// All layers of a model in one stage, and what a microbatch needs.
class small_model {
public:
  static constexpr std::int64_t sequences = 2;

  small_model(const model_spec& spec, recompute mode)
      : spec_(spec), family_(find_family(spec.family)), stage_(build(), mode) {}

  stage_model& stage() { return stage_; }
  tensor_pool& pool() { return pool_; }
  const model_spec& spec() const { return spec_; }

  /// The context of one microbatch of one step; its tokens live as long as the model.
  pass_context context(std::uint32_t microbatch, std::uint64_t step = 0) {
    const std::uint64_t id = 10 * step + microbatch;
    tokens_.push_back(random_tokens(sequences * spec_.sequence_length, spec_.vocabulary, id));
    targets_.push_back(random_tokens(sequences * family_.targets_per_sequence(spec_), spec_.vocabulary, 1000 + id));
    return {.seed = 1,
            .step = step,
            .microbatch = microbatch,
            .microbatches = 3,
            .sequences = sequences,
            .sequence_length = spec_.sequence_length,
            .tokens = tokens_.back(),
            .targets = targets_.back(),
            .pool = &pool_};
  }

  /// Moves every parameter away from its start; a tied head stays equal to the embedding.
  void perturb() {
    std::uint64_t id = 2000;
    for (parameter* p : stage_.parameters()) {
      const tensor noise = random_tensor(pool_, p->extents, p->replica_of.empty() ? id++ : 2000, 0.15);
      for (std::size_t i = 0; i < noise.values().size(); ++i)
        p->value.values()[i] += noise.values()[i];
    }
  }

  /// The parameters in double, without replicas.
  reference::parameters values() const {
    reference::parameters out;
    for (const parameter* p : stage_.parameters())
      if (p->replica_of.empty())
        out.emplace(p->name, widen(p->value));
    return out;
  }

  /// The gradients in double; a replica's is added to its owner's.
  reference::parameters gradients() const {
    reference::parameters out;
    for (const parameter* p : stage_.parameters())
      if (p->replica_of.empty())
        out.emplace(p->name, widen(p->gradient));
    for (const parameter* p : stage_.parameters())
      if (!p->replica_of.empty())
        out[p->replica_of] = reference::sum(out.at(p->replica_of), widen(p->gradient));
    return out;
  }

private:
  std::vector<layer_ptr> build() {
    std::vector<layer_ptr> layers;
    for (std::int64_t i = 0; i < family_.layer_count(spec_); ++i)
      layers.push_back(build_layer(family_, spec_, i, 5, pool_));
    return layers;
  }

  model_spec spec_;
  const model_family& family_;
  tensor_pool pool_;
  std::vector<std::vector<std::int32_t>> tokens_, targets_;
  stage_model stage_;
};

/// Whether two models' gradients are the same bits.
inline bool same_gradients(small_model& a, small_model& b) {
  const auto& left = a.stage().parameters();
  const auto& right = b.stage().parameters();
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const parameter* x, const parameter* y) { return same_bits(x->gradient, y->gradient); });
}

} // namespace troupe::test
