#include "runtime/schedule/search/starting_rules.hpp"

namespace troupe {

std::vector<starting_rule> starting_rules() {
  std::vector<starting_rule> rules;
  for (const double deferral : {in_gaps, 1.0, 2.0, 4.0, 0.5, 0.0})
    for (const double patience : {0.0, 0.99, 0.5})
      for (const double stretch : {1.0, 1.5, 0.0, 2.0, 0.5, 3.0})
        for (const double forward_lag : {0.0, 1e3, 1e6})
          rules.push_back({.stretch = stretch, .deferral = deferral, .forward_lag = forward_lag, .patience = patience});
  return rules;
}

play_rules to_play_rules(const starting_rule& rule, const pipeline_model& model) {
  const double cycle = model.largest_work();
  play_rules rules{.keys = std::vector<double>(model.passes()), .patience = rule.patience};
  for (std::uint32_t stage = 0; stage < model.stages(); ++stage) {
    const double forward = rule.stretch * model.forward_heads()[stage] + rule.forward_lag * cycle;
    const double input = rule.stretch * model.input_heads()[stage];
    // W never comes between F that lag and I.
    const double weight = input + (rule.deferral + rule.forward_lag) * cycle;
    for (std::uint32_t microbatch = 0; microbatch < model.microbatches(); ++microbatch) {
      rules.keys[model.id(stage, operation::forward, microbatch)] = microbatch * cycle + forward;
      rules.keys[model.id(stage, operation::backward_input, microbatch)] = microbatch * cycle + input;
      rules.keys[model.id(stage, operation::backward_weight, microbatch)] = microbatch * cycle + weight;
    }
  }
  return rules;
}

} // namespace troupe
