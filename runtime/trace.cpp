#include "runtime/trace.hpp"

#include "model/error.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <span>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace {

constexpr double microseconds = 1e6; ///< the format's unit, per second
constexpr std::string_view closing = "\n]\n";
constexpr std::size_t flushed_bytes = std::size_t{16} << 10;

/// Chrome's trace event format: "M" names a track (a thread of the one process), "X" is a slice with its duration.
std::string name_event(std::uint32_t rank) {
  return fmt::format(R"({{"ph":"M","pid":1,"tid":{0},"name":"thread_name","args":{{"name":"rank {0}"}}}})", rank);
}

std::string order_event(std::uint32_t rank) {
  return fmt::format(R"({{"ph":"M","pid":1,"tid":{0},"name":"thread_sort_index","args":{{"sort_index":{0}}}}})", rank);
}

std::string slice_event(std::uint32_t rank, const step_id& at, const action_slice& slice) {
  return fmt::format(R"({{"ph":"X","pid":1,"tid":{},"ts":{:.3f},"dur":{:.3f},"name":"{}","cat":"{}",)"
                     R"("args":{{"step":{},"stage":{},"microbatch":{},"mode":"{}"}}}})",
                     rank, slice.start * microseconds, (slice.end - slice.start) * microseconds, to_string(slice.what),
                     letter(slice.what.op), at.step, slice.what.stage, slice.what.microbatch,
                     at.mode == pass_mode::train ? "train" : "evaluate");
}

std::string event_with_text(const char* name, std::uint32_t rank, double start, double duration,
                            const nlohmann::json& arguments) {
  return fmt::format(R"({{"ph":"X","pid":1,"tid":{},"ts":{:.3f},"dur":{:.3f},"name":"{}","cat":"recovery",)"
                     R"("args":{}}})",
                     rank, start * microseconds, duration * microseconds, name,
                     arguments.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

/// Of one that came to nothing just the moment.
std::string recovery_event(const rank_recovery& one) {
  return event_with_text("recovery", one.rank, one.noticed, one.resumed > 0.0 ? one.resumed - one.noticed : 0.0,
                         {{"step", one.step}, {"cause", one.cause}, {"replayed_microbatches", one.replayed_passes}});
}

std::string return_event(std::uint32_t rank, const run_return& back) {
  return event_with_text("return", rank, back.noticed, back.seconds,
                         {{"from_step", back.from_step}, {"to_step", back.to_step}, {"cause", back.cause}});
}

file_descriptor open_trace(const std::filesystem::path& path, trace_opening opening) {
  const int flags = opening == trace_opening::anew ? O_WRONLY | O_CREAT | O_TRUNC : O_RDWR | O_CREAT;
  const int number = ::open(path.c_str(), flags | O_APPEND | O_CLOEXEC, 0666);
  if (number < 0)
    throw_system_error(error_kind::spec, path, "create", errno);
  return file_descriptor(number);
}

} // namespace

trace_writer::trace_writer(const std::filesystem::path& path, std::uint32_t ranks, trace_opening opening)
    : path_(path), file_(open_trace(path, opening)), ranks_(ranks) {
  if (opening == trace_opening::go_on && reopen())
    return;
  waiting_ = "[";
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    write(name_event(rank));
    write(order_event(rank));
  }
}

trace_writer::~trace_writer() {
  if (file_.number() < 0)
    return;
  try {
    close();
  } catch (const output_error&) { // the run has failed before, and for another reason, which is told
  }
}

/// Takes the end off a former writer's array; false when there is none.
bool trace_writer::reopen() {
  const off_t size = ::lseek(file_.number(), 0, SEEK_END);
  const auto length = static_cast<off_t>(closing.size());
  std::array<char, closing.size()> end{};
  if (size < length || ::pread(file_.number(), end.data(), end.size(), size - length) != length ||
      std::string_view(end.data(), end.size()) != closing)
    return false;
  if (::ftruncate(file_.number(), size - length) != 0)
    throw_system_error(error_kind::spec, path_, "cut", errno);
  separator_ = ",\n";
  return true;
}

void trace_writer::write(const std::string& event) {
  waiting_ += separator_;
  waiting_ += event;
  separator_ = ",\n";
  if (waiting_.size() >= flushed_bytes)
    flush();
}

void trace_writer::flush() {
  const std::string events = std::exchange(waiting_, {});
  const off_t size = ::lseek(file_.number(), 0, SEEK_END); // of a pipe: none
  try {
    write_all(file_, std::as_bytes(std::span(events)), path_, error_kind::output);
  } catch (const output_error&) {
    end_at(size);
    throw;
  }
}

/// Cuts what the disk took of events in part, which leaves room for the end, mostly; more cannot be done.
void trace_writer::end_at(std::int64_t size) {
  const std::string end = (size == 0 ? "[" : "") + std::string(closing);
  if (size >= 0 && ::ftruncate(file_.number(), size) == 0) {
    [[maybe_unused]] const ssize_t ignored = ::write(file_.number(), end.data(), end.size());
  }
  file_.close();
}

void trace_writer::add(const slice_batch& batch) {
  for (const action_slice& slice : batch.slices)
    write(slice_event(batch.rank, batch.at, slice));
}

void trace_writer::add(const rank_recovery& recovery) {
  write(recovery_event(recovery));
}

void trace_writer::add(const run_return& back) {
  for (std::uint32_t rank = 0; rank < ranks_; ++rank)
    write(return_event(rank, back));
}

void trace_writer::close() {
  waiting_ += closing;
  flush();
  if (const int code = file_.close(); code != 0)
    throw_system_error(error_kind::output, path_, "close", code);
}

} // namespace troupe
