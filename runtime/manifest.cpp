#include "runtime/manifest.hpp"

#include "model/error.hpp"
#include "runtime/checkpoint.pb.h"
#include "runtime/digest.hpp"
#include "runtime/file_io.hpp"
#include "runtime/run_spec_proto.hpp"

#include <fmt/format.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace troupe {

namespace {

constexpr std::uint32_t format_version = 1;
constexpr std::string_view preface = "# Checkpoint of Troupe. The last line is the SHA-256 of every byte above it.\n";
constexpr std::size_t hex_digits = 64;
constexpr std::int64_t most_layers = std::int64_t{1} << 31;

std::string hash_line(std::string_view text) {
  return fmt::format("sha256: \"{}\"\n", to_hex(sha256(std::as_bytes(std::span(text)))));
}

[[noreturn]] void refuse(const std::string& name, const std::string& message) {
  throw checkpoint_error(name + ": " + message);
}

/// Keeps the first complaint of the text parser and nothing of the warnings.
class first_error : public google::protobuf::io::ErrorCollector {
public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty())
      text = fmt::format("{}:{}: {}", line + 1, column + 1, printable(message));
  }
  std::string text;
};

void expect_own_hash(const std::string& text, const std::string& name) {
  const std::size_t length = hash_line("").size();
  const std::string_view whole = text;
  if (whole.size() < length || hash_line(whole.substr(0, whole.size() - length)) != whole.substr(whole.size() - length))
    refuse(name, fmt::format("damaged: found {} bytes that do not match a SHA-256 in the last line, expected a match",
                             whole.size()));
}

void fill(proto::CheckpointFile& out, const manifest_file& file) {
  out.set_name(file.name);
  out.set_bytes(file.bytes);
  out.set_sha256(file.sha256);
}

void expect_own_file(const manifest_file& file, const std::string& expected, const std::string& name) {
  if (file.name != expected)
    refuse(name, fmt::format("file name: found {}, expected {}", printable(file.name), printable(expected)));
  if (file.bytes == 0 || file.sha256.size() != hex_digits)
    refuse(name, fmt::format("{}: found no size or no SHA-256 of {} digits, expected both", expected, hex_digits));
}

manifest_file to_file(const proto::CheckpointFile& file) {
  return {.name = file.name(), .bytes = file.bytes(), .sha256 = file.sha256()};
}

manifest_layers to_layers(const proto::CheckpointLayers& layers, std::int64_t expected_first, const std::string& name) {
  if (!layers.has_first() || !layers.has_last() || layers.first() != expected_first || layers.last() < layers.first())
    refuse(name, fmt::format("layers: found {} to {}, expected a run that starts at {}", layers.first(), layers.last(),
                             expected_first));
  manifest_layers one{.first = layers.first(),
                      .last = layers.last(),
                      .weights = to_file(layers.weights()),
                      .optimizer = to_file(layers.optimizer()),
                      .parameters = {layers.parameters().begin(), layers.parameters().end()}};
  expect_own_files(one, name);
  return one;
}

void expect_distinct(const std::vector<std::string>& names, std::set<std::string>& known, const std::string& what,
                     const std::string& name) {
  for (const std::string& one : names)
    if (!known.insert(one).second)
      refuse(name, fmt::format("{}: found {} twice, expected it once", what, printable(one)));
}

run_spec to_spec(const proto::RunSpec& message, const std::string& name) {
  try {
    return from_older_message(message);
  } catch (const spec_error& failure) {
    refuse(name, "spec: " + printable(failure.what(), 300));
  }
}

} // namespace

std::string weights_file_name(std::int64_t first, std::int64_t last) {
  return fmt::format("layers-{:04}-{:04}.safetensors", first, last);
}

std::string optimizer_file_name(std::int64_t first, std::int64_t last) {
  return fmt::format("layers-{:04}-{:04}.optimizer.safetensors", first, last);
}

void expect_own_files(const manifest_layers& one, const std::string& name) {
  if (one.first < 0 || one.last < one.first || one.last >= most_layers)
    refuse(name,
           fmt::format("layers: found {} to {}, expected a run of layers below {}", one.first, one.last, most_layers));
  expect_own_file(one.weights, weights_file_name(one.first, one.last), name);
  expect_own_file(one.optimizer, optimizer_file_name(one.first, one.last), name);
}

std::string to_text(const manifest& content) {
  proto::Manifest message;
  message.set_format(format_version);
  message.set_step(content.step);
  message.mutable_state_names()->Add(content.state_names.begin(), content.state_names.end());
  for (const manifest_layers& one : content.layers) {
    proto::CheckpointLayers& layers = *message.add_layers();
    layers.set_first(one.first);
    layers.set_last(one.last);
    fill(*layers.mutable_weights(), one.weights);
    fill(*layers.mutable_optimizer(), one.optimizer);
    layers.mutable_parameters()->Add(one.parameters.begin(), one.parameters.end());
  }
  to_message(content.spec, *message.mutable_spec());
  if (!content.versions.empty())
    message.set_versions(content.versions);
  std::string text;
  TROUPE_CHECK(google::protobuf::TextFormat::PrintToString(message, &text), "a manifest can be printed");
  text.insert(0, preface);
  return text + hash_line(text);
}

manifest parse_manifest(const std::string& text, const std::string& name) {
  expect_own_hash(text, name);
  proto::Manifest message;
  first_error failure;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&failure);
  if (!parser.ParseFromString(text, &message))
    throw checkpoint_error(name + ":" + failure.text);
  if (message.format() != format_version)
    refuse(name, fmt::format("format: found {}, expected {}", message.format(), format_version));
  if (!message.has_step() || !message.has_spec() || message.layers().empty())
    refuse(name, "found no step, no spec or no layers, expected all three");
  manifest content{.step = message.step(),
                   .state_names = {message.state_names().begin(), message.state_names().end()},
                   .spec = to_spec(message.spec(), name),
                   .versions = message.versions()};
  std::set<std::string> known_states;
  expect_distinct(content.state_names, known_states, "state_names", name);
  std::set<std::string> known_parameters;
  for (const proto::CheckpointLayers& one : message.layers()) {
    content.layers.push_back(to_layers(one, content.layers.empty() ? 0 : content.layers.back().last + 1, name));
    expect_distinct(content.layers.back().parameters, known_parameters, "parameters", name);
  }
  return content;
}

} // namespace troupe
