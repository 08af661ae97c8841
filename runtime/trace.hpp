// The trace: what ran when, as Chrome trace JSON that Perfetto and chrome://tracing open. One track a rank, slices
// named by action, the recoveries of ranks, and the returns of whole runs.
#pragma once

#include "runtime/file_io.hpp"
#include "runtime/report.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe {

/// anew: the file is made, or emptied. go_on: what a former writer has left goes on.
enum class trace_opening { anew, go_on };

/// Streams slices to a file as they come, which is a whole JSON array when the writer is gone, however that came about.
/// What the disk refuses throws output_error naming the path and the system's reason; the array then ends with the last
/// slice that the disk took, and no further call may follow.
class trace_writer {
public:
  /// Opens `path` and names the tracks. Throws spec_error naming the path and the system's reason.
  trace_writer(const std::filesystem::path& path, std::uint32_t ranks, trace_opening opening = trace_opening::anew);
  trace_writer(const trace_writer&) = delete;
  trace_writer& operator=(const trace_writer&) = delete;
  /// Closes as far as the disk allows.
  ~trace_writer();
  /// Slices of one step of one rank; arguments step, stage, microbatch appear on each.
  void add(const slice_batch& batch);
  /// On the rank's track, from the notice of its death until it lives again.
  void add(const rank_recovery& recovery);
  /// On each track, from the notice of the loss until there are ranks again.
  void add(const run_return& back);
  /// Completes the document. Says what the destructor keeps to itself.
  void close();

private:
  void write(const std::string& event);
  void flush();
  void end_at(std::int64_t size);
  bool reopen();

  std::filesystem::path path_;
  file_descriptor file_;
  std::uint32_t ranks_;
  std::string waiting_;          ///< events that go to the disk together
  const char* separator_ = "\n"; ///< before the next event
};

} // namespace troupe
