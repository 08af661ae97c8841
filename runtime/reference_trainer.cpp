#include "runtime/reference_trainer.hpp"

#include "model/gemm.hpp"
#include "runtime/gradient_groups.hpp"
#include "runtime/local_run.hpp"
#include "runtime/pass_contexts.hpp"
#include "runtime/poison.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/stage_cuts.hpp"
#include "runtime/training_state.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

namespace troupe {

namespace {

/// The whole model on one thread, in one piece or cut where values are rounded.
class reference : public local_trainer {
public:
  reference(const run_spec& spec, const model_family& family, const std::vector<layer_range>& cuts,
            const data_source& data, const run_options& options)
      : spec_(spec), data_(data), cuts_(cuts), poison_(cuts.back().last), disk_(options.disk) {
    for (const layer_range& layers : cuts)
      stages_.emplace_back(spec, family, layers, options.resume, pool_);
    if (spec.training.gradient_groups > 1)
      for (stage_state& stage : stages_)
        groups_.emplace_back(stage.model().parameters(), spec.training.gradient_groups, spec.training.microbatches,
                             pool_);
  }

  /// The losses of the microbatches of a step; in training also the sums of their gradients.
  std::vector<double> pass(const step_id& at, std::uint32_t microbatches) {
    std::vector<double> losses;
    losses.reserve(microbatches);
    for (std::uint32_t microbatch = 0; microbatch < microbatches; ++microbatch) {
      const microbatch_data cut = data_.sample(at, microbatch);
      pass_context context = context_of(spec_, at, microbatch, microbatches, pool_);
      context.tokens = *cut.tokens;
      context.targets = *cut.targets;
      forward(context);
      losses.push_back(stages_.back().model().last_loss());
      if (at.mode != pass_mode::train)
        continue;
      for (std::size_t stage = 0; stage < stages_.size() && !std::isfinite(losses.back()); ++stage)
        poison_.look(stages_[stage].model(), cuts_[stage], context);
      backward(context);
    }
    return losses;
  }

  step_closed train(std::uint64_t step, step_end) override {
    const double start = seconds_now();
    const step_id at{step, pass_mode::train};
    const std::vector<double> losses = pass(at, spec_.training.microbatches);
    const bool tied = stages_.back().has_tied_replica();
    if (tied)
      stages_.front().add_tied_gradient(stages_.back().tied_replica_gradient());
    std::vector<double> squares;
    for (const stage_state& stage : stages_) {
      const std::vector<double> sums = stage.gradient_squares();
      poison_.look(stage.last_not_finite(sums));
      squares.insert(squares.end(), sums.begin(), sums.end());
    }
    const clip_decision clipped = clip_gradients(squares, spec_.optimizer.clip);
    const std::optional<poisoned_step> poison = find_poison(losses, clipped.norm, poison_.take());
    const double rate = learning_rate_at(spec_.optimizer, step);
    for (stage_state& stage : stages_)
      if (poison)
        stage.discard_gradients();
      else
        stage.apply({step, rate, clipped.scale}, pool_);
    if (tied)
      stages_.back().set_tied_replica(stages_.front().tied_owner_value());
    return {at, mean(losses), clipped.norm, rate, seconds_now() - start, poison};
  }

  step_closed validate(std::uint64_t step) override {
    const double start = seconds_now();
    const step_id at{step, pass_mode::evaluate};
    const double loss = mean(pass(at, spec_.validation.microbatches));
    return {at, loss, 0.0, 0.0, seconds_now() - start};
  }

  checkpoint_committed save(std::uint64_t steps_done) override {
    checkpoint_writer writer(spec_.checkpoint.directory, spec_, steps_done,
                             make_optimizer(spec_.optimizer)->state_names(), {}, disk_);
    for (const stage_state& stage : stages_)
      writer.add(stage.snapshot());
    const std::string generation = writer.commit(cuts_.back().last).string();
    return {steps_done, generation, writer.warning()};
  }

  state_hashes hashes() override {
    std::vector<layer_digests> all;
    for (const stage_state& stage : stages_)
      std::ranges::move(stage.digests(), std::back_inserter(all));
    return combine(all);
  }

private:
  /// Added up in ascending order.
  static double mean(const std::vector<double>& losses) {
    return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size());
  }

  tensor across(tensor values) { return across_cut(std::move(values), spec_.pipeline.wire, pool_); }

  void forward(const pass_context& context) {
    tensor values;
    for (stage_state& stage : stages_)
      values = stage.model().forward(across(std::move(values)), context);
  }

  void backward(const pass_context& context) {
    tensor gradient;
    for (std::size_t stage = stages_.size(); stage-- > 0;) {
      gradient = stages_[stage].model().backward(across(std::move(gradient)), context);
      if (!groups_.empty())
        groups_[stage].count_microbatch();
    }
  }

  const run_spec& spec_;
  const data_source& data_;
  std::vector<layer_range> cuts_; ///< by stage
  poison_watch poison_;
  disk_faults* disk_;
  tensor_pool pool_;
  std::vector<stage_state> stages_; ///< one, unless something is rounded between them
  std::vector<group_sums> groups_;  ///< by stage; none when the gradient is one sum
};

} // namespace

run_report run_reference(const run_spec& wanted, const data_source& data, const run_options& options) {
  run_spec spec = wanted;
  spec.training.gradient_groups = gradient_groups_of(wanted, 1);
  const model_family& family = options.family != nullptr ? *options.family : find_family(spec.model.family);
  const std::vector<layer_range> cuts = reference_cuts(spec, family);
  note_cuts(spec, cuts);
  journal log({.spec = &spec,
               .family = &family,
               .options = &options,
               .first_step = options.resume == nullptr ? 0 : options.resume->steps_done()});
  if (options.resume != nullptr)
    expect_same_versions(*options.resume, {});
  set_gemm_threads(static_cast<int>(spec.pipeline.threads_per_stage));
  reference trainer(spec, family, cuts, data, options);
  return run_locally(spec, options, trainer, log);
}

} // namespace troupe
