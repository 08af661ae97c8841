#include "model/error.hpp"
#include "runtime/report.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/scratch_directory.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;

TEST_CASE("a text file is written whole, in place of what was there, and leaves no other name") {
  const scratch_directory scratch;
  write_text_file(scratch / "r.json", "first, and longer");
  write_text_file(scratch / "r.json", "second");
  CHECK(read_bytes(scratch / "r.json") == "second");
  CHECK(names_in(scratch / ".") == std::set<std::string>{"r.json"});
}

TEST_CASE("a name as long as the file system allows can be written") {
  const scratch_directory scratch;
  const std::string name(255, 'n');
  expect_writable(scratch / name);
  write_text_file(scratch / name, "text");
  CHECK(read_bytes(scratch / name) == "text");
}

TEST_CASE("writing through a link replaces the file, not the link") {
  const scratch_directory scratch;
  write_bytes(scratch / "file", "old");
  std::filesystem::create_symlink("file", scratch / "link");
  write_text_file(scratch / "link", "new");
  CHECK(std::filesystem::is_symlink(scratch / "link"));
  CHECK(read_bytes(scratch / "file") == "new");
}

TEST_CASE("a pipe is written to, never replaced") {
  const scratch_directory scratch;
  REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
  const int reader = ::open((scratch / "pipe").c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  expect_writable(scratch / "pipe");
  write_text_file(scratch / "pipe", "text");
  std::array<char, 8> got{};
  CHECK(::read(reader, got.data(), got.size()) == 4);
  CHECK(std::string(got.data()) == "text");
  ::close(reader);
  CHECK(std::filesystem::is_fifo(scratch / "pipe"));
}

TEST_CASE("the check for a writable path leaves nothing behind") {
  const scratch_directory scratch;
  expect_writable(scratch / "r.json");
  CHECK(names_in(scratch / ".").empty());
}

TEST_CASE("the check for a writable path leaves an existing file as it is") {
  const scratch_directory scratch;
  write_bytes(scratch / "r.json", "precious");
  const auto before = std::filesystem::last_write_time(scratch / "r.json");
  expect_writable(scratch / "r.json");
  CHECK(read_bytes(scratch / "r.json") == "precious");
  CHECK(std::filesystem::last_write_time(scratch / "r.json") == before);
  CHECK(names_in(scratch / ".") == std::set<std::string>{"r.json"});
}

TEST_CASE("a path that cannot be written is refused before the run and at its end") {
  const scratch_directory scratch;
  write_bytes(scratch / "file", "x");
  const std::vector<std::pair<std::filesystem::path, std::string>> cases = {
      {scratch / "file/r.json", "file/r.json: cannot "},
      {scratch / "file/r.json", "Not a directory"},
      {scratch / "none/r.json", "none/r.json: cannot create: No such file or directory"},
      {scratch / ".", "found a directory, expected the path of a file"},
      {scratch.path() / "", "found a path that ends in no name"},
      {"", "found a path that ends in no name"},
      {scratch / std::string(256, 'n'), "File name too long"}};
  for (const auto& [path, message] : cases) {
    INFO(path);
    CHECK_THAT(error_text<spec_error>([&path = path] { expect_writable(path); }), Contains(message));
    CHECK_THAT(error_text<output_error>([&path = path] { write_text_file(path, "text"); }), Contains(message));
  }
  CHECK(names_in(scratch / ".") == std::set<std::string>{"file"});
}
