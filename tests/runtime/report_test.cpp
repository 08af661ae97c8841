#include "model/error.hpp"
#include "runtime/report.hpp"
#include "tests/support/error_text.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <sys/stat.h>

using namespace troupe;
using namespace troupe::test;
using nlohmann::json;

TEST_CASE("losses and norms read from a report are the same bits") {
  run_report report;
  report.losses = {0.1, 5.545177444479562, std::nextafter(1.0, 2.0), 5e-324, 1.7976931348623157e308, -0.0, 3.0};
  report.gradient_norms = {1.0 / 3.0, 2.0 / 3.0};
  const json document = json::parse(to_json(report, "0.1.0"));
  const auto same_bits = [](const json& read, const std::vector<double>& written) {
    REQUIRE(read.size() == written.size());
    for (std::size_t index = 0; index < written.size(); ++index) {
      CHECK(read[index].is_number_float());
      CHECK(std::bit_cast<std::uint64_t>(read[index].get<double>()) == std::bit_cast<std::uint64_t>(written[index]));
    }
  };
  same_bits(document.at("losses"), report.losses);
  same_bits(document.at("gradient_norms"), report.gradient_norms);
}

TEST_CASE("a report has every field, with numbers as numbers") {
  run_report report;
  report.weights_sha256 = "aa";
  report.optimizer_sha256 = "bb";
  report.first_step = 3;
  report.losses = {2.5};
  report.gradient_norms = {0.5};
  report.validations = {{.step = 4, .loss = 1.5}};
  report.failed_checkpoints = {{.steps_done = 4, .reason = "run/x: cannot write: No space left on device"}};
  report.failed_outputs = {"t.json: cannot write: No space left on device"};
  report.step_seconds = {0.25};
  report.skipped_steps = {{4, {poison_source::loss, 2, 5, std::numeric_limits<double>::quiet_NaN()}},
                          {7, {poison_source::gradients, 0, -1, std::numeric_limits<double>::infinity()}}};
  report.tokens_per_second = 100.0;
  report.bubble_fraction = 0.125;
  report.span_seconds = 0.5;
  report.model_flops_per_second = 1e9;
  report.stages = {{.stage = 3, .rank = 1, .layers = {5, 7}, .seconds = {0.5, 0.25, 0.125}}};
  report.ranks = {{.rank = 1, .node = "box:1", .stages = {1, 3}, .usage = {0.5, 2, 4096, 6, 9, 2, 8192}}};
  report.recoveries = {{.rank = 1,
                        .step = 4,
                        .cause = "killed",
                        .last_heard = 1.0,
                        .noticed = 1.5,
                        .resumed = 1.75,
                        .caught_up = 2.5,
                        .replayed_passes = 3}};
  report.scheduler_recoveries = {{.step = 6, .cause = "killed", .noticed = 2.0, .resumed = 2.5}};
  report.returns = {{.from_step = 9, .to_step = 5, .cause = "lost", .seconds = 0.5}};
  report.stalls = 8;
  report.schedule = "1f1b";
  report.interrupted = true;
  json document = json::parse(to_json(report, "0.1.0"));
  document.erase("spec");
  CHECK(document == json::parse(R"({
    "version": "0.1.0", "emulated": false, "weights_sha256": "aa", "optimizer_sha256": "bb", "schedule": "1f1b", "interrupted": true,
    "tokens_per_second": 100.0, "model_flops_per_second": 1e9, "bubble_fraction": 0.125,
    "predicted_bubble_fraction": null, "span_seconds": 0.5, "runtime_seconds_per_action": null, "first_step": 3, "resumed_from": null, "losses": [2.5], "gradient_norms": [0.5],
    "validations": [{"step": 4, "loss": 1.5}], "step_seconds": [0.25], "recoveries": [{"step": 5, "rank": 1, "cause": "killed", "detected_ms": 500.0, "resumed_ms": 250.0, "caught_up_ms": 1000.0,
                    "replayed_microbatches": 3}],
    "scheduler_recoveries": [{"step": 7, "cause": "killed", "resumed_ms": 500.0}], "returns": [{"from_step": 9, "to_step": 5, "cause": "lost", "seconds": 0.5}], "stalls": 8,
    "skipped_steps": [{"step": 4, "microbatch": 2, "layer": 5, "cause": "a loss of nan"},
                      {"step": 7, "microbatch": -1, "layer": -1, "cause": "a gradient norm of inf"}],
    "failed_checkpoints": [{"steps_done": 4, "reason": "run/x: cannot write: No space left on device"}],
    "failed_outputs": ["t.json: cannot write: No space left on device"],
    "stages": [{"stage": 3, "rank": 1, "first_layer": 5, "layers": 2, "forward_seconds": 0.5,
                "backward_input_seconds": 0.25, "backward_weight_seconds": 0.125}],
    "ranks": [{"rank": 1, "node": "box:1", "stages": [1, 3], "busy_seconds": 0.5, "peak_stash_microbatches": 2,
               "peak_stash_bytes": 4096, "recomputed_microbatches": 6, "forward_passes": 9,
               "replayed_passes": 2, "peak_outbox_bytes": 8192}]})"));
}

TEST_CASE("a report's spec has every field of the run spec with its type") {
  run_report report;
  report.spec.training.seed = 18446744073709551615U;
  report.spec.optimizer.learning_rate = 0.1;
  report.spec.model.tied_head = true;
  report.spec.pipeline.partition = "2,3";
  report.spec.data.path = "123";
  const json spec = json::parse(to_json(report, "0.1.0")).at("spec");
  CHECK(spec.at("training").at("seed").get<std::uint64_t>() == 18446744073709551615U);
  CHECK(spec.at("optimizer").at("learning_rate").get<double>() == 0.1);
  CHECK(spec.at("model").at("tied_head") == true);
  CHECK(spec.at("model").at("layers") == 4);
  CHECK(spec.at("pipeline").at("partition") == "2,3");
  CHECK(spec.at("data").at("path") == "123");
  std::size_t leaves = 0;
  for (const auto& [section, fields] : spec.items()) {
    leaves += fields.size();
    for (const auto& [name, value] : fields.items())
      CHECK_NOTHROW(get_field(report.spec, section + "." + name));
  }
  CHECK(leaves == field_names().size());
}

TEST_CASE("numbers that are not finite and bytes that are not text leave the report valid JSON") {
  run_report report;
  report.losses = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1.0};
  report.spec.data.path = "caf\xe9.txt";
  const json document = json::parse(to_json(report, "0.1.0"));
  CHECK(document.at("losses") == json::parse("[null, null, 1.0]"));
}

TEST_CASE("the median leaves warm-up out") {
  CHECK(median_after_warmup({}) == 0.0);
  CHECK(median_after_warmup({4.0}) == 4.0);
  CHECK(median_after_warmup({9.0, 1.0}) == 5.0);
  CHECK(median_after_warmup({100.0, 2.0, 1.0}) == 1.5);
  CHECK(median_after_warmup({100.0, 3.0, 1.0, 2.0}) == 2.0);
  std::vector<double> many(200, 1.0);
  std::fill_n(many.begin(), 10, 50.0);     // dropped
  std::fill_n(many.begin() + 10, 95, 3.0); // half of the 190 that are kept
  CHECK(median_after_warmup(many) == 2.0);
}

TEST_CASE("rates are the step's work over its median time") {
  run_report report;
  report.step_seconds = {10.0, 0.5, 0.5};
  fill_rates(report, 1000.0, 4e9);
  CHECK(report.tokens_per_second == 2000.0);
  CHECK(report.model_flops_per_second == 8e9);
  run_report empty;
  fill_rates(empty, 1000.0, 4e9);
  CHECK(empty.tokens_per_second == 0.0);
}
