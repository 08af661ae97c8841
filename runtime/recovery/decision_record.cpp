#include "runtime/recovery/decision_record.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/recovery/decision_log.pb.h"
#include "runtime/run_spec_proto.hpp"
#include "runtime/wire/crc32c.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

namespace troupe {

static_assert(std::endian::native == std::endian::little, "numbers go to the file as they lie in memory");

namespace {

constexpr std::string_view magic = "TRPD";
constexpr std::uint8_t format_version = 1;
constexpr std::size_t preface_bytes = 8; ///< magic, version, three zeros

/// Of a record: the payload's length, a CRC32C of that length and the payload, the payload.
constexpr std::size_t number_bytes = sizeof(std::uint32_t);
constexpr std::size_t prefix_bytes = 2 * number_bytes;
constexpr std::size_t longest_head = std::size_t{16} << 20;
constexpr std::size_t longest_decision = 256;

[[noreturn]] void refuse(const std::string& name, std::uint64_t at, const std::string& message) {
  throw damaged_log_error(fmt::format("{}: byte {}: {}", name, at, message));
}

std::uint32_t number_at(std::string_view bytes, std::size_t at) {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.substr(at, number_bytes).data(), number_bytes);
  return number;
}

std::string bytes_of(std::uint32_t number) {
  std::string bytes(number_bytes, '\0');
  std::memcpy(bytes.data(), &number, number_bytes);
  return bytes;
}

std::uint32_t checksum(std::string_view length, std::string_view payload) {
  return crc32c(std::as_bytes(std::span(payload)), crc32c(std::as_bytes(std::span(length))));
}

std::string record_of(const std::string& payload) {
  const std::string length = bytes_of(static_cast<std::uint32_t>(payload.size()));
  return length + bytes_of(checksum(length, payload)) + payload;
}

/// The record at the start of some bytes, or what is there instead.
struct found_record {
  std::string_view payload;
  std::string problem; ///< empty: the record is intact
  std::size_t size() const { return prefix_bytes + payload.size(); }
};

found_record record_in(std::string_view bytes, std::size_t longest) {
  if (bytes.size() < prefix_bytes)
    return {.payload = {}, .problem = fmt::format("{} bytes", bytes.size())};
  const std::uint32_t length = number_at(bytes, 0);
  if (length == 0 || length > longest)
    return {.payload = {}, .problem = fmt::format("a record of {} bytes", length)};
  if (length > bytes.size() - prefix_bytes)
    return {.payload = {}, .problem = fmt::format("{} bytes of a record of {}", bytes.size() - prefix_bytes, length)};
  const std::string_view payload = bytes.substr(prefix_bytes, length);
  if (checksum(bytes.substr(0, number_bytes), payload) != number_at(bytes, number_bytes))
    return {.payload = {}, .problem = fmt::format("a record of {} bytes with another checksum", length)};
  return {.payload = payload, .problem = {}};
}

/// Where the first intact record begins at or after `from`; the end of `bytes` when there is none.
std::size_t find_intact(std::string_view bytes, std::size_t from) {
  while (from < bytes.size() && !record_in(bytes.substr(from), longest_decision).problem.empty())
    ++from;
  return from;
}

template <class Message>
Message parsed(std::string_view payload, const std::string& name, std::uint64_t at) {
  Message message;
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size())) ||
      !message.GetReflection()->GetUnknownFields(message).empty())
    refuse(name, at, "found a record that is none of this format, expected one");
  return message;
}

void read_head(std::string_view payload, const std::string& name, decision_log_content& into) {
  const auto head = parsed<proto::DecisionLogHead>(payload, name, preface_bytes);
  try {
    into.spec = from_older_message(head.spec());
  } catch (const spec_error& failure) {
    refuse(name, preface_bytes, "spec: " + printable(failure.what(), 300));
  }
  into.versions = head.versions();
}

logged_decision to_decision(std::string_view payload, const std::string& name, std::uint64_t at) {
  const auto from = parsed<proto::LoggedDecision>(payload, name, at);
  return {.at = {from.step(), from.validation() ? pass_mode::evaluate : pass_mode::train},
          .loss = from.loss(),
          .gradient_norm = from.gradient_norm(),
          .gradient_scale = from.gradient_scale(),
          .learning_rate = from.learning_rate(),
          .skipped = from.skipped(),
          .snapshot = from.snapshot()};
}

std::string text_of(const step_id& at) {
  return fmt::format("{} {}", at.mode == pass_mode::train ? "step" : "the validation after step", at.step + 1);
}

/// Adds the record at whole_bytes to the content, or says what is there instead.
void read_next(std::string_view bytes, const std::string& name, decision_log_content& into) {
  const std::uint64_t at = into.whole_bytes;
  const found_record one = record_in(bytes.substr(at), longest_decision);
  const std::string last = into.decisions.empty() ? "its head" : text_of(into.decisions.back().at);
  if (!one.problem.empty()) {
    if (const std::size_t intact = find_intact(bytes, at + 1); intact < bytes.size())
      refuse(name, at,
             fmt::format("found {}, expected a whole record, as one follows at byte {}", one.problem, intact));
    into.damage = fmt::format("{}: byte {}: found {}, expected a whole record; what is there ends with {}", name, at,
                              one.problem, last);
    return;
  }
  const logged_decision decision = to_decision(one.payload, name, at);
  if (!into.decisions.empty() && decision.at <= into.decisions.back().at)
    refuse(name, at, fmt::format("found {}, expected a later one than {}", text_of(decision.at), last));
  into.decisions.push_back(decision);
  into.starts.push_back(at);
  into.whole_bytes += one.size();
}

std::string preface() {
  std::string text(magic);
  text.push_back(static_cast<char>(format_version));
  text.resize(preface_bytes, '\0');
  return text;
}

void expect_preface(std::string_view bytes, const std::string& name) {
  const std::string expected = preface();
  if (bytes.size() >= preface_bytes && bytes.starts_with(magic) && bytes[magic.size()] != expected[magic.size()])
    throw checkpoint_error(fmt::format("{}: format: found {}, expected {}", name,
                                       static_cast<unsigned char>(bytes[magic.size()]), format_version));
  if (!bytes.starts_with(expected))
    throw damaged_log_error(fmt::format("{}: found {}, expected a decision log", name,
                                        bytes.empty() ? "an empty file" : "another kind of file"));
}

} // namespace

std::string decision_log_head(const run_spec& spec, const std::string& versions) {
  proto::DecisionLogHead head;
  to_message(spec, *head.mutable_spec());
  head.set_versions(versions);
  TROUPE_CHECK(head.ByteSizeLong() <= longest_head, "a spec comes from a file of at most 1 MiB, and from arguments");
  return preface() + record_of(head.SerializeAsString());
}

std::string decision_record(const logged_decision& one) {
  proto::LoggedDecision to;
  to.set_step(one.at.step);
  to.set_validation(one.at.mode == pass_mode::evaluate);
  to.set_loss(one.loss);
  to.set_gradient_norm(one.gradient_norm);
  to.set_gradient_scale(one.gradient_scale);
  to.set_learning_rate(one.learning_rate);
  to.set_skipped(one.skipped);
  to.set_snapshot(one.snapshot);
  return record_of(to.SerializeAsString());
}

decision_log_content parse_decision_log(std::string_view bytes, const std::string& name) {
  expect_preface(bytes, name);
  decision_log_content content;
  const found_record head = record_in(bytes.substr(preface_bytes), longest_head);
  if (!head.problem.empty()) // a log takes its name with its head in it, so no crash has done this
    refuse(name, preface_bytes, fmt::format("found {}, expected a whole head", head.problem));
  read_head(head.payload, name, content);
  content.whole_bytes = preface_bytes + head.size();
  while (content.whole_bytes < bytes.size() && content.damage.empty())
    read_next(bytes, name, content);
  return content;
}

} // namespace troupe
