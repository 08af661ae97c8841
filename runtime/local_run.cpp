#include "runtime/local_run.hpp"

#include "model/error.hpp"
#include "runtime/checkpoint_committer.hpp"
#include "runtime/poison.hpp"
#include "runtime/run_end.hpp"
#include "runtime/run_rules.hpp"

#include <chrono>
#include <string>

namespace troupe {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

namespace {

std::uint64_t first_step(const run_options& options) {
  return options.resume == nullptr ? 0 : options.resume->steps_done();
}

void save(local_trainer& trainer, std::uint64_t done, journal& log) {
  try {
    log.add(trainer.save(done));
  } catch (const checkpoint_error& failure) {
    log.add(checkpoint_failed{done, failure.what()});
  }
}

/// Ends the run with the state that the step began with.
[[noreturn]] void give_up(const run_spec& spec, const run_options& options, local_trainer& trainer, journal& log,
                          const step_closed& closed) {
  const std::uint64_t done = closed.at.step;
  const bool whole = done > first_step(options) && !trainer.carries_on();
  const model_family& family = options.family != nullptr ? *options.family : find_family(spec.model.family);
  std::string cause = refusal_of(*closed.poison, done, spec.model, family.layer_count(spec.model));
  if (!spec.checkpoint.directory.empty() && whole && !checkpoint_due(spec, done, false)) {
    try {
      log.add(trainer.save(done));
    } catch (const checkpoint_error& failure) {
      cause = with_failed_checkpoint(cause, {done, failure.what()});
    }
  }
  throw run_error(cause);
}

} // namespace

run_report run_locally(const run_spec& spec, const run_options& options, local_trainer& trainer, journal& log) {
  prepare_checkpoints(spec);
  const auto user_interrupts = [&] { return options.interrupts != nullptr && *options.interrupts > 0; };
  bool interrupted = false;
  for (std::uint64_t step = first_step(options); step < final_step(spec) && !interrupted; ++step) {
    const std::uint64_t done = step + 1;
    const bool joined = trainer.carries_on() && may_carry_on(spec, done) && !user_interrupts();
    const step_closed closed = trainer.train(step, joined ? step_end::carry_on : step_end::flush);
    if (closed.poison && spec.faults.on_nan == nan_rule::stop)
      give_up(spec, options, trainer, log, closed);
    log.add(closed);
    if (joined)
      continue;
    interrupted = user_interrupts() && done < final_step(spec);
    if (checkpoint_due(spec, done, interrupted || done == final_step(spec)))
      save(trainer, done, log);
    if (validation_due(spec, done) && !interrupted)
      log.add(trainer.validate(step));
  }
  const state_hashes hashes = trainer.hashes();
  log.add(run_closed{hashes.weights_sha256, hashes.optimizer_sha256, {}, interrupted});
  return log.finish();
}

} // namespace troupe
