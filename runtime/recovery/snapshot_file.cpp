#include "runtime/recovery/snapshot_file.hpp"

#include "model/error.hpp"
#include "runtime/recovery/snapshot_parts.hpp"
#include "runtime/wire/control.hpp"
#include "runtime/wire/frame_reader.hpp"
#include "runtime/wire/frame_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <span>
#include <string>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

namespace {

constexpr error_kind kind = error_kind::checkpoint;

int make_unnamed(const std::filesystem::path& directory, disk_faults* faults) {
  if (const int code = faults == nullptr ? 0 : faults->fault(disk_act::create, directory); code != 0)
    throw_system_error(kind, directory, "keep a snapshot in it", code);
  std::string name = (directory / "snapshot-XXXXXX").string();
  const int number = ::mkostemp(name.data(), O_CLOEXEC);
  if (number < 0 || ::unlink(name.c_str()) != 0)
    throw_system_error(kind, directory, "keep a snapshot in it", errno);
  return number;
}

wire_limits limits_of(const rank_snapshot& taken) {
  wire_limits limits{.record_bytes = std::uint64_t{1} << 20, .ranks = taken.rank + 1};
  for (const auto* copy : {&taken.layers, &taken.second_copy})
    for (const layer_snapshot& layer : *copy) {
      std::uint64_t bytes = 0;
      std::uint64_t tensors = 0;
      for (const parameter_snapshot& one : layer.parameters) {
        bytes += one.value.bytes();
        for (const tensor& state : one.state)
          bytes += state.bytes();
        tensors += 1 + one.state.size();
      }
      limits.message_bytes = std::max(limits.message_bytes, bytes);
      limits.tensors = std::max(limits.tensors, tensors);
      limits.layers = std::max(limits.layers, static_cast<std::uint32_t>(layer.layer) + 1);
    }
  return limits;
}

[[noreturn]] void refuse(const std::filesystem::path& directory, const std::string& found) {
  throw checkpoint_error(fmt::format("{}: a snapshot that was kept in it: found {}, expected what was written",
                                     directory.string(), found));
}

} // namespace

snapshot_file::snapshot_file(const rank_snapshot& taken, std::filesystem::path directory, disk_faults* faults)
    : directory_(std::move(directory)), descriptor_(make_unnamed(directory_, faults)), limits_(limits_of(taken)) {
  write(taken, faults);
}

void snapshot_file::write(const rank_snapshot& taken, disk_faults* faults) const {
  frame_writer frames;
  for (const snapshot_part& part : parts_of(taken))
    frames.put(part);
  std::vector<char> bytes;
  while (!frames.empty()) {
    bytes.clear();
    frames.write_next(bytes);
    write_all(descriptor_, std::as_bytes(std::span(bytes)), directory_, kind, faults);
  }
}

rank_snapshot snapshot_file::read() const {
  constexpr std::size_t piece = std::size_t{1} << 20;
  rank_snapshot found;
  bool whole = false;
  const auto take = [&](wire_message&& message) {
    const auto* const part = std::get_if<snapshot_part>(&message);
    if (part == nullptr || whole)
      refuse(directory_, std::string(name_of(message)));
    whole = part->last;
    add_part(found, *part);
  };
  try {
    frame_reader frames(limits_);
    std::vector<std::byte> bytes(piece);
    for (off_t at = 0;;) {
      const ssize_t got = ::pread(descriptor_.number(), bytes.data(), bytes.size(), at);
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        throw_system_error(kind, directory_, "read a snapshot in it", errno);
      if (got == 0)
        break;
      frames.read(std::span(bytes).first(static_cast<std::size_t>(got)), take);
      at += got;
    }
  } catch (const protocol_error& damage) {
    refuse(directory_, damage.what());
  }
  if (!whole)
    refuse(directory_, "its end too early");
  return found;
}

} // namespace troupe
