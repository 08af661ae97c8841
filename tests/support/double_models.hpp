// Whole models in double precision, from named parameters: the reference of the families' tests.
#pragma once

#include "model/model_spec.hpp"
#include "tests/support/double_reference.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace reference {

using parameters = std::map<std::string, matrix>;

/// A microbatch: tokens of all sequences, and targets.
struct batch {
  std::span<const std::int32_t> tokens, targets;
};

inline matrix attend(const parameters& p, const std::string& name, const matrix& x, const troupe::model_spec& spec) {
  const matrix qkv = linear(x, p.at(name + "c_attn.weight"), p.at(name + "c_attn.bias"));
  const auto T = static_cast<std::size_t>(spec.sequence_length);
  matrix out(x.rows, x.columns);
  for (std::size_t first = 0; first < x.rows; first += T) {
    const matrix one = attention(split_heads(slice_rows(qkv, first, T), static_cast<std::size_t>(spec.heads)));
    std::copy(one.values.begin(), one.values.end(),
              out.values.begin() + static_cast<std::ptrdiff_t>(first * x.columns));
  }
  return linear(out, p.at(name + "c_proj.weight"), p.at(name + "c_proj.bias"));
}

/// The loss of GPT-2 without dropout. A tied model has no "lm_head.weight".
inline double gpt_loss(const parameters& p, const troupe::model_spec& spec, const batch& on) {
  const matrix& wte = p.at("wte.weight");
  const matrix& wpe = p.at("wpe.weight");
  matrix x(on.tokens.size(), wte.columns);
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.columns; ++j)
      x(i, j) =
          wte(static_cast<std::size_t>(on.tokens[i]), j) + wpe(i % static_cast<std::size_t>(spec.sequence_length), j);
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
    const std::string h = "h." + std::to_string(layer) + ".";
    x = sum(x, attend(p, h + "attn.", layer_norm(x, p.at(h + "ln_1.weight"), p.at(h + "ln_1.bias")), spec));
    const matrix n = layer_norm(x, p.at(h + "ln_2.weight"), p.at(h + "ln_2.bias"));
    const matrix hidden = gelu(linear(n, p.at(h + "mlp.c_fc.weight"), p.at(h + "mlp.c_fc.bias")));
    x = sum(x, linear(hidden, p.at(h + "mlp.c_proj.weight"), p.at(h + "mlp.c_proj.bias")));
  }
  x = layer_norm(x, p.at("ln_f.weight"), p.at("ln_f.bias"));
  const auto head = p.find("lm_head.weight");
  return cross_entropy(product(x, transposed(head == p.end() ? wte : head->second)), on.targets);
}

/// The loss of the mlp family without dropout.
inline double mlp_loss(const parameters& p, const troupe::model_spec& spec, const batch& on) {
  const matrix& table = p.at("embedding.weight");
  const auto T = static_cast<std::size_t>(spec.sequence_length);
  matrix x(on.tokens.size() / T, T * table.columns);
  for (std::size_t i = 0; i < on.tokens.size(); ++i)
    for (std::size_t j = 0; j < table.columns; ++j)
      x(i / T, i % T * table.columns + j) = table(static_cast<std::size_t>(on.tokens[i]), j);
  x = gelu(linear(x, p.at("input.weight"), p.at("input.bias")));
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
    const std::string b = "blocks." + std::to_string(layer) + ".";
    const matrix n = layer_norm(x, p.at(b + "norm.weight"), p.at(b + "norm.bias"));
    const matrix hidden = gelu(linear(n, p.at(b + "up.weight"), p.at(b + "up.bias")));
    x = sum(x, linear(hidden, p.at(b + "down.weight"), p.at(b + "down.bias")));
  }
  x = layer_norm(x, p.at("norm.weight"), p.at("norm.bias"));
  return cross_entropy(product(x, transposed(p.at("lm_head.weight"))), on.targets);
}

} // namespace reference
