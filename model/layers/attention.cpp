#include "model/layers/attention.hpp"

#include "model/error.hpp"
#include "model/layers/attention_head.hpp"

#include <cmath>
#include <optional>

namespace troupe {

namespace {

enum slot : std::size_t { input_slot, output_slot, log_sums_slot };

/// Where each head of each sequence lies in the tensors of one microbatch.
struct head_layout {
  std::int64_t sequences, tokens, heads, width; ///< B, T, heads, columns of a head

  head_layout(const tensor& input, std::int64_t head_count, const pass_context& at)
      : sequences(input.rows() / at.sequence_length), tokens(at.sequence_length), heads(head_count),
        width(input.columns() / (3 * head_count)) {
    TROUPE_CHECK(sequences * tokens == input.rows() && 3 * heads * width == input.columns(),
                 "attention of " + std::to_string(heads) + " heads over sequences of " + std::to_string(tokens) +
                     " tokens: input of shape " + to_string(input.extents()));
  }

  /// The columns of one head in a matrix of B*T rows whose first head starts at column `offset`.
  template <class Pointer>
  head_columns<Pointer> columns(Pointer data, std::int64_t stride, std::int64_t offset, std::int64_t sequence,
                                std::int64_t head) const {
    return {data + sequence * tokens * stride + offset + head * width, stride};
  }

  attention_head make_head(const tensor& input, std::int64_t sequence, std::int64_t head,
                           const std::optional<dropout_mask>& mask) const {
    const std::int64_t C = heads * width;
    return {.tokens = tokens,
            .width = width,
            .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(width))),
            .q = columns(input.data(), 3 * C, 0, sequence, head),
            .k = columns(input.data(), 3 * C, C, sequence, head),
            .v = columns(input.data(), 3 * C, 2 * C, sequence, head),
            .mask = mask.has_value() ? &*mask : nullptr,
            .index = static_cast<std::uint64_t>(sequence * heads + head)};
  }
};

std::optional<dropout_mask> make_mask(const attention_options& options, const pass_context& at) {
  if (options.dropout == 0.0 || at.mode == pass_mode::evaluate)
    return std::nullopt;
  return dropout_mask(options.dropout, options.site, at);
}

} // namespace

tensor attention::forward(const tensor& input, stash& kept, const pass_context& at) const {
  const head_layout layout(input, options_.heads, at);
  const std::int64_t C = layout.heads * layout.width;
  const std::optional<dropout_mask> mask = make_mask(options_, at);
  tensor output = at.pool->make({input.rows(), C});
  tensor log_sums = at.pool->make({layout.sequences, layout.heads, layout.tokens});
  for (std::int64_t sequence = 0; sequence < layout.sequences; ++sequence)
    for (std::int64_t head = 0; head < layout.heads; ++head)
      layout.make_head(input, sequence, head, mask)
          .forward(layout.columns(output.data(), C, 0, sequence, head), log_sums.row(sequence * layout.heads + head));
  kept.slots.push_back(input);
  kept.slots.push_back(output);
  kept.slots.push_back(std::move(log_sums));
  return output;
}

tensor attention::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  const tensor& input = kept.slots[input_slot];
  const tensor& output = kept.slots[output_slot];
  const tensor& log_sums = kept.slots[log_sums_slot];
  const head_layout layout(input, options_.heads, at);
  const std::int64_t C = layout.heads * layout.width;
  const std::optional<dropout_mask> mask = make_mask(options_, at);
  tensor dots = at.pool->make({layout.tokens});
  tensor input_gradient = at.pool->make(input.extents());
  for (std::int64_t sequence = 0; sequence < layout.sequences; ++sequence)
    for (std::int64_t head = 0; head < layout.heads; ++head) {
      const auto gradient_of = [&](std::int64_t offset) {
        return layout.columns(input_gradient.data(), 3 * C, offset, sequence, head);
      };
      layout.make_head(input, sequence, head, mask)
          .backward({.output = layout.columns(output.data(), C, 0, sequence, head),
                     .log_sums = log_sums.row(sequence * layout.heads + head)},
                    layout.columns(output_gradient.data(), C, 0, sequence, head),
                    {.q = gradient_of(0), .k = gradient_of(C), .v = gradient_of(2 * C)}, dots.data());
    }
  kept.clear();
  return input_gradient;
}

void attention::backward_weight(stash& kept, const pass_context& at) {
  (void)at;
  kept.clear();
}

} // namespace troupe
