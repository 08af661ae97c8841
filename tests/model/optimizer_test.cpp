#include "model/error.hpp"
#include "model/optimizer.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <vector>

using namespace troupe;

namespace {

/// A parameter of one row with its optimizer state.
struct fixture {
  tensor_pool pool;
  parameter p;
  std::vector<tensor> state;

  fixture(const optimizer& rule, const std::vector<float>& values, weight_decay decay = weight_decay::yes) {
    p.name = "w";
    p.extents = {static_cast<std::int64_t>(values.size())};
    p.decay = decay;
    p.value = pool.make(p.extents);
    std::copy(values.begin(), values.end(), p.value.data());
    p.gradient = pool.make_filled(p.extents, 0.0F);
    for (std::size_t i = 0; i < rule.state_names().size(); ++i)
      state.push_back(pool.make_filled(p.extents, 0.0F));
  }

  void step(const optimizer& rule, const std::vector<float>& gradient, const update_rule& at) {
    std::copy(gradient.begin(), gradient.end(), p.gradient.data());
    rule.update(p, state, at, pool);
  }
};

/// Gradients of changing size and sign, one of them zero.
float gradient_at(std::uint64_t step, std::size_t i) {
  return static_cast<float>(std::sin(0.3 * static_cast<double>(step) + static_cast<double>(i)) *
                            std::pow(10.0, static_cast<double>(i % 5) - 3.0) * static_cast<double>(i % 7));
}

std::vector<float> gradients_at(std::uint64_t step, std::size_t size) {
  std::vector<float> all(size);
  for (std::size_t i = 0; i < size; ++i)
    all[i] = gradient_at(step, i);
  return all;
}

std::vector<float> ramp(std::size_t size) {
  std::vector<float> all(size);
  for (std::size_t i = 0; i < size; ++i)
    all[i] = 0.5F - 0.01F * static_cast<float>(i);
  return all;
}

/// Algorithm 2 of the AdamW paper for one element, in double, as the paper writes it.
struct paper_adamw {
  double value, m = 0.0, v = 0.0;

  void step(double g, double t, double rate, double decay) {
    m = 0.9 * m + 0.1 * g;
    v = 0.95 * v + 0.05 * g * g;
    const double m_hat = m / (1.0 - std::pow(0.9, t));
    const double v_hat = v / (1.0 - std::pow(0.95, t));
    value -= rate * (m_hat / (std::sqrt(v_hat) + 1e-8)) + rate * decay * value;
  }
};

} // namespace

TEST_CASE("AdamW gives the two steps that were computed by hand") {
  const auto rule = make_optimizer({.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1});
  fixture one(*rule, {1.0F});
  // 1 * 0.99 - 0.1 * 0.5 / 0.5
  one.step(*rule, {0.5F}, {.step = 0, .learning_rate = 0.1});
  CHECK(one.p.value.data()[0] == Approx(0.89).epsilon(1e-6));
  // m = 0.9 * 0.05 - 0.1 * 0.25 = 0.02, v = 0.95 * 0.0125 + 0.05 * 0.0625 = 0.015;
  // 0.89 * 0.99 - 0.1 * (0.02 / 0.19) / sqrt(0.015 / 0.0975)
  one.step(*rule, {-0.25F}, {.step = 1, .learning_rate = 0.1});
  CHECK(one.p.value.data()[0] == Approx(0.8542630594).epsilon(1e-6));
  CHECK(one.state[0].data()[0] == Approx(0.02).epsilon(1e-6));
  CHECK(one.state[1].data()[0] == Approx(0.015).epsilon(1e-6));
}

TEST_CASE("AdamW follows the paper's algorithm in double precision over many steps") {
  constexpr std::size_t size = 83; // not a multiple of any vector length
  const auto rule = make_optimizer({.weight_decay = 0.1});
  fixture many(*rule, ramp(size));
  std::vector<paper_adamw> expected;
  for (const float x : ramp(size))
    expected.push_back({static_cast<double>(x)});
  for (std::uint64_t step = 0; step < 300; ++step) {
    const double rate = 1e-3 * static_cast<double>(1 + step % 10);
    many.step(*rule, gradients_at(step, size), {.step = step, .learning_rate = rate, .gradient_scale = 0.25});
    for (std::size_t i = 0; i < size; ++i)
      expected[i].step(0.25 * static_cast<double>(gradient_at(step, i)), static_cast<double>(step + 1), rate, 0.1);
  }
  for (std::size_t i = 0; i < size; ++i)
    CHECK(many.p.value.data()[i] == Approx(expected[i].value).epsilon(1e-4).margin(1e-5));
}

TEST_CASE("SGD accumulates momentum as PyTorch defines it, with decoupled decay") {
  const auto rule = make_optimizer({.kind = "sgd", .weight_decay = 0.5, .momentum = 0.9});
  fixture one(*rule, {1.0F});
  // The first buffer is the gradient itself: 1 * (1 - 0.1 * 0.5) - 0.1 * 2
  one.step(*rule, {2.0F}, {.step = 0, .learning_rate = 0.1});
  CHECK(one.state[0].data()[0] == 2.0F);
  CHECK(one.p.value.data()[0] == Approx(0.75).epsilon(1e-6));
  // buffer = 0.9 * 2 + 1 = 2.8: 0.75 * 0.95 - 0.1 * 2.8
  one.step(*rule, {1.0F}, {.step = 1, .learning_rate = 0.1});
  CHECK(one.p.value.data()[0] == Approx(0.4325).epsilon(1e-6));
  // buffer = 0.9 * 2.8 - 0.5 * 4 = 0.52, the gradient being scaled: 0.4325 * 0.95 - 0.1 * 0.52
  one.step(*rule, {-4.0F}, {.step = 2, .learning_rate = 0.1, .gradient_scale = 0.5});
  CHECK(one.p.value.data()[0] == Approx(0.358875).epsilon(1e-6));
}

TEST_CASE("parameters without weight decay do not shrink when their gradient is zero") {
  const auto kind = GENERATE(as<std::string>{}, "adamw", "sgd");
  const auto rule = make_optimizer({.kind = kind, .weight_decay = 0.1});
  fixture bias(*rule, ramp(40), weight_decay::no);
  fixture weight(*rule, ramp(40), weight_decay::yes);
  bias.step(*rule, std::vector<float>(40, 0.0F), {.step = 0, .learning_rate = 0.5});
  weight.step(*rule, std::vector<float>(40, 0.0F), {.step = 0, .learning_rate = 0.5});
  for (std::size_t i = 0; i < 40; ++i) {
    CHECK(bias.p.value.data()[i] == ramp(40)[i]);
    CHECK(weight.p.value.data()[i] == Approx(0.95 * static_cast<double>(ramp(40)[i])).epsilon(1e-6));
  }
}

TEST_CASE("an element's update does not depend on where in the tensor it is") {
  const auto kind = GENERATE(as<std::string>{}, "adamw", "sgd");
  const auto rule = make_optimizer({.kind = kind});
  for (const std::size_t size : {1U, 7U, 16U, 100U, 131U}) {
    fixture whole(*rule, ramp(size));
    for (std::uint64_t step = 0; step < 5; ++step)
      whole.step(*rule, gradients_at(step, size), {.step = step, .learning_rate = 0.01, .gradient_scale = 0.7});
    for (std::size_t i = 0; i < size; ++i) {
      fixture alone(*rule, {ramp(size)[i]});
      for (std::uint64_t step = 0; step < 5; ++step)
        alone.step(*rule, {gradient_at(step, i)}, {.step = step, .learning_rate = 0.01, .gradient_scale = 0.7});
      CHECK(std::bit_cast<std::uint32_t>(alone.p.value.data()[0]) ==
            std::bit_cast<std::uint32_t>(whole.p.value.data()[i]));
    }
  }
}

TEST_CASE("an update leaves what others share as it was, and gives the same bits as in place") {
  const auto kind = GENERATE(as<std::string>{}, "adamw", "sgd");
  const auto rule = make_optimizer({.kind = kind});
  const auto bits = [](const tensor& one) { return std::vector<float>(one.values().begin(), one.values().end()); };
  fixture alone(*rule, ramp(100));
  fixture shared(*rule, ramp(100));
  for (std::uint64_t step = 0; step < 4; ++step) {
    INFO("step " << step);
    std::vector<tensor> held = shared.state;
    held.push_back(shared.p.value);
    std::vector<std::vector<float>> before;
    std::ranges::transform(held, std::back_inserter(before), bits);
    const float* const place = alone.p.value.data();
    const update_rule at{.step = step, .learning_rate = 0.01, .gradient_scale = 0.7};
    alone.step(*rule, gradients_at(step, 100), at);
    shared.step(*rule, gradients_at(step, 100), at);
    CHECK(alone.p.value.data() == place); // nobody shares it
    for (std::size_t i = 0; i < held.size(); ++i)
      CHECK(bits(held[i]) == before[i]);
    CHECK(bits(shared.p.value) == bits(alone.p.value));
    for (std::size_t i = 0; i < shared.state.size(); ++i)
      CHECK(bits(shared.state[i]) == bits(alone.state[i]));
  }
}

TEST_CASE("the sum of squares is a double added in sixteen interleaved partial sums") {
  const auto size = GENERATE(0, 1, 15, 16, 17, 1000);
  tensor_pool pool;
  tensor gradient = pool.make({size});
  std::vector<double> partial(16, 0.0);
  for (int i = 0; i < size; ++i) {
    gradient.data()[i] = gradient_at(3, static_cast<std::size_t>(i));
    partial[static_cast<std::size_t>(i % 16)] += std::pow(static_cast<double>(gradient.data()[i]), 2.0);
  }
  double expected = 0.0;
  for (const double one : partial)
    expected += one;
  CHECK(sum_of_squares(gradient) == expected);
}

TEST_CASE("squares beyond the range of float are summed") {
  tensor_pool pool;
  CHECK(sum_of_squares(pool.make_filled({4}, 1e30F)) == Approx(4e60));
  CHECK(sum_of_squares(pool.make_filled({4}, 1e-30F)) == Approx(4e-60));
}

TEST_CASE("a global gradient norm above clip is scaled down to it, any other is left alone") {
  const std::vector<double> squares = {9.0, 16.0};
  CHECK(clip_gradients(squares, 1.0).norm == 5.0);
  CHECK(clip_gradients(squares, 1.0).scale == Approx(0.2));
  CHECK(clip_gradients(squares, 5.0).scale == 1.0);
  CHECK(clip_gradients(squares, 6.0).scale == 1.0);
  CHECK(clip_gradients(squares, 0.0).scale == 1.0);
  CHECK(clip_gradients(squares, 0.0).norm == 5.0);
  CHECK(clip_gradients({}, 1.0).norm == 0.0);
}

TEST_CASE("a norm that is not a number is reported and changes nothing") {
  const std::vector<double> squares = {1.0, std::numeric_limits<double>::quiet_NaN()};
  CHECK(std::isnan(clip_gradients(squares, 1.0).norm));
  CHECK(clip_gradients(squares, 1.0).scale == 1.0);
}

TEST_CASE("the learning rate warms up linearly and decays along a cosine") {
  const optimizer_spec spec{.learning_rate = 0.8, .minimum_learning_rate = 0.2, .warmup_steps = 4, .decay_steps = 12};
  CHECK(learning_rate_at(spec, 0) == Approx(0.2));
  CHECK(learning_rate_at(spec, 1) == Approx(0.4));
  CHECK(learning_rate_at(spec, 3) == Approx(0.8));
  CHECK(learning_rate_at(spec, 4) == Approx(0.8));
  CHECK(learning_rate_at(spec, 6) == Approx(0.2 + 0.6 * (2.0 + std::sqrt(2.0)) / 4.0)); // cos(pi / 4)
  CHECK(learning_rate_at(spec, 8) == Approx(0.5));
  CHECK(learning_rate_at(spec, 12) == 0.2);
  CHECK(learning_rate_at(spec, 1000000) == 0.2);
}

TEST_CASE("without warm-up and decay the learning rate is constant") {
  const optimizer_spec spec{.learning_rate = 0.3};
  CHECK(learning_rate_at(spec, 0) == 0.3);
  CHECK(learning_rate_at(spec, 1000000) == 0.3);
}

TEST_CASE("a warm-up that reaches beyond the decay runs to its end first") {
  const optimizer_spec spec{.learning_rate = 0.8, .warmup_steps = 4, .decay_steps = 2};
  CHECK(learning_rate_at(spec, 3) == Approx(0.8));
  CHECK(learning_rate_at(spec, 4) == 0.0);
}

TEST_CASE("an unknown optimizer is refused by name") {
  CHECK_THROWS_MATCHES(make_optimizer({.kind = "adam"}), spec_error,
                       Catch::Message("optimizer.kind: found 'adam', expected adamw or sgd"));
}
