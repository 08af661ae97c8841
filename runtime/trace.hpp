// The trace: what ran when, as Chrome trace JSON that Perfetto and chrome://tracing open. One track a rank, slices
// named by action, the recoveries of ranks, and the returns of whole runs.
#pragma once

#include "runtime/report.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace troupe {

/// anew: the file is made, or emptied. go_on: it goes on where a trace ends that was not closed.
enum class trace_opening { anew, go_on };

/// Streams slices to a file as they come; the file is valid JSON after close() and, being an array, readable by
/// Perfetto even without it.
class trace_writer {
public:
  /// Opens `path` and names the tracks. Throws spec_error naming the path and the system's reason.
  trace_writer(const std::filesystem::path& path, std::uint32_t ranks, trace_opening opening = trace_opening::anew);
  trace_writer(const trace_writer&) = delete;
  trace_writer& operator=(const trace_writer&) = delete;
  ~trace_writer();
  /// Slices of one step of one rank; arguments step, stage, microbatch appear on each.
  void add(const slice_batch& batch);
  /// On the rank's track, from the notice of its death until it lives again.
  void add(const rank_recovery& recovery);
  /// On each track, from the notice of the loss until there are ranks again.
  void add(const run_return& back);
  /// Completes the document; throws run_error when the disk refused a part of it.
  void close();

private:
  void write(const std::string& event);

  std::filesystem::path path_;
  std::ofstream out_;
  std::uint32_t ranks_;
  bool first_;
};

} // namespace troupe
