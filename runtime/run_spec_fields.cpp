// Access to the fields of a run spec by name; flags and --set go this way.
#include "model/error.hpp"
#include "runtime/nearest.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/run_spec.pb.h"
#include "runtime/run_spec_proto.hpp"
#include "runtime/run_spec_ranges.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>

namespace troupe {

namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;

/// One leaf of the message, and the block that holds it.
struct field_path {
  const FieldDescriptor* block = nullptr;
  const FieldDescriptor* leaf = nullptr;
};

field_path find_field(const std::string& name) {
  const std::size_t dot = name.find('.');
  const FieldDescriptor* block = proto::RunSpec::descriptor()->FindFieldByName(name.substr(0, dot));
  if (block != nullptr && dot != std::string::npos) {
    const FieldDescriptor* leaf = block->message_type()->FindFieldByName(name.substr(dot + 1));
    if (leaf != nullptr)
      return {block, leaf};
  }
  throw spec_error(fmt::format("{}: found an unknown field, expected one such as training.steps{}", name,
                               did_you_mean(name, field_names())));
}

[[noreturn]] void refuse_value(const std::string& field, const std::string& value, const std::string& expected) {
  throw spec_error(fmt::format("{}: found '{}', expected {}", field, value, expected));
}

template <class Number>
Number parse_number(const std::string& field, const std::string& text, const std::string& expected) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (text.empty() || problem != std::errc{} || stop != end)
    refuse_value(field, text, expected);
  return value;
}

template <class Number>
Number parse_whole(const std::string& field, const std::string& text) {
  const whole_range range = range_of(field);
  return parse_number<Number>(field, text, fmt::format("a whole number from {} to {}", range.least, range.most));
}

bool parse_bool(const std::string& field, const std::string& text) {
  if (text != "true" && text != "false")
    refuse_value(field, text, "true or false");
  return text == "true";
}

void assign(pb::Message& block, const FieldDescriptor* leaf, const std::string& field, const std::string& value) {
  const pb::Reflection& access = *block.GetReflection();
  switch (leaf->cpp_type()) {
  case FieldDescriptor::CPPTYPE_INT64:
    return access.SetInt64(&block, leaf, parse_whole<std::int64_t>(field, value));
  case FieldDescriptor::CPPTYPE_UINT64:
    return access.SetUInt64(&block, leaf, parse_whole<std::uint64_t>(field, value));
  case FieldDescriptor::CPPTYPE_UINT32:
    return access.SetUInt32(&block, leaf, parse_whole<std::uint32_t>(field, value));
  case FieldDescriptor::CPPTYPE_DOUBLE:
    return access.SetDouble(&block, leaf, parse_number<double>(field, value, "a number"));
  case FieldDescriptor::CPPTYPE_BOOL:
    return access.SetBool(&block, leaf, parse_bool(field, value));
  case FieldDescriptor::CPPTYPE_STRING:
    return access.SetString(&block, leaf, value);
  default:
    TROUPE_CHECK(false, "field of a type that run_spec.proto does not use: " + field);
  }
}

std::string text_of(const pb::Message& block, const FieldDescriptor* leaf) {
  const pb::Reflection& access = *block.GetReflection();
  switch (leaf->cpp_type()) {
  case FieldDescriptor::CPPTYPE_INT64:
    return std::to_string(access.GetInt64(block, leaf));
  case FieldDescriptor::CPPTYPE_UINT64:
    return std::to_string(access.GetUInt64(block, leaf));
  case FieldDescriptor::CPPTYPE_UINT32:
    return std::to_string(access.GetUInt32(block, leaf));
  case FieldDescriptor::CPPTYPE_DOUBLE:
    return fmt::format("{}", access.GetDouble(block, leaf)); // the shortest text that reads back to the same bits
  case FieldDescriptor::CPPTYPE_BOOL:
    return access.GetBool(block, leaf) ? "true" : "false";
  default:
    return access.GetString(block, leaf);
  }
}

} // namespace

void set_field(run_spec& spec, const std::string& field, const std::string& value) {
  const field_path path = find_field(field);
  proto::RunSpec message;
  to_message(spec, message);
  pb::Message* block = proto::RunSpec::GetReflection()->MutableMessage(&message, path.block);
  assign(*block, path.leaf, field, value);
  spec = from_message(message);
}

std::string get_field(const run_spec& spec, const std::string& field) {
  const field_path path = find_field(field);
  proto::RunSpec message;
  to_message(spec, message);
  return text_of(proto::RunSpec::GetReflection()->GetMessage(message, path.block), path.leaf);
}

std::vector<std::string> field_names() {
  std::vector<std::string> names;
  const pb::Descriptor& root = *proto::RunSpec::descriptor();
  for (int i = 0; i < root.field_count(); ++i) {
    const pb::Descriptor& block = *root.field(i)->message_type();
    for (int j = 0; j < block.field_count(); ++j)
      names.push_back(root.field(i)->name() + "." + block.field(j)->name());
  }
  return names;
}

} // namespace troupe
