#include "runtime/trace.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>

namespace troupe {

namespace {

constexpr double microseconds = 1e6; ///< the format's unit, per second

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

} // namespace

trace_writer::trace_writer(const std::filesystem::path& path, std::uint32_t ranks, trace_opening opening)
    : path_(path), out_(path, opening == trace_opening::anew ? std::ios::trunc : std::ios::app), ranks_(ranks),
      first_(opening == trace_opening::anew) {
  if (!out_)
    throw_system_error(error_kind::spec, path, "create", errno);
  if (opening == trace_opening::go_on)
    return;
  out_ << '[';
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    write(name_event(rank));
    write(order_event(rank));
  }
}

trace_writer::~trace_writer() = default;

void trace_writer::write(const std::string& event) {
  out_ << (first_ ? "\n" : ",\n") << event;
  first_ = false;
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
  out_ << "\n]\n";
  out_.close();
  if (!out_)
    throw run_error(path_.string() + ": found a disk that refused a part of the trace, expected room for all of it");
}

} // namespace troupe
