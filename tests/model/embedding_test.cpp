#include "model/error.hpp"
#include "model/layers/context_embedding.hpp"
#include "model/layers/token_and_position_embedding.hpp"
#include "tests/support/layer_checks.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::int64_t B = 3, T = 10, V = 7, C = 19;

pass_context context(tensor_pool& pool, const std::vector<std::int32_t>& tokens) {
  return {.sequences = B, .sequence_length = T, .tokens = tokens, .pool = &pool};
}

} // namespace

TEST_CASE("a row of the input is a token's embedding plus its position's") {
  tensor_pool pool;
  token_and_position_embedding one({.vocabulary = V, .sequence_length = T + 2, .width = C});
  randomise(one, pool);
  const std::vector<std::int32_t> tokens = random_tokens(B * T, V, 1);
  const tensor dy = random_tensor(pool, {B * T, C}, 2);
  const pass_result found = run(one, {}, dy, context(pool, tokens));

  const auto p = parameters_of(one);
  reference::matrix y(B * T, C);
  reference::matrix token_gradient(V, C);
  reference::matrix position_gradient(T + 2, C);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    for (std::size_t c = 0; c < C; ++c) {
      const auto token = static_cast<std::size_t>(tokens[i]);
      y(i, c) = widen(p[0]->value)(token, c) + widen(p[1]->value)(i % T, c);
      token_gradient(token, c) += widen(dy)(i, c);
      position_gradient(i % T, c) += widen(dy)(i, c);
    }
  REQUIRE(found.input_gradient.empty());
  REQUIRE(relative_error(found.output, y) < 1e-6);
  REQUIRE(relative_error(p[0]->gradient, token_gradient) < 1e-5);
  REQUIRE(relative_error(p[1]->gradient, position_gradient) < 1e-5);
}

TEST_CASE("a context's embeddings lie side by side") {
  tensor_pool pool;
  context_embedding one({.vocabulary = V, .embedding_width = C});
  randomise(one, pool);
  const std::vector<std::int32_t> tokens = random_tokens(B * T, V, 1);
  const tensor dy = random_tensor(pool, {B, T * C}, 2);
  const pass_result found = run(one, {}, dy, context(pool, tokens));

  const reference::matrix table = widen(parameters_of(one)[0]->value);
  reference::matrix y(B, T * C);
  reference::matrix gradient(V, C);
  for (std::size_t sequence = 0; sequence < B; ++sequence)
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t c = 0; c < C; ++c) {
        const auto token = static_cast<std::size_t>(tokens[sequence * T + t]);
        y(sequence, t * C + c) = table(token, c);
        gradient(token, c) += widen(dy)(sequence, t * C + c);
      }
  REQUIRE(found.output.extents() == shape{B, T * C});
  REQUIRE(relative_error(found.output, y) == 0.0);
  REQUIRE(relative_error(parameters_of(one)[0]->gradient, gradient) < 1e-5);
}

TEST_CASE("the embeddings' gradients are their differences") {
  tensor_pool pool;
  const std::vector<std::int32_t> tokens = random_tokens(B * T, V, 1);
  token_and_position_embedding first({.vocabulary = V, .sequence_length = T, .width = C});
  randomise(first, pool);
  check_by_differences(first, {}, context(pool, tokens));
  context_embedding second({.vocabulary = V, .embedding_width = C});
  randomise(second, pool);
  check_by_differences(second, {}, context(pool, tokens));
}

TEST_CASE("a token outside the vocabulary is refused by name") {
  tensor_pool pool;
  std::vector<std::int32_t> tokens = random_tokens(B * T, V, 1);
  tokens[4] = GENERATE(7, -1);
  token_and_position_embedding one({.vocabulary = V, .sequence_length = T, .width = C});
  randomise(one, pool);
  stash kept;
  const std::string message =
      "token 4 of a microbatch: found " + std::to_string(tokens[4]) + ", expected 0 to 6 (model.vocabulary is 7)";
  REQUIRE_THROWS_MATCHES(one.forward({}, kept, context(pool, tokens)), data_error, Catch::Message(message));
}
