// What a process has made, and another one may have replaced.
#include "runtime/checkpoint_committer.hpp"
#include "runtime/generation.hpp"
#include "runtime/owned_path.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/trained_checkpoint.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <memory>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

} // namespace

TEST_CASE("what another process has put in place of ours is seen, and what is gone is nobody's") {
  const scratch_directory scratch;
  const fs::path path = scratch / "log";
  write_bytes(path, "ours");
  owned_path ours;
  CHECK_FALSE(ours.lost_to_another(path)); // nothing was taken
  ours.take(path, error_kind::checkpoint);
  CHECK_FALSE(ours.lost_to_another(path));
  write_bytes(scratch / "other", "theirs");
  fs::rename(scratch / "other", path);
  CHECK(ours.lost_to_another(path));
  fs::remove(path);
  CHECK_FALSE(ours.lost_to_another(path));
  CHECK_THAT(error_text<checkpoint_error>([&] { ours.take(path, error_kind::checkpoint); }), Contains("log"));
}

TEST_CASE("a checkpoint that another process has begun anew is left to that one") {
  const scratch_directory scratch;
  const fs::path directory = scratch / "run";
  const fs::path unfinished = directory / unfinished_name(7);
  auto frozen = std::make_unique<checkpoint_committer>(directory, tiny_spec(), 7, std::vector<std::string>{});
  const checkpoint_committer other(directory, tiny_spec(), 7, {});
  write_bytes(unfinished / "a part", "of the other");
  CHECK_THAT(error_text<checkpoint_error>([&] { frozen->commit(0); }),
             Contains("found a checkpoint that another process has begun, expected our own"));
  frozen.reset();
  CHECK(fs::exists(unfinished / "a part"));
}
