#include "runtime/reference_trainer.hpp"

#include "model/gemm.hpp"
#include "runtime/gradient_groups.hpp"
#include "runtime/local_run.hpp"
#include "runtime/pass_contexts.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/training_state.hpp"

#include <cmath>
#include <optional>

namespace troupe {

namespace {

/// The whole model on one thread.
class reference : public local_trainer {
public:
  reference(const run_spec& spec, const model_family& family, const data_source& data, const run_options& options)
      : spec_(spec), data_(data), layer_count_(family.layer_count(spec.model)),
        state_(spec, family, {0, layer_count_}, options.resume, pool_) {
    if (spec.training.gradient_groups > 1)
      groups_.emplace(state_.model().parameters(), spec.training.gradient_groups, spec.training.microbatches, pool_);
  }

  /// The mean loss over the microbatches of a step; in training also the sums of their gradients.
  double pass(const step_id& at, std::uint32_t microbatches) {
    double loss = 0.0;
    for (std::uint32_t microbatch = 0; microbatch < microbatches; ++microbatch) {
      const microbatch_data cut = data_.sample(at, microbatch);
      pass_context context = context_of(spec_, at, microbatch, microbatches, pool_);
      context.tokens = *cut.tokens;
      context.targets = *cut.targets;
      state_.model().forward({}, context);
      loss += state_.model().last_loss();
      if (at.mode == pass_mode::train)
        state_.model().backward({}, context);
      if (at.mode == pass_mode::train && groups_)
        groups_->count_microbatch();
    }
    return loss / microbatches;
  }

  step_closed train(std::uint64_t step, step_end) override {
    const double start = seconds_now();
    const step_id at{step, pass_mode::train};
    const double loss = pass(at, spec_.training.microbatches);
    if (state_.has_tied_replica())
      state_.add_tied_gradient(state_.tied_replica_gradient());
    const clip_decision clipped = clip_gradients(state_.gradient_squares(), spec_.optimizer.clip);
    if (!std::isfinite(loss) || !std::isfinite(clipped.norm))
      throw run_error("step " + std::to_string(step + 1) + ": found a loss of " + std::to_string(loss) +
                      " and a gradient norm of " + std::to_string(clipped.norm) +
                      ", expected finite numbers (a lower learning rate may help)");
    const double rate = learning_rate_at(spec_.optimizer, step);
    state_.apply({step, rate, clipped.scale});
    if (state_.has_tied_replica())
      state_.set_tied_replica(state_.tied_owner_value());
    return {at, loss, clipped.norm, rate, seconds_now() - start};
  }

  step_closed validate(std::uint64_t step) override {
    const double start = seconds_now();
    const step_id at{step, pass_mode::evaluate};
    return {at, pass(at, spec_.validation.microbatches), 0.0, 0.0, seconds_now() - start};
  }

  std::filesystem::path save(std::uint64_t steps_done) override {
    checkpoint_writer writer(spec_.checkpoint.directory, spec_, steps_done,
                             make_optimizer(spec_.optimizer)->state_names());
    writer.add(state_.snapshot(pool_));
    return writer.commit(layer_count_);
  }

  state_hashes hashes() override { return combine(state_.digests()); }

private:
  const run_spec& spec_;
  const data_source& data_;
  std::int64_t layer_count_;
  tensor_pool pool_;
  stage_state state_;
  std::optional<group_sums> groups_; ///< none when the gradient is one sum
};

} // namespace

run_report run_reference(const run_spec& wanted, const data_source& data, const run_options& options) {
  run_spec spec = wanted;
  spec.training.gradient_groups = gradient_groups_of(wanted, 1);
  const model_family& family = options.family != nullptr ? *options.family : find_family(spec.model.family);
  journal log({.spec = &spec,
               .family = &family,
               .options = &options,
               .first_step = options.resume == nullptr ? 0 : options.resume->steps_done()});
  if (options.resume != nullptr)
    expect_same_versions(*options.resume, {});
  set_gemm_threads(static_cast<int>(spec.pipeline.threads_per_stage));
  reference trainer(spec, family, data, options);
  return run_locally(spec, options, trainer, log);
}

} // namespace troupe
