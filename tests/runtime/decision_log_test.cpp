#include "model/error.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "runtime/recovery/decision_record.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <bit>
#include <cerrno>
#include <limits>
#include <memory>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;
using Catch::StartsWith;
namespace fs = std::filesystem;

namespace {

using decision_list = std::vector<logged_decision>;

/// All of it as numbers, so that NaN equals itself and 0 is not -0.
std::vector<std::uint64_t> bits(const decision_list& decisions) {
  std::vector<std::uint64_t> all;
  for (const logged_decision& one : decisions) {
    all.insert(all.end(),
               {one.at.step, one.at.mode == pass_mode::train ? 0U : 1U, one.skipped ? 1U : 0U, one.snapshot ? 1U : 0U});
    for (const double value : {one.loss, one.gradient_norm, one.gradient_scale, one.learning_rate})
      all.push_back(std::bit_cast<std::uint64_t>(value));
  }
  return all;
}

/// Four steps, a validation after the second.
decision_list some_decisions() {
  return {{{0, pass_mode::train}, 5.25, 1.5, 0.75, 1e-3, false, true},
          {{1, pass_mode::train}, 5.125, 0.1, 1.0, 2e-3, true, false},
          {{1, pass_mode::evaluate}, 5.5},
          {{2, pass_mode::train}, 4.0, 0.2, 1.0, 3e-3, false, true},
          {{3, pass_mode::train}, 3.0, 0.3, 1.0, 3e-3, false, false}};
}

decision_list first(std::size_t count) {
  const decision_list all = some_decisions();
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)};
}

class logged_run {
public:
  std::unique_ptr<decision_log> open(disk_faults* faults = nullptr) const {
    std::vector<std::string> warnings;
    auto log = std::make_unique<decision_log>(directory, spec, std::string(), warnings, faults);
    CHECK(warnings.empty());
    return log;
  }
  /// Opens the log, expecting a warning; returns it.
  std::string warning() const {
    std::vector<std::string> warnings;
    const decision_log log(directory, spec, {}, warnings);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], StartsWith(path.string() + ": "));
    CHECK(warnings[0].find('\n') == std::string::npos);
    return warnings[0];
  }
  std::string refusal() const {
    std::vector<std::string> warnings;
    return error_text<checkpoint_error>([&] { const decision_log log(directory, spec, {}, warnings); });
  }
  /// Writes a log of some_decisions() and returns its bytes.
  std::string write() const {
    const auto log = open();
    for (const logged_decision& one : some_decisions())
      log->append(one);
    return read_bytes(path);
  }
  void check(const decision_list& expected) const {
    CHECK(bits(open()->decisions()) == bits(expected));
    CHECK(names_in(directory) == std::set<std::string>{"decisions.log"});
  }

  scratch_directory scratch{place_in_memory()};
  fs::path directory = scratch / "ckpt";
  fs::path path = directory / "decisions.log";
  run_spec spec = tiny_spec();
};

/// Where each record of a log begins, and where the log ends.
std::vector<std::size_t> boundaries_of(const std::string& log) {
  const decision_log_content content = parse_decision_log(log, "log");
  std::vector<std::size_t> places(content.starts.begin(), content.starts.end());
  places.push_back(log.size());
  return places;
}

} // namespace

TEST_CASE("a decision log gives back every number to the bit, whatever it is") {
  const logged_run run;
  using limits = std::numeric_limits<double>;
  decision_list expected;
  for (const double value : {0.0, -0.0, 1.0 / 3.0, limits::infinity(), -limits::infinity(), limits::quiet_NaN(),
                             std::bit_cast<double>(0xfff8dead0000beefU), limits::denorm_min(), -limits::denorm_min(),
                             limits::max(), limits::lowest(), limits::min()}) {
    const std::uint64_t step = expected.size();
    expected.push_back({{step, pass_mode::train}, value, -value, value, value, step % 2 == 0, step % 3 == 0});
  }
  expected.push_back({{std::numeric_limits<std::uint64_t>::max(), pass_mode::train}, 1.0, 1.0, 1.0, 1.0, true, true});
  expected.push_back({{std::numeric_limits<std::uint64_t>::max(), pass_mode::evaluate}, limits::quiet_NaN()});
  {
    const auto log = run.open();
    for (const logged_decision& one : expected)
      log->append(one);
    CHECK(bits(log->decisions()) == bits(expected));
  }
  run.check(expected);
}

TEST_CASE("a decision log that is opened again is continued") {
  const logged_run run;
  for (const logged_decision& one : some_decisions())
    run.open()->append(one);
  run.check(some_decisions());
}

TEST_CASE("a decision log cut short anywhere gives every whole record, and can be continued") {
  const logged_run run;
  const std::string whole = run.write();
  const std::vector<std::size_t> places = boundaries_of(whole);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO("length " << length);
    const std::string cut = whole.substr(0, length);
    if (length < places.front()) {
      CHECK_THAT(error_text<checkpoint_error>([&] { parse_decision_log(cut, "log"); }), StartsWith("log: "));
      continue;
    }
    const auto next = std::ranges::upper_bound(places, length);
    const auto records = static_cast<std::size_t>(next - places.begin()) - 1;
    const decision_log_content content = parse_decision_log(cut, "log");
    CHECK(bits(content.decisions) == bits(first(records)));
    CHECK(content.whole_bytes == places[records]);
    CHECK(content.damage.empty() == (length == places[records]));
    write_bytes(run.path, cut);
    if (!content.damage.empty())
      CHECK_THAT(run.warning(), Contains("byte " + std::to_string(places[records]) + ": found "));
    CHECK(fs::file_size(run.path) == places[records]);
    run.open()->append(some_decisions()[records]);
    run.check(first(records + 1));
  }
}

TEST_CASE("a decision log in which any byte is another is refused, or, in the last record, loses that one") {
  const logged_run run;
  const std::string whole = run.write();
  const std::size_t last = boundaries_of(whole)[4];
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (int change = 1; change < 256; change = sanitized ? change * 4 : change + 1) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      INFO("byte " << at << " xor " << change);
      std::size_t found = 0;
      const std::string text = error_text<checkpoint_error>([&] {
        const decision_log_content content = parse_decision_log(damaged, "the log");
        found = content.decisions.size();
        CHECK_THAT(content.damage, StartsWith("the log: byte " + std::to_string(last) + ": found "));
        CHECK(content.whole_bytes == last);
      });
      if (found != (at < last ? 0 : 4) || text.starts_with("the log: ") != (at < last))
        FAIL("it was taken for " << found << " decisions: " << text);
    }
}

TEST_CASE(
    "a damaged decision log on disk is named with the place, and is left as it is unless only its end is damaged") {
  const logged_run run;
  const std::string whole = run.write();
  const std::vector<std::size_t> places = boundaries_of(whole);
  for (std::size_t record = 0; record < 5; ++record) {
    std::string damaged = whole;
    damaged[places[record + 1] - 1] ^= 1;
    write_bytes(run.path, damaged);
    const std::string place = run.path.string() + ": byte " + std::to_string(places[record]);
    if (record < 4) {
      CHECK_THAT(run.refusal(), StartsWith(place + ": found a record of ") && Contains("with another checksum") &&
                                    Contains("one follows at byte " + std::to_string(places[record + 1])));
      CHECK(read_bytes(run.path) == damaged);
    } else {
      CHECK_THAT(run.warning(), StartsWith(place) && Catch::EndsWith("what is there ends with step 3"));
      run.check(first(4));
    }
  }
  write_bytes(run.path, whole + std::string(4096, '\0')); // as some file systems leave it after a power cut
  CHECK_THAT(run.warning(), Contains("byte " + std::to_string(whole.size()) + ": found a record of 0 bytes") &&
                                Catch::EndsWith("what is there ends with step 4"));
  run.check(some_decisions());
}

TEST_CASE("records with right checksums that make no sense are refused") {
  const logged_run run;
  const std::string head = decision_log_head(run.spec, {});
  const auto refusal = [](const std::string& bytes) {
    return error_text<checkpoint_error>([&] { parse_decision_log(bytes, "log"); });
  };
  const std::string second = decision_record(some_decisions()[1]);
  const std::string place = "log: byte " + std::to_string(head.size() + second.size()) + ": ";
  CHECK(refusal(head + second).empty());
  CHECK(refusal(head + second + second) == place + "found step 2, expected a later one than step 2");
  CHECK(refusal(head + second + decision_record(some_decisions()[0])) ==
        place + "found step 1, expected a later one than step 2");
  CHECK(refusal(head + head.substr(8)).find(": found ") != std::string::npos);
  CHECK(refusal("") == "log: found an empty file, expected a decision log");
  CHECK(refusal("a text\n") == "log: found another kind of file, expected a decision log");
  std::string newer = head;
  newer[4] = 2;
  CHECK(refusal(newer) == "log: format: found 2, expected 1");
}

TEST_CASE("a decision log of another run is refused, naming the first field that differs") {
  logged_run run;
  run.write();
  const std::string whole = read_bytes(run.path);
  run.spec.training.seed = 8;
  CHECK(run.refusal() == run.path.string() + ": training.seed: found 8 in this run, expected 7 as in the log");
  run.spec = tiny_spec();
  std::vector<std::string> warnings;
  CHECK(error_text<checkpoint_error>([&] { decision_log(run.directory, run.spec, "ages 1,0", warnings); }) ==
        run.path.string() +
            ": pipeline.schedule: found 'ages 1,0' in this run, expected a synchronous schedule as in the log");
  CHECK(read_bytes(run.path) == whole);
  run.spec.training.steps += 5; // decides nothing
  run.spec.pipeline.stages = 2;
  run.check(some_decisions());
}

TEST_CASE("a run that goes back keeps the decisions on the steps before its checkpoint, and decides the rest anew") {
  const logged_run run;
  run.write();
  const auto log = run.open();
  log->go_back_to(9);
  CHECK(bits(log->decisions()) == bits(some_decisions()));
  log->go_back_to(3);
  CHECK(bits(log->decisions()) == bits(first(4)));
  log->append(some_decisions()[4]);
  log->go_back_to(2);
  run.check(first(3)); // the validation belongs to step 2
  log->append(some_decisions()[3]);
  log->go_back_to(0);
  run.check({});
  log->append(some_decisions()[0]);
  run.check(first(1));
}

TEST_CASE("decisions before the oldest checkpoint are dropped, and the log goes on") {
  const logged_run run;
  const std::size_t before = run.write().size();
  const auto log = run.open();
  log->drop_before(0);
  run.check(some_decisions());
  CHECK(fs::file_size(run.path) == before);
  log->drop_before(2);
  const decision_list all = some_decisions();
  run.check({all[3], all[4]});
  CHECK(fs::file_size(run.path) < before);
  log->append({{4, pass_mode::train}, 2.0});
  log->drop_before(4);
  run.check({{{4, pass_mode::train}, 2.0}});
  log->drop_before(7);
  run.check({});
  log->append({{7, pass_mode::train}, 1.0});
  run.check({{{7, pass_mode::train}, 1.0}});
}

TEST_CASE("what a process that died while it wrote the log anew has left is removed, and the log is whole") {
  const logged_run run;
  run.write();
  write_bytes(run.directory / ".decisions.log.0123.tmp", "half");
  run.open()->take_over();
  run.check(some_decisions());
}

TEST_CASE("whichever act on the log fails, it holds what it held before, and goes on when the disk does") {
  for (const int code : {ENOSPC, EIO, EDQUOT})
    for (std::size_t act = 1;; ++act) {
      const logged_run run;
      run.write();
      failing_disk disk(code, act);
      const auto log = run.open(&disk);
      INFO("act " << act << ", " << code);
      std::size_t failures = 0;
      const auto done = [&](const auto& what) {
        const std::string text = error_text<checkpoint_error>(what);
        if (text.empty())
          return true;
        CHECK_THAT(text, Contains(": cannot ") && Catch::EndsWith(std::generic_category().message(code)));
        ++failures;
        return false;
      };
      decision_list all = some_decisions();
      const auto append = [&](const logged_decision& one) {
        while (!done([&] { log->append(one); }))
          run.check(all);
        all.push_back(one);
        run.check(all);
      };
      append({{4, pass_mode::train}, 2.0});
      const decision_list later(all.begin() + 4, all.end());
      while (!done([&] { log->drop_before(3); }))
        if (bits(run.open()->decisions()) != bits(later)) // it has its new name when the directory's sync fails
          run.check(all);
      all = later;
      run.check(all);
      append({{5, pass_mode::train}, 1.0});
      CHECK(failures == (disk.has_failed() ? 1 : 0));
      if (!disk.has_failed()) {
        CHECK(act == 10); // 2 write and sync; 5 create, write, sync, rename and sync the directory; 2
        break;
      }
    }
}

TEST_CASE("a log that cannot grow says so with its name, and holds all that was appended before") {
  const logged_run run;
  const std::string said = with_small_files(run.write().size() + 3 * 65, [&] {
    const auto log = run.open();
    for (std::uint64_t step = 4;; ++step)
      if (const std::string text = error_text<checkpoint_error>([&] {
            log->append({{step, pass_mode::train}, 0.5});
          });
          !text.empty())
        return std::to_string(step) + " " + text;
  });
  CHECK_THAT(said, Catch::EndsWith(" " + run.path.string() + ": cannot write: File too large"));
  const decision_list left = run.open()->decisions();
  CHECK(left.back().at.step + 1 == std::stoull(said));
  CHECK(left.size() > 5);
}

TEST_CASE("a log whose file is gone says so, and is made again with the next checkpoint") {
  const logged_run run;
  run.write();
  const auto log = run.open();
  fs::remove_all(run.directory);
  CHECK(error_text<checkpoint_error>([&] {
          log->append({{4, pass_mode::train}, 0.5});
        }) == run.path.string() + ": cannot write: No such file or directory");
  CHECK_FALSE(fs::exists(run.directory));
  log->drop_before(3);
  log->append({{4, pass_mode::train}, 0.5});
  run.check({some_decisions()[4], {{4, pass_mode::train}, 0.5}});
}

TEST_CASE("a decision log is made with its directory, and a place where it cannot be is named") {
  logged_run run;
  run.directory = run.scratch / "a" / "b";
  run.path = run.directory / "decisions.log";
  run.check({});
  write_bytes(run.scratch / "file", "x");
  run.directory = run.scratch / "file";
  CHECK_THAT(run.refusal(), StartsWith(run.directory.string() + ": cannot create a directory: Not a directory"));
  run.directory = run.scratch / "c";
  fs::create_directories(run.directory / "decisions.log");
  CHECK_THAT(run.refusal(), Contains("found a directory, expected a regular file"));
}
