#include "runtime/safetensors.hpp"

#include "model/error.hpp"
#include "runtime/digest.hpp"
#include "runtime/file_io.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>
#include <utility>

namespace troupe {

static_assert(std::endian::native == std::endian::little, "tensors go to the file as they lie in memory");

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// The format's own limit, as its reference implementation has it.
constexpr std::uint64_t largest_header = 100'000'000;
constexpr std::uint64_t length_bytes = sizeof(std::uint64_t);
constexpr std::uint64_t most_tensor_elements = std::uint64_t{1} << 40; ///< what `shape` accepts

[[noreturn]] void refuse(const fs::path& path, const std::string& message) {
  throw checkpoint_error(path.string() + ": " + message);
}

[[noreturn]] void refuse_tensor(const fs::path& path, const std::string& name, const std::string& message) {
  refuse(path, "tensor " + printable(name) + ": " + message);
}

std::string describe(const json& value) {
  return printable(value.dump(-1, ' ', true, json::error_handler_t::replace));
}

std::string read_header(const fs::path& path, const regular_file& file) {
  if (file.size() < length_bytes)
    refuse(path, "found " + std::to_string(file.size()) + " bytes, expected at least 8 for the header's length");
  std::uint64_t length = 0;
  read_at(file, path, 0, std::as_writable_bytes(std::span(&length, 1)), error_kind::checkpoint);
  if (length > largest_header)
    refuse(path,
           "header length: found " + std::to_string(length) + ", expected at most " + std::to_string(largest_header));
  if (length > file.size() - length_bytes)
    refuse(path, "header length: found " + std::to_string(length) + ", expected at most the " +
                     std::to_string(file.size() - length_bytes) + " bytes that follow");
  std::string header(length, '\0');
  read_at(file, path, length_bytes, std::as_writable_bytes(std::span(header)), error_kind::checkpoint);
  return header;
}

/// The header as JSON. Keys are watched while they are read because a parsed object shows only one of two equal keys.
json parse_header(const fs::path& path, const std::string& text) {
  constexpr int deepest = 3; // header, tensor, shape
  std::vector<std::set<std::string>> open_objects;
  const auto watch = [&](int depth, json::parse_event_t event, const json& parsed) {
    if (depth > deepest)
      refuse(path, "header: found values nested too deeply, expected a flat list of tensors");
    if (event == json::parse_event_t::object_start)
      open_objects.emplace_back();
    else if (event == json::parse_event_t::object_end)
      open_objects.pop_back();
    else if (event == json::parse_event_t::key && !open_objects.back().insert(parsed.get<std::string>()).second)
      refuse(path, "header: found key " + printable(parsed.get<std::string>()) + " twice, expected it once");
    return true;
  };
  try {
    json header = json::parse(text, watch);
    if (!header.is_object())
      refuse(path, "header: found " + describe(header) + ", expected a JSON object");
    return header;
  } catch (const json::parse_error& failure) {
    refuse(path, "header: found no valid JSON at byte " + std::to_string(failure.byte) + ", expected a JSON object");
  }
}

std::map<std::string, std::string> parse_metadata(const fs::path& path, const json& value) {
  if (!value.is_object())
    refuse(path, "__metadata__: found " + describe(value) + ", expected an object of strings");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string())
      refuse(path, "__metadata__ " + printable(key) + ": found " + describe(text) + ", expected a string");
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

shape make_shape(const std::vector<std::int64_t>& extents) {
  switch (extents.size()) {
  case 1:
    return {extents[0]};
  case 2:
    return {extents[0], extents[1]};
  case 3:
    return {extents[0], extents[1], extents[2]};
  case 4:
    return {extents[0], extents[1], extents[2], extents[3]};
  default:
    break;
  }
  TROUPE_CHECK(false, "the rank was checked");
}

shape parse_shape(const fs::path& path, const std::string& name, const json& value) {
  if (!value.is_array() || value.empty() || value.size() > shape::max_rank)
    refuse_tensor(path, name, "shape: found " + describe(value) + ", expected a list of 1 to 4 extents");
  std::vector<std::int64_t> extents;
  std::uint64_t elements = 1;
  for (const json& extent : value) {
    const std::uint64_t number = extent.is_number_unsigned() ? extent.get<std::uint64_t>() : most_tensor_elements + 1;
    if (number > most_tensor_elements || (number > 0 && elements > most_tensor_elements / number))
      refuse_tensor(path, name,
                    "shape: found " + describe(value) +
                        ", expected whole extents that are not negative and at most 2^40 elements");
    elements *= number;
    extents.push_back(static_cast<std::int64_t>(number));
  }
  return make_shape(extents);
}

/// One tensor of the header; its offset still counts from the start of the data.
safetensors_file::entry parse_entry(const fs::path& path, const std::string& name, const json& value) {
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets"))
    refuse_tensor(path, name, "found " + describe(value) + ", expected an object of dtype, shape and data_offsets");
  if (value["dtype"] != "F32")
    refuse_tensor(path, name, "dtype: found " + describe(value["dtype"]) + ", expected \"F32\"");
  safetensors_file::entry result{.name = name, .extents = parse_shape(path, name, value["shape"])};
  const json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned() || offsets[0].get<std::uint64_t>() > offsets[1].get<std::uint64_t>())
    refuse_tensor(path, name, "data_offsets: found " + describe(offsets) + ", expected [begin, end]");
  result.offset = offsets[0].get<std::uint64_t>();
  result.bytes = offsets[1].get<std::uint64_t>() - result.offset;
  const std::uint64_t expected = static_cast<std::uint64_t>(result.extents.size()) * sizeof(float);
  if (result.bytes != expected)
    refuse_tensor(path, name,
                  "data_offsets: found " + std::to_string(result.bytes) + " bytes, expected " +
                      std::to_string(expected) + " for shape " + to_string(result.extents));
  return result;
}

/// Sorts the tensors by place and throws unless they fill `data_bytes` without gap or overlap.
void expect_contiguous(const fs::path& path, std::vector<safetensors_file::entry>& entries, std::uint64_t data_bytes) {
  std::ranges::sort(entries, {}, [](const auto& one) { return std::tie(one.offset, one.bytes); });
  std::uint64_t end = 0;
  for (const safetensors_file::entry& one : entries) {
    if (one.offset != end)
      refuse_tensor(path, one.name,
                    "data_offsets: found begin " + std::to_string(one.offset) + ", expected " + std::to_string(end) +
                        " where the tensor before ends");
    if (one.bytes > data_bytes - end)
      refuse_tensor(path, one.name,
                    "data_offsets: found end " + std::to_string(one.offset + one.bytes) + ", expected at most the " +
                        std::to_string(data_bytes) + " bytes of data");
    end += one.bytes;
  }
  if (end != data_bytes)
    refuse(path, "found " + std::to_string(data_bytes) + " bytes of data, expected " + std::to_string(end) +
                     " for all tensors");
}

std::string header_text(const std::vector<named_tensor>& tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty())
    header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const named_tensor& one : tensors) {
    TROUPE_CHECK(one.values.extents().rank() > 0, "only allocated tensors are written");
    TROUPE_CHECK(one.name != "__metadata__" && !header.contains(one.name), "names in one file differ");
    std::vector<std::int64_t> extents;
    for (std::size_t axis = 0; axis < one.values.extents().rank(); ++axis)
      extents.push_back(one.values.extents()[axis]);
    header[one.name] = {{"dtype", "F32"}, {"shape", extents}, {"data_offsets", {offset, offset + one.values.bytes()}}};
    offset += one.values.bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + length_bytes - 1) / length_bytes * length_bytes, ' ');
  return text;
}

} // namespace

written_file write_safetensors(const fs::path& path, const std::vector<named_tensor>& tensors,
                               const std::map<std::string, std::string>& metadata, disk_faults* faults) {
  output_file file(path, error_kind::checkpoint, faults);
  sha256_stream digest;
  written_file result;
  const auto append = [&](std::span<const std::byte> bytes) {
    file.write(bytes);
    digest.add(bytes);
    result.bytes += bytes.size();
  };
  const std::string header = header_text(tensors, metadata);
  const std::uint64_t length = header.size();
  append(std::as_bytes(std::span(&length, 1)));
  append(std::as_bytes(std::span(header)));
  for (const named_tensor& one : tensors)
    append(std::as_bytes(one.values.values()));
  file.sync_and_close();
  result.sha256 = to_hex(digest.finish());
  return result;
}

safetensors_file::safetensors_file(const fs::path& path)
    : path_(path), file_(std::make_shared<const regular_file>(path, error_kind::checkpoint)) {
  const std::string text = read_header(path, *file_);
  const std::uint64_t data_start = length_bytes + text.size();
  const json header = parse_header(path, text);
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__")
      metadata_ = parse_metadata(path, value);
    else
      entries_.push_back(parse_entry(path, name, value));
  }
  expect_contiguous(path, entries_, file_->size() - data_start);
  for (entry& one : entries_)
    one.offset += data_start;
}

void safetensors_file::read(const std::string& name, tensor& out) const {
  const auto found = std::ranges::find(entries_, name, &entry::name);
  if (found == entries_.end())
    refuse_tensor(path_, name, "found no such tensor in the file, expected shape " + to_string(out.extents()));
  if (found->extents != out.extents())
    refuse_tensor(path_, name, "found shape " + to_string(found->extents) + ", expected " + to_string(out.extents()));
  read_at(*file_, path_, found->offset, std::as_writable_bytes(out.values()), error_kind::checkpoint);
}

} // namespace troupe
