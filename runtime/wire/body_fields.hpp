// What the encoders and decoders of single kinds share: blocks, and the checks of names, choices and indexes. Only
// runtime/wire's own .cpp files include this.
#pragma once

#include "model/error.hpp"
#include "runtime/wire/message_parts.hpp"

#include <cstdint>
#include <string>
#include <utility>

namespace troupe::proto {
class MessageBody;
}

namespace troupe {

/// Where a message goes when it is taken apart.
class body_writer {
public:
  body_writer(proto::MessageBody& body, std::deque<block_source>& blocks, wire_precision precision)
      : body_(body), blocks_(blocks), precision_(precision) {}

  proto::MessageBody& body() { return body_; }

  /// `form`: how its elements travel.
  void add(const tensor& values, wire_precision form = wire_precision::fp32) { blocks_.emplace_back(values, form); }
  void add(const token_block& tokens) { blocks_.emplace_back(tokens); }
  /// Of activations and their gradients.
  wire_precision precision() const { return precision_; }

private:
  proto::MessageBody& body_;         // NOLINT(*-ref-data-members): lives as long as the call
  std::deque<block_source>& blocks_; // NOLINT(*-ref-data-members): lives as long as the call
  wire_precision precision_;
};

/// Where it comes from: the body has been parsed, the blocks checked as far as their sizes tell.
struct body_reader {
  const proto::MessageBody& body; // NOLINT(*-ref-data-members): lives as long as the call
  const wire_limits& limits;      // NOLINT(*-ref-data-members)
  incoming_blocks& blocks;        // NOLINT(*-ref-data-members)
};

/// `found` itself. Throws protocol_error when it is longer than `most`. `what` is "the name of a parameter".
const std::string& bounded(const std::string& found, std::size_t most, const char* what);
inline const std::string& name_in(const std::string& found, const char* what) {
  return bounded(found, longest_name, what);
}
inline const std::string& text_in(const std::string& found, const char* what) {
  return bounded(found, longest_text, what);
}

/// The enumerator for a number. Throws protocol_error when it is beyond the last.
[[noreturn]] void refuse_choice(std::uint64_t found, std::uint64_t last, const char* what);
template <class Choice>
Choice choice_in(std::uint32_t found, Choice last, const char* what) {
  if (found > static_cast<std::uint32_t>(last))
    refuse_choice(found, static_cast<std::uint32_t>(last), what);
  return static_cast<Choice>(found);
}
inline error_kind error_kind_in(std::uint32_t found) {
  return choice_in(found, error_kind::output, "kind of error");
}

/// `found` itself. Throws protocol_error when it is not below `limit`. `what` is "rank".
std::uint64_t index_in(std::uint64_t found, std::uint32_t limit, const char* what);
inline std::uint32_t small_index_in(std::uint32_t found, std::uint32_t limit, const char* what) {
  return static_cast<std::uint32_t>(index_in(found, limit, what));
}
inline std::uint32_t rank_in(std::uint32_t found, const body_reader& in) {
  return small_index_in(found, in.limits.ranks, "rank");
}
inline std::uint32_t stage_in(std::uint32_t found, const body_reader& in) {
  return small_index_in(found, in.limits.stages, "stage");
}
inline std::int64_t layer_in(std::uint64_t found, const body_reader& in) {
  return static_cast<std::int64_t>(index_in(found, in.limits.layers, "layer"));
}

} // namespace troupe
