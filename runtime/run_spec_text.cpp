// The text form of the run spec, and the reader of spec files.
#include "runtime/nearest.hpp"
#include "runtime/regular_file.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/run_spec.pb.h"
#include "runtime/run_spec_proto.hpp"

#include <fmt/format.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <optional>
#include <string>

namespace troupe {

namespace {

namespace pb = google::protobuf;

constexpr std::uint64_t largest_spec_file = 1U << 20U;

/// The part of `text` between two marks; empty when a mark is missing.
std::string between(const std::string& text, const std::string& before, const std::string& after) {
  const std::size_t start = text.find(before);
  if (start == std::string::npos)
    return {};
  const std::size_t first = start + before.size();
  const std::size_t end = text.find(after, first);
  return end == std::string::npos ? std::string() : text.substr(first, end - first);
}

std::vector<std::string> names_of_fields(const pb::Descriptor& type) {
  std::vector<std::string> names;
  names.reserve(static_cast<std::size_t>(type.field_count()));
  for (int i = 0; i < type.field_count(); ++i)
    names.push_back(type.field(i)->name());
  return names;
}

/// The blocks in which a field of this name would be right, for a field written outside its block: "validation or
/// checkpoint".
std::string homes_of_field(const std::string& name) {
  std::vector<std::string> homes;
  const pb::Descriptor& root = *proto::RunSpec::descriptor();
  for (int i = 0; i < root.field_count(); ++i)
    if (root.field(i)->message_type()->FindFieldByName(name) != nullptr)
      homes.push_back(root.field(i)->name());
  return fmt::format("{}", fmt::join(homes, " or "));
}

/// Rewrites protobuf's message about an unknown field, which names C++ types, in the user's words.
std::string explain(const std::string& message) {
  const std::string type_name = between(message, "Message type \"", "\"");
  const std::string field = between(message, "has no field named \"", "\"");
  const pb::Descriptor* type = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type_name);
  if (type == nullptr || field.empty())
    return message;
  const std::vector<std::string> known = names_of_fields(*type);
  const std::string homes = homes_of_field(field);
  if (!homes.empty())
    return fmt::format("found field '{}' in the wrong block, expected it in {}", field, homes);
  return fmt::format("unknown field '{}', expected one of {}{}", field, fmt::join(known, ", "),
                     did_you_mean(field, known));
}

/// Keeps the first error; those that follow are mostly its consequences.
class first_error : public pb::io::ErrorCollector {
public:
  explicit first_error(std::string name) : name_(std::move(name)) {}
  void AddError(int line, pb::io::ColumnNumber column, const std::string& message) override {
    if (!text_)
      text_ = fmt::format("{}:{}:{}: {}", name_, line + 1, column + 1, explain(message)); // protobuf counts from 0
  }
  const std::optional<std::string>& text() const { return text_; }

private:
  std::string name_;
  std::optional<std::string> text_;
};

} // namespace

run_spec parse_run_spec(const std::string& text, const std::string& name, const run_spec& base) {
  first_error errors(name);
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  proto::RunSpec named;
  const bool parsed = parser.ParseFromString(text, &named);
  if (!parsed || errors.text())
    throw spec_error(errors.text().value_or(name + ": found no protobuf text format, expected a run spec"));
  proto::RunSpec full;
  to_message(base, full);
  full.MergeFrom(named);
  try {
    return from_message(full);
  } catch (const spec_error& wrong) {
    throw spec_error(fmt::format("{}: {}", name, wrong.what()));
  }
}

run_spec read_run_spec(const std::string& path, const run_spec& base) {
  return parse_run_spec(regular_file(path, error_kind::spec).read_all(largest_spec_file), path, base);
}

std::string to_text(const run_spec& spec) {
  proto::RunSpec message;
  to_message(spec, message);
  pb::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  std::string text;
  TROUPE_CHECK(printer.PrintToString(message, &text), "a run spec must print");
  return text;
}

} // namespace troupe
