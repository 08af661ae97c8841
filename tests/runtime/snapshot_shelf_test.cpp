// Snapshots in memory and on disk. The damage to files without a name is done by way of /proc.
#include "runtime/recovery/snapshot_shelf.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/scratch_directory.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

tensor numbers(const std::vector<float>& values) {
  tensor_pool pool;
  tensor made = pool.make({static_cast<std::int64_t>(values.size())});
  std::ranges::copy(values, made.data());
  return made;
}

/// Of two layers and a second copy of another one, with numbers that do not survive arithmetic.
std::shared_ptr<const rank_snapshot> taken(std::uint32_t rank, std::uint64_t steps_done) {
  const float odd = std::bit_cast<float>(0x7fa12345U); // a signalling NaN
  rank_snapshot made{.rank = rank, .source_incarnation = 3, .steps_done = steps_done};
  made.layers = {{4, {{"a", numbers({odd, -0.0F, 1e-45F}), {numbers({1.0F, 2.0F, 3.0F})}}, {"b", numbers({5.0F}), {}}}},
                 {5, {{"c", numbers({std::numeric_limits<float>::infinity()}), {}}}}};
  made.second_copy = {{1, {{"d", numbers({static_cast<float>(steps_done)}), {}}}}};
  return std::make_shared<const rank_snapshot>(made);
}

void check_same(const tensor& one, const tensor& other) {
  REQUIRE(one.extents() == other.extents());
  for (std::int64_t at = 0; at < one.size(); ++at)
    CHECK(std::bit_cast<std::uint32_t>(one.data()[at]) == std::bit_cast<std::uint32_t>(other.data()[at]));
}

void check_same(const std::vector<layer_snapshot>& one, const std::vector<layer_snapshot>& other) {
  REQUIRE(one.size() == other.size());
  for (std::size_t layer = 0; layer < one.size(); ++layer) {
    CHECK(one[layer].layer == other[layer].layer);
    REQUIRE(one[layer].parameters.size() == other[layer].parameters.size());
    for (std::size_t parameter = 0; parameter < one[layer].parameters.size(); ++parameter) {
      const parameter_snapshot& mine = one[layer].parameters[parameter];
      const parameter_snapshot& yours = other[layer].parameters[parameter];
      CHECK(mine.name == yours.name);
      check_same(mine.value, yours.value);
      REQUIRE(mine.state.size() == yours.state.size());
      for (std::size_t state = 0; state < mine.state.size(); ++state)
        check_same(mine.state[state], yours.state[state]);
    }
  }
}

void check_same(const rank_snapshot& one, const rank_snapshot& other) {
  CHECK(one.rank == other.rank);
  CHECK(one.source_incarnation == other.source_incarnation);
  CHECK(one.steps_done == other.steps_done);
  check_same(one.layers, other.layers);
  check_same(one.second_copy, other.second_copy);
}

/// The open file without a name that was made in the directory, for writing.
file_descriptor unnamed_file_of(const std::filesystem::path& directory) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.starts_with((directory / "snapshot-").string()))
      return file_descriptor(::open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
  }
  throw std::runtime_error("no snapshot is open in " + directory.string());
}

/// Takes the first snapshot, refuses the second, takes the third...
class disk_full_now_and_then : public disk_faults {
public:
  int fault(disk_act act, const std::filesystem::path&) override {
    if (act == disk_act::create)
      full_ = ++files_ % 2 == 0;
    return act == disk_act::write && full_ ? ENOSPC : 0;
  }
  bool has_room() const { return !full_; }

private:
  std::uint64_t files_ = 0;
  bool full_ = false;
};

} // namespace

TEST_CASE("a shelf gives back what it was given, bit for bit, in memory and on disk, and no file has a name") {
  const scratch_directory scratch;
  const bool on_disk = GENERATE(false, true);
  snapshot_shelf shelf(on_disk ? scratch.path() : std::filesystem::path());
  for (const std::uint32_t rank : {0U, 1U})
    for (const std::uint64_t steps : {7U, 8U})
      CHECK(shelf.put(taken(rank, steps)).empty());
  CHECK(shelf.size() == 4);
  CHECK(std::filesystem::is_empty(scratch.path()));
  for (const std::uint32_t rank : {0U, 1U})
    for (const std::uint64_t steps : {7U, 8U}) {
      REQUIRE(shelf.find(rank, steps));
      check_same(*shelf.find(rank, steps), *taken(rank, steps));
    }
  CHECK(shelf.life_of(1, 8) == 3U);
  CHECK_FALSE(shelf.life_of(2, 8));
  shelf.trim(8);
  CHECK(shelf.size() == 2);
  CHECK(shelf.find(0, 7) == nullptr);
  shelf.put(taken(0, 7));
  CHECK(shelf.find(0, 7) == nullptr);
}

TEST_CASE("a shelf that is handed over keeps what it has where it is, and the next ones elsewhere") {
  const scratch_directory first;
  const scratch_directory second;
  std::optional<snapshot_shelf> former(first.path());
  former->put(taken(0, 6));
  former->put(taken(0, 7));
  former->put(taken(1, 7));
  former->put(taken(1, 8));
  snapshot_shelf shelf = *former;
  former.reset();
  CHECK(shelf.content() == std::vector<held_snapshot>{{0, 6}, {0, 7}, {1, 7}, {1, 8}});
  shelf.drop_later(7);
  CHECK(shelf.content() == std::vector<held_snapshot>{{0, 6}, {0, 7}, {1, 7}});
  shelf.keep_in(second.path());
  shelf.put(taken(1, 8));
  CHECK_NOTHROW(unnamed_file_of(first.path()));
  CHECK_NOTHROW(unnamed_file_of(second.path()));
  check_same(*shelf.find(1, 7), *taken(1, 7));
  check_same(*shelf.find(1, 8), *taken(1, 8));
}

TEST_CASE("what the disk refuses stays in memory, and that is said once, even if it takes others in between") {
  const scratch_directory scratch;
  const std::string said = scratch.path().string() + ": cannot write: No space left on device; snapshots that the disk "
                                                     "refuses are kept in memory";
  disk_full_now_and_then disk;
  snapshot_shelf shelf(scratch.path(), &disk);
  for (std::uint64_t step = 1; step < 6; ++step) {
    CHECK(shelf.put(taken(0, step)) == (step == 2 ? said : ""));
    check_same(*shelf.find(0, step), *taken(0, step));
    REQUIRE(disk.has_room() == (step % 2 == 1));
  }
  shelf.keep_in(scratch.path(), &disk); // for another run
  CHECK(shelf.put(taken(0, 6)) == said);
}

TEST_CASE("a snapshot on disk that lost its end, or has any byte changed, is never taken for what was written") {
  const scratch_directory scratch;
  snapshot_shelf shelf(scratch.path());
  shelf.put(taken(0, 1));
  const file_descriptor file = unnamed_file_of(scratch.path());
  const off_t size = ::lseek(file.number(), 0, SEEK_END);
  REQUIRE(size > 0);
  const auto find = [&] { static_cast<void>(shelf.find(0, 1)); };
  for (off_t at = 0; at < size; ++at) {
    INFO("byte " << at << " of " << size);
    char byte = 0;
    REQUIRE(::pread(file.number(), &byte, 1, at) == 1);
    const char changed = static_cast<char>(byte ^ 0x10);
    REQUIRE(::pwrite(file.number(), &changed, 1, at) == 1);
    CHECK_THAT(error_text<checkpoint_error>(find), StartsWith(scratch.path().string() + ": a snapshot"));
    REQUIRE(::pwrite(file.number(), &byte, 1, at) == 1);
  }
  CHECK_NOTHROW(find());
  for (off_t left = size - 1; left >= 0; --left) {
    INFO(left << " of " << size << " bytes");
    REQUIRE(::ftruncate(file.number(), left) == 0);
    CHECK_THAT(error_text<checkpoint_error>(find), Contains("expected what was written"));
  }
}

TEST_CASE("a directory for snapshots is made, and one that cannot be is named") {
  const scratch_directory scratch;
  run_spec spec;
  spec.faults.snapshot_directory = (scratch / "a/b").string();
  prepare_shelf(spec);
  CHECK(std::filesystem::is_directory(scratch / "a/b"));
  scratch.write("file", "x");
  spec.faults.snapshot_directory = (scratch / "file").string();
  CHECK_THAT(error_text<checkpoint_error>([&] { prepare_shelf(spec); }), StartsWith(spec.faults.snapshot_directory));
}
