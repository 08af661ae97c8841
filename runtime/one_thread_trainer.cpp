#include "runtime/one_thread_trainer.hpp"

#include "model/gemm.hpp"
#include "runtime/gradient_groups.hpp"
#include "runtime/local_run.hpp"
#include "runtime/pass_contexts.hpp"
#include "runtime/plan.hpp"
#include "runtime/poison.hpp"
#include "runtime/schedule/asynchronous.hpp"
#include "runtime/schedule/needs.hpp"
#include "runtime/stage_cuts.hpp"
#include "runtime/training_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>

namespace troupe {

namespace {

/// Microbatches are counted over the whole run: k = step * m + number.
class interpreter : public local_trainer {
public:
  interpreter(const run_spec& spec, const model_family& family, const plan& pipeline, const data_source& data,
              const run_options& options)
      : spec_(spec), pipeline_(pipeline), data_(data), poison_(pipeline.stages.back().last), disk_(options.disk) {
    const checkpoint* const start = options.resume;
    const std::uint64_t done = start == nullptr ? 0 : start->steps_done();
    for (std::uint32_t copy = 0; copy < order().copies(); ++copy)
      for (std::uint32_t stage = 0; stage < order().stages(); ++stage)
        stages_.emplace_back(spec, family, pipeline.stages[stage], start, pool_,
                             starting_versions(order(), stage, done));
    if (const std::uint32_t groups = pipeline.gradient_groups / order().copies(); groups > 1)
      for (stage_state& stage : stages_)
        groups_.emplace_back(stage.model().parameters(), groups, order().group_size(), pool_);
    squares_.resize(stages_.size());
  }

  bool carries_on() const override { return order().asynchronous.has_value(); }

  step_closed train(std::uint64_t step, step_end end) override {
    const double begin = seconds_now();
    run_lists(step, end);
    std::vector<double> losses;
    for (std::uint32_t number = 0; number < order().microbatches; ++number)
      losses.push_back(losses_.extract(step * order().microbatches + number).mapped());
    const double loss = std::accumulate(losses.begin(), losses.end(), 0.0) / order().microbatches;
    const double rate = learning_rate_at(spec_.optimizer, step);
    if (!order().asynchronous)
      exchange_gradients();
    const clip_decision clipped = order().asynchronous ? clip_decision{.norm = mean_norm()} : clip_all();
    const std::optional<poisoned_step> poison = find_poison(losses, clipped.norm, poison_.take());
    if (!order().asynchronous)
      update_all({step, rate, clipped.scale}, poison ? step_verdict::skip : step_verdict::update);
    return {{step, pass_mode::train}, loss, clipped.norm, rate, seconds_now() - begin, poison};
  }

  step_closed validate(std::uint64_t step) override {
    const double begin = seconds_now();
    const step_id at{step, pass_mode::evaluate};
    double loss = 0.0;
    for (std::uint32_t number = 0; number < spec_.validation.microbatches; ++number) {
      const microbatch_data cut = data_.sample(at, number);
      tensor values;
      for (stage_state& stage : copy(0)) {
        stage.use_newest();
        values = stage.model().forward(sent(std::move(values)), context_for(at, number, cut));
      }
      loss += copy(0).back().model().last_loss();
    }
    return {at, loss / spec_.validation.microbatches, 0.0, 0.0, seconds_now() - begin};
  }

  checkpoint_committed save(std::uint64_t steps_done) override {
    checkpoint_writer writer(spec_.checkpoint.directory, spec_, steps_done,
                             snapshot_state_names(spec_.optimizer, order()), versions_rule(pipeline_), disk_);
    for (stage_state& stage : copy(0)) {
      stage.use_newest();
      writer.add(stage.snapshot());
    }
    const std::string generation = writer.commit(pipeline_.stages.back().last).string();
    return {steps_done, generation, writer.warning()};
  }

  state_hashes hashes() override {
    std::vector<layer_digests> all;
    for (stage_state& stage : copy(0)) {
      stage.use_newest();
      std::ranges::move(stage.digests(), std::back_inserter(all));
    }
    return combine(all);
  }

private:
  /// A result on its way: which stage takes it, in which direction, for which microbatch.
  using parcel = std::tuple<std::uint32_t, direction, std::uint64_t>;

  tensor sent(tensor values) { return across_cut(std::move(values), spec_.pipeline.wire, pool_); }
  const schedule& order() const { return pipeline_.order; }
  std::uint32_t last_stage() const { return order().stages() - 1; }
  /// The stages of one copy of the model.
  std::span<stage_state> copy(std::uint32_t index) {
    return std::span(stages_).subspan(std::size_t{index} * order().stages(), order().stages());
  }
  /// Where the state of `stage` is in which microbatch `number` of its step has its place.
  std::size_t index_of(std::uint32_t stage, std::uint32_t number) const {
    return std::size_t{order().copy_of(number)} * order().stages() + stage;
  }

  void run_lists(std::uint64_t step, step_end end) {
    std::vector<std::vector<action>> lists;
    for (std::uint32_t rank = 0; rank < order().ranks; ++rank)
      lists.push_back(step_actions(order(), rank, start_, end));
    start_ = end == step_end::carry_on ? step_start::continued : step_start::afresh;
    std::vector<std::size_t> next(lists.size(), 0);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t rank = 0; rank < lists.size(); ++rank)
        for (; next[rank] < lists[rank].size() && run_if_ready(step, lists[rank][next[rank]]); ++next[rank])
          moved = true;
    }
    for (std::size_t rank = 0; rank < lists.size(); ++rank)
      TROUPE_CHECK(next[rank] == lists[rank].size(), "the schedule was checked before");
  }

  bool run_if_ready(std::uint64_t step, const action& one) {
    const std::uint64_t k = step * order().microbatches + one.microbatch;
    tensor input;
    if (const auto taken = taken_from_neighbour(one, order().stages())) {
      const auto found = parcels_.find({one.stage, taken->way, k});
      if (found == parcels_.end())
        return false;
      input = std::move(parcels_.extract(found).mapped());
    }
    run(one, k, input);
    return true;
  }

  /// A backward pass uses the version that the microbatch's forward pass used, which is noted.
  void choose_weights(const action& one, std::uint64_t k) {
    if (!order().asynchronous)
      return;
    const auto key = std::pair(one.stage, k);
    if (one.op == operation::forward)
      used_[key] = weights_version(*order().asynchronous, one.stage, k);
    stages_[one.stage].use_version(used_.at(key));
  }

  void run(const action& one, std::uint64_t k, const tensor& input) {
    const std::uint32_t m = order().microbatches;
    const auto number = static_cast<std::uint32_t>(k % m);
    const step_id at{k / m, pass_mode::train};
    auto cut = cuts_.find(k);
    if (cut == cuts_.end())
      cut = cuts_.emplace(k, data_.sample(at, number)).first;
    const pass_context context = context_for(at, number, cut->second);
    choose_weights(one, k);
    stage_model& model = stages_[index_of(one.stage, number)].model();
    switch (one.op) {
    case operation::forward: {
      tensor output = model.forward(input, context);
      if (one.stage == last_stage())
        losses_[k] = model.last_loss();
      else
        parcels_[{one.stage + 1, direction::forward, k}] = sent(std::move(output));
      return;
    }
    case operation::backward_weight:
      model.backward_weight(context);
      break;
    case operation::backward_input:
    case operation::backward: {
      if (!std::isfinite(losses_.at(k)))
        poison_.look(model, pipeline_.stages[one.stage], context);
      tensor gradient =
          one.op == operation::backward ? model.backward(input, context) : model.backward_input(input, context);
      if (one.stage > 0)
        parcels_[{one.stage - 1, direction::backward, k}] = sent(std::move(gradient));
      if (one.op == operation::backward_input)
        return;
      break;
    }
    }
    if (!groups_.empty())
      groups_[index_of(one.stage, number)].count_microbatch();
    finish_gradient(one.stage, k);
  }

  /// After the last use of the microbatch on the stage.
  void finish_gradient(std::uint32_t stage, std::uint64_t k) {
    if (++stages_through_[k] == order().stages()) {
      stages_through_.erase(k);
      cuts_.erase(k);
    }
    if (!order().asynchronous)
      return;
    used_.erase({stage, k});
    const asynchrony& rule = *order().asynchronous;
    const std::uint64_t updates = (k + 1) / rule.update_every;
    if ((k + 1) % rule.update_every == 0) {
      add_squares(stage);
      const double rate = learning_rate_at(spec_.optimizer, k / order().microbatches);
      stages_[stage].apply_as_new_version({updates - 1, rate, 1.0}, pool_);
    }
    stages_[stage].drop_versions_before(weights_version(rule, stage, k + 1));
  }

  void add_squares(std::uint32_t stage) {
    const std::vector<double> squares = stages_[stage].gradient_squares();
    squares_[stage].resize(squares.size(), 0.0);
    std::ranges::transform(squares_[stage], squares, squares_[stage].begin(), std::plus<>());
  }

  /// Of the mean squares over the step's updates. No stage has updates of the next step yet: a rank runs ahead with
  /// forward passes alone.
  double mean_norm() {
    const double updates = static_cast<double>(order().microbatches) / order().asynchronous->update_every;
    std::vector<double> all;
    for (std::uint32_t stage = 0; stage < order().stages(); ++stage) {
      std::vector<double>& squares = squares_[stage];
      poison_.look(stages_[stage].last_not_finite(squares));
      std::ranges::transform(squares, std::back_inserter(all), [&](double one) { return one / updates; });
      squares.clear();
    }
    return clip_gradients(all, 0.0).norm;
  }

  bool is_tied() const { return stages_.back().has_tied_replica(); }

  /// Of a synchronous step: from here on each stage's gradients are those of the whole step.
  void exchange_gradients() {
    if (order().copies() > 1)
      add_other_copies();
    for (std::uint32_t index = 0; is_tied() && index < order().copies(); ++index)
      copy(index).front().add_tied_gradient(copy(index).back().tied_replica_gradient());
  }

  clip_decision clip_all() {
    std::vector<double> all;
    for (const stage_state& stage : copy(0)) {
      const std::vector<double> squares = stage.gradient_squares();
      poison_.look(stage.last_not_finite(squares));
      all.insert(all.end(), squares.begin(), squares.end());
    }
    return clip_gradients(all, spec_.optimizer.clip);
  }

  /// The update of a synchronous step.
  void update_all(const update_rule& rule, step_verdict verdict) {
    for (stage_state& stage : stages_)
      if (verdict == step_verdict::update)
        stage.apply(rule, pool_);
      else
        stage.discard_gradients();
    for (std::uint32_t index = 0; is_tied() && index < order().copies(); ++index)
      copy(index).back().set_tied_replica(copy(index).front().tied_owner_value());
  }

  /// Each of two copies gets the sum of both copies' gradients.
  void add_other_copies() {
    for (std::uint32_t stage = 0; stage < order().stages(); ++stage) {
      const std::vector<parameter*>& down = copy(0)[stage].model().parameters();
      const std::vector<parameter*>& up = copy(1)[stage].model().parameters();
      const std::vector<tensor> before = copy_gradients(down, pool_);
      add_gradients(down, copy_gradients(up, pool_));
      add_gradients(up, before);
    }
  }

  pass_context context_for(const step_id& at, std::uint32_t number, const microbatch_data& cut) {
    std::uint32_t divisor = at.mode == pass_mode::train ? order().microbatches : spec_.validation.microbatches;
    if (order().asynchronous)
      divisor = order().asynchronous->update_every;
    pass_context context = context_of(spec_, at, number, divisor, pool_);
    context.tokens = *cut.tokens;
    context.targets = *cut.targets;
    return context;
  }

  const run_spec& spec_;
  const plan& pipeline_;
  const data_source& data_;
  poison_watch poison_;
  disk_faults* disk_;
  tensor_pool pool_;
  std::vector<stage_state> stages_; ///< copy after copy
  std::vector<group_sums> groups_;  ///< by stage; none when each copy adds up a single group
  step_start start_ = step_start::afresh;
  std::map<parcel, tensor> parcels_;
  std::map<std::uint64_t, microbatch_data> cuts_; ///< by microbatch, until all stages are through with it
  std::map<std::uint64_t, std::uint32_t> stages_through_;
  std::map<std::uint64_t, double> losses_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> used_; ///< version, by stage and microbatch
  std::vector<std::vector<double>> squares_;                              ///< by stage, summed over updates
};

} // namespace

run_report run_one_thread(const run_spec& wanted, const data_source& data, const run_options& options) {
  run_spec spec = wanted;
  const model_family& family = options.family != nullptr ? *options.family : find_family(spec.model.family);
  const plan pipeline = options.pipeline != nullptr ? *options.pipeline : make_plan(spec, family);
  spec.training.gradient_groups = pipeline.gradient_groups;
  note_cuts(spec, pipeline.stages);
  if (options.resume != nullptr)
    expect_same_versions(*options.resume, versions_rule(pipeline));
  journal log({.spec = &spec,
               .family = &family,
               .trainer = fmt::format("{}, one thread", pipeline.order.name),
               .options = &options,
               .first_step = options.resume == nullptr ? 0 : options.resume->steps_done()});
  set_gemm_threads(static_cast<int>(spec.pipeline.threads_per_stage));
  interpreter trainer(spec, family, pipeline, data, options);
  return run_locally(spec, options, trainer, log);
}

} // namespace troupe
