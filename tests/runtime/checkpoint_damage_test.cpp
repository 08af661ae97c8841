#include "model/error.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/manifest.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/small_checkpoint.hpp"

#include <catch2/catch.hpp>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <string_view>
#include <sys/stat.h>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

/// Two generations, of which tests damage the newer.
struct two_generations {
  two_generations() {
    older = model.write(scratch / "ckpt", 1);
    newer = model.write(scratch / "ckpt", 2);
  }
  /// Opens the directory, expecting the older generation and one warning that names `damaged`; returns the warning.
  std::string fall_back(const fs::path& damaged) const {
    std::vector<std::string> warnings;
    CHECK(checkpoint::open_latest(scratch / "ckpt", warnings).steps_done() == 1);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], Catch::StartsWith(damaged.string()));
    CHECK(warnings[0].find('\n') == std::string::npos);
    return warnings[0];
  }
  /// Steps of what is opened, without a warning.
  std::uint64_t opened() const {
    std::vector<std::string> warnings;
    const std::uint64_t steps = checkpoint::open_latest(scratch / "ckpt", warnings).steps_done();
    CHECK(warnings.empty());
    return steps;
  }
  scratch_directory scratch{place_in_memory()};
  small_model model;
  fs::path older;
  fs::path newer;
};

/// Another byte in a file, for as long as this lives. In place: rewriting a file thousands of times would make the file
/// system sync each.
class byte_change {
public:
  byte_change(fs::path path, std::size_t at, char byte) : path_(std::move(path)), at_(at), former_(exchange(byte)) {}
  byte_change(const byte_change&) = delete;
  byte_change& operator=(const byte_change&) = delete;
  ~byte_change() { exchange(former_); }

private:
  char exchange(char byte) const {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(at_));
    const auto former = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at_)).put(byte);
    REQUIRE(file.flush());
    return former;
  }
  fs::path path_;
  std::size_t at_;
  char former_;
};

/// Of the bytes of a file all are tried, under sanitizers some.
constexpr std::size_t stride = sanitized ? 29 : 1;

/// A manifest's text with one part exchanged and the hash made right again, as a forger would.
std::string forge(std::string text, const std::string& from, const std::string& to) {
  text.resize(text.rfind("sha256: "));
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  const std::vector<unsigned char> hashed(text.begin(), text.end());
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(hashed.data(), hashed.size(), digest.data());
  text += "sha256: \"";
  for (const unsigned char byte : digest) {
    constexpr std::string_view digits = "0123456789abcdef";
    text += digits[byte / 16];
    text += digits[byte % 16];
  }
  return text + "\"\n";
}

} // namespace

TEST_CASE("a flipped bit or byte anywhere in a checkpoint is noticed, named, and the generation before is used") {
  const two_generations fixture;
  for (const std::string& name : names_in(fixture.newer)) {
    const fs::path path = fixture.newer / name;
    const std::string whole = read_bytes(path);
    for (std::size_t at = 0; at < whole.size(); at += stride)
      for (const int change : {1 << (at / stride % 8), 0xff}) {
        const byte_change damage(path, at, static_cast<char>(whole[at] ^ change));
        INFO(name << " byte " << at << " xor " << change);
        fixture.fall_back(path);
      }
  }
  CHECK(fixture.opened() == 2);
}

TEST_CASE("the same byte damaged in both generations leaves none, and both are named") {
  const two_generations fixture;
  for (const std::string& name : names_in(fixture.newer)) {
    const std::string newer = read_bytes(fixture.newer / name);
    const std::string older = read_bytes(fixture.older / name);
    REQUIRE(newer.size() == older.size());
    for (std::size_t at = 0; at < newer.size(); at += stride) {
      const int change = 1 << (at / stride % 8);
      const byte_change first(fixture.older / name, at, static_cast<char>(older[at] ^ change));
      INFO(name << " byte " << at);
      CHECK(fixture.opened() == 2); // the older one is not even looked at
      const byte_change second(fixture.newer / name, at, static_cast<char>(newer[at] ^ change));
      std::vector<std::string> warnings;
      const std::string text =
          error_text<checkpoint_error>([&] { checkpoint::open_latest(fixture.scratch / "ckpt", warnings); });
      CHECK_THAT(text, Contains("found 2 damaged: " + (fixture.newer / name).string()) &&
                           Contains("; " + (fixture.older / name).string()));
    }
  }
  CHECK(fixture.opened() == 2);
}

TEST_CASE("a checkpoint cut short anywhere, or with a byte too many, is noticed") {
  const two_generations fixture;
  for (const std::string& name : names_in(fixture.newer)) {
    const fs::path path = fixture.newer / name;
    const std::string whole = read_bytes(path);
    for (const char* more : {"\n", " ", "x"}) {
      write_bytes(path, whole + more);
      fixture.fall_back(path);
    }
    write_bytes(path, whole);
    for (std::size_t length = whole.size(); length > 0;) {
      length -= std::min(length, stride);
      fs::resize_file(path, length);
      INFO(name << " length " << length);
      fixture.fall_back(path);
    }
    write_bytes(path, whole);
  }
  CHECK(fixture.opened() == 2);
}

TEST_CASE("a file that is missing or a pipe is noticed") {
  const two_generations fixture;
  for (const std::string& name : names_in(fixture.newer)) {
    const fs::path path = fixture.newer / name;
    const std::string whole = read_bytes(path);
    fs::remove(path);
    CHECK_THAT(fixture.fall_back(path), Contains("No such file or directory"));
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK_THAT(fixture.fall_back(path), Contains("expected a regular file"));
    fs::remove(path);
    write_bytes(path, whole);
  }
}

TEST_CASE("when no generation is whole, the error says what is wrong with each") {
  const two_generations fixture;
  write_bytes(fixture.newer / "layers-0000-0002.safetensors", "short");
  fs::remove(fixture.older / "manifest.textproto");
  std::vector<std::string> warnings;
  const std::string text =
      error_text<checkpoint_error>([&] { checkpoint::open_latest(fixture.scratch / "ckpt", warnings); });
  CHECK_THAT(text, Contains("ckpt: expected an undamaged generation, found 2 damaged: ") &&
                       Contains("layers-0000-0002.safetensors: found 5 bytes, expected ") &&
                       Contains("manifest.textproto: No such file or directory"));
  CHECK(text.find('\n') == std::string::npos);
}

TEST_CASE("a damaged generation that was named directly is refused, not passed over") {
  const two_generations fixture;
  write_bytes(fixture.newer / "layers-0000-0002.safetensors", "short");
  std::vector<std::string> warnings;
  CHECK_THAT(error_text<checkpoint_error>([&] { checkpoint::open_latest(fixture.newer, warnings); }),
             Contains("found 1 damaged"));
}

TEST_CASE("a generation under the name of another step is noticed") {
  const two_generations fixture;
  const fs::path renamed = fixture.scratch / "ckpt" / "step-00000003";
  fs::rename(fixture.newer, renamed);
  CHECK_THAT(fixture.fall_back(renamed), Contains("step: found 2, expected 3 as in the directory's name"));
}

TEST_CASE("a generation with any files of another one is noticed") {
  for (std::size_t mixture = 1; mixture < 8; ++mixture) {
    const two_generations fixture;
    const std::set<std::string> names = names_in(fixture.newer);
    REQUIRE(names == std::set<std::string>{"layers-0000-0002.optimizer.safetensors", "layers-0000-0002.safetensors",
                                           "manifest.textproto"});
    std::size_t bit = 1;
    for (const std::string& name : names) {
      if ((mixture & bit) != 0)
        fs::copy_file(fixture.older / name, fixture.newer / name, fs::copy_options::overwrite_existing);
      bit *= 2;
    }
    INFO("mixture " << mixture);
    const bool manifest_taken = mixture >= 4;
    CHECK_THAT(fixture.fall_back(fixture.newer),
               Contains(manifest_taken ? "step: found 1, expected 2 as in the directory's name" : "found SHA-256 "));
  }
}

TEST_CASE("a file that does not belong to a generation is not looked at") {
  const two_generations fixture;
  write_bytes(fixture.newer / "notes.txt", "x");
  write_bytes(fixture.newer / "layers-0000-0009.safetensors", "no tensor file");
  fs::create_directory(fixture.newer / "layers-0003-0003.safetensors");
  CHECK(fixture.opened() == 2);
}

TEST_CASE("an empty directory, or a file, under the name of a generation is named and passed over") {
  const two_generations fixture;
  const fs::path third = fixture.scratch / "ckpt" / "step-00000003";
  const auto passed_over = [&](const std::string& reason) {
    std::vector<std::string> warnings;
    CHECK(checkpoint::open_latest(fixture.scratch / "ckpt", warnings).steps_done() == 2);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], Catch::StartsWith((third / "manifest.textproto").string() + ": " + reason) &&
                                Catch::EndsWith("; passed over for step-00000002"));
  };
  fs::create_directory(third);
  passed_over("No such file or directory");
  fs::create_directory(third / "manifest.textproto");
  passed_over("found a directory, expected a regular file");
  fs::remove_all(third);
  write_bytes(third, "x");
  passed_over("Not a directory");
  fs::remove(third);
  fs::create_directory_symlink("step-00000003", third);
  passed_over("Too many levels of symbolic links");
}

TEST_CASE("what a crash has left of a generation is never read, whole as it may be") {
  const two_generations fixture;
  const fs::path directory = fixture.scratch / "ckpt";
  fs::copy(fixture.newer, directory / ".step-00000003.tmp");
  fs::copy(fixture.newer, directory / ".step-00000003.tmp.old");
  fs::copy(fixture.newer, directory / "step-3");
  CHECK(fixture.opened() == 2);
  fs::remove_all(fixture.older);
  fs::remove_all(fixture.newer);
  std::vector<std::string> warnings;
  CHECK_THAT(error_text<checkpoint_error>([&] { checkpoint::open_latest(directory, warnings); }),
             Contains("expected a directory with at least one step-NNNNNNNN generation, found none"));
}

TEST_CASE("each damaged generation is named, newest first, until one is whole") {
  two_generations fixture;
  const fs::path third = fixture.model.write(fixture.scratch / "ckpt", 3); // two are kept
  const fs::path fourth = fixture.scratch / "ckpt" / "step-00000004";
  fs::copy(third, fourth);
  fs::remove(third / "layers-0000-0002.safetensors");
  std::vector<std::string> warnings;
  CHECK(checkpoint::open_latest(fixture.scratch / "ckpt", warnings).steps_done() == 2);
  REQUIRE(warnings.size() == 2);
  CHECK_THAT(warnings[0], Catch::StartsWith(fourth.string()));
  CHECK_THAT(warnings[1], Catch::StartsWith(third.string()));
}

TEST_CASE("a forged manifest is refused in one line, whatever it asks for") {
  const two_generations fixture;
  const fs::path path = fixture.newer / "manifest.textproto";
  const std::string whole = read_bytes(path);
  const std::string weights = "name: \"layers-0000-0002.safetensors\"";
  const std::vector<std::array<std::string, 3>> cases = {
      {weights, "name: \"../step-00000001/layers-0000-0002.safetensors\"",
       "file name: found \"../step-00000001/layers-0000-0002.safetensors\", expected \"layers-0000-0002.safetensors\""},
      {weights, "name: \"/etc/passwd\"", "file name: found \"/etc/passwd\""},
      {weights, "name: \"..\"", "file name: found \"..\""},
      {weights, "name: \"\"", "file name: found \"\""},
      {weights, "name: \"a\\nb\"", "file name: found \"a?b\""},
      {weights, "name: \"layers-0000-0002.optimizer.safetensors\"", "file name: found"},
      {weights, "", "file name: found \"\""},
      {"format: 1", "format: 2", "format: found 2, expected 1"},
      {"format: 1", "", "format: found 0, expected 1"},
      {"step: 2", "", "found no step"},
      {"step: 2", "step: -2", ":3:7: "},
      {"step: 2", "step: 2 nonsense: 1", "has no field named"},
      {"step: 2", "step: \"\n", ":3:8: "},
      {"first: 0", "first: 1", "layers: found 1 to 2, expected a run that starts at 0"},
      {"last: 2", "last: -1", "layers: found 0 to -1"},
      {"last: 2", "last: 9223372036854775807", "layers: found 0 to 9223372036854775807"},
      {"h.1.bias", "h.0.bias", "parameters: found \"h.0.bias\" twice"},
      {"h.1.bias", "h.7.bias", "found tensor \"h.1.bias\", expected only those"},
      {"parameters: \"h.2.bias\"", "parameters: \"h.2.bias\" parameters: \"more\"", "found no tensor \"more\""},
      {"state_names: \"v\"", "state_names: \"m\"", "state_names: found \"m\" twice"},
      {"state_names: \"v\"", "", "found tensor \"h.0.weight.v\", expected only those"},
      {"tokens: \"bytes\"", "tokens: \"bits\\n\"", "spec: \"data.tokens: found 'bits?'"}};
  for (const auto& [from, to, message] : cases) {
    INFO(to);
    write_bytes(path, forge(whole, from, to));
    CHECK_THAT(fixture.fall_back(fixture.newer), Contains(message));
  }
  write_bytes(path, forge(whole, "step: 2", "step:2"));
  std::vector<std::string> warnings;
  CHECK(checkpoint::open_latest(fixture.scratch / "ckpt", warnings).steps_done() == 2);
}

TEST_CASE("a manifest without a field of the run spec takes its default") {
  manifest content{.step = 3, .state_names = {"m"}, .spec = {}};
  content.spec.optimizer.clip = 7.0;
  content.layers = {{.first = 0,
                     .last = 0,
                     .weights = {weights_file_name(0, 0), 1, std::string(64, 'a')},
                     .optimizer = {optimizer_file_name(0, 0), 2, std::string(64, 'b')},
                     .parameters = {"w"}}};
  const std::string text = to_text(content);
  CHECK(parse_manifest(text, "m") == content);
  content.spec.optimizer.clip = run_spec{}.optimizer.clip;
  CHECK(parse_manifest(forge(text, "clip: 7", ""), "m") == content);
}
