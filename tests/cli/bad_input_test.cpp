// What a user can get wrong, one row each: the exit code, one line that says what is wrong, and nothing left behind.
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/trained_checkpoint.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

namespace fs = std::filesystem;

/// "@" in an argument stands for the scratch directory.
struct bad_input {
  std::vector<std::string> arguments;
  int exit_code;
  std::string says; ///< within the one line
};

std::set<std::string> all_below(const fs::path& directory) {
  std::set<std::string> found;
  for (const auto& one : fs::recursive_directory_iterator(directory))
    found.insert(one.path().string());
  return found;
}

std::vector<std::string> in_scratch(std::vector<std::string> arguments, const scratch_directory& scratch) {
  for (std::string& one : arguments)
    for (std::size_t at = one.find('@'); at != std::string::npos; at = one.find('@'))
      one.replace(at, 1, scratch.path().string());
  return arguments;
}

/// Damages the file at `path`.
void flip_a_bit(const fs::path& path) {
  std::string bytes = read_bytes(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_bytes(path, bytes);
}

fs::path find_weights(const fs::path& generation) {
  for (const auto& one : fs::directory_iterator(generation))
    if (one.path().extension() == ".safetensors" && one.path().string().find("optimizer") == std::string::npos)
      return one.path();
  throw std::runtime_error("no weights in " + generation.string());
}

/// Everything that the rows below name.
void prepare(const scratch_directory& scratch) {
  const auto put = [&](const std::string& name, const std::string& content) { write_bytes(scratch / name, content); };
  put("text", some_text());
  put("empty", "");
  put("other", "another text, " + some_text());
  put("spec.textproto", "");
  put("short", "abcd");
  put("odd", std::string(101, 'a'));
  put("tokens", std::string(100, '\x01')); // 0x0101 = 257, little-endian
  put("unknown.textproto", "model {\n  layers: 2\n  widht: 8\n}\n");
  put("type.textproto", "training { steps: \"many\" }");
  put("garbage.textproto", std::string("\x7f\x45\x4c\x46\x02\x01\x01\0\xff\xfe", 10));
  put("truncated.textproto", "model { layers: 2");
  put("twice.textproto", "training { steps: 2 }\ntraining { steps: 3 }");
  put("nan.textproto", "optimizer { learning_rate: nan }");
  put("file", "a regular file");
  put("table.csv", "0F0,what\n");
  fs::create_directory(scratch / "nothing");
  REQUIRE(::mkfifo((scratch / "fifo").c_str(), 0600) == 0);
  for (const char* name : {"cut", "flipped", "garbled", "intact"})
    copy_trained_checkpoint(scratch / name);
  for (const char* step : {"step-00000002", "step-00000004"}) {
    const fs::path cut = find_weights(scratch / "cut" / step);
    fs::resize_file(cut, fs::file_size(cut) - 1);
    flip_a_bit(find_weights(scratch / "flipped" / step));
    write_bytes(scratch / "garbled" / step / "manifest.textproto", "step: \xff");
  }
}

void check(const std::vector<bad_input>& rows) {
  const scratch_directory scratch;
  prepare(scratch);
  const std::set<std::string> before = all_below(scratch.path());
  for (const bad_input& row : rows) {
    const std::vector<std::string> arguments = in_scratch(row.arguments, scratch);
    std::string command = "troupe";
    for (const std::string& one : arguments)
      command += " " + one;
    INFO(command);
    const program_result result = run_program(arguments);
    CHECK(result.exit_code == row.exit_code);
    CHECK_THAT(result.err, StartsWith("troupe: ") && Contains(row.says) && EndsWith("\n"));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    CHECK(result.out.empty());
    CHECK(all_below(scratch.path()) == before);
  }
}

bad_input with_config(const std::string& name, const std::string& says) {
  return {{"train", "--data", "@/text", "--config", "@/" + name}, 2, says};
}

bad_input with_flags(const std::vector<std::string>& flags, const std::string& says) {
  return {small_run() + std::vector<std::string>{"--data", "@/text"} + flags, 2, says};
}

bad_input with_data(const std::vector<std::string>& flags, const std::string& says) {
  return {small_run() + std::vector<std::string>{"--data"} + flags, 3, says};
}

bad_input with_checkpoint(const std::vector<std::string>& flags, const std::string& says) {
  return {std::vector<std::string>{"train", "--data", "@/text", "--resume"} + flags, 3, says};
}

bad_input without_directory(const std::string& directory, const std::string& says) {
  return {small_run() + std::vector<std::string>{"--data", "@/text", "--checkpoint", directory}, 3, says};
}

} // namespace

TEST_CASE("a wrong command line is answered with one line and exit code 2") {
  check({
      {{}, 2, "no command given, expected one of train, worker, generate, schedule, inspect, certs"},
      {{"trian"}, 2, "unknown command 'trian'"},
      {{"trian"}, 2, "did you mean 'train'?"},
      {{"--stages", "2"}, 2, "unknown flag '--stages'"},
      {{"train", "--stagse", "2"}, 2, "unknown flag '--stagse', did you mean '--stages'?"},
      {{"train", "--stagse=2"}, 2, "unknown flag '--stagse', did you mean '--stages'?"},
      {{"train", "--qqqqqqqqqqqqqqqqqqq"}, 2, "unknown flag '--qqqqqqqqqqqqqqqqqqq' (troupe train --help lists all)"},
      {{"train", "text.txt"}, 2, "unexpected argument 'text.txt'"},
      {{"train", "--steps"}, 2, "--steps"},
      {{"train"}, 2, "data.path: found nothing, expected a file to train on (--data FILE)"},
      {{"generate", "--prompt", "x"}, 2, "--checkpoint"},
      {{"generate", "--checkpoint", "@/intact", "--prompt", ""}, 2, "--prompt: found nothing"},
      {{"generate", "--checkpoint", "@/intact", "--prompt", "x", "--temperature", "nan"},
       2,
       "--temperature: found nan"},
      {{"generate", "--checkpoint", "@/intact", "--prompt", "x", "--tokens", "-1"}, 2, "--tokens"},
      {{"schedule"}, 2, "schedule: found no name, expected that of a schedule (--list prints all)"},
      {{"schedule", "1f1b", "--stages", "2"}, 2, "found no --microbatches"},
      {{"schedule", "1fb1", "--stages", "2", "--microbatches", "2"}, 2, "did you mean '1f1b'?"},
      {{"schedule", "1f1b", "--stages", "2", "--microbatches", "2", "--format", "png"}, 2, "png not in"},
      {{"schedule", "1f1b", "--stages", "2", "--microbatches", "2", "--compare", "zb-h1,"}, 2, "schedule: found ''"},
      {{"schedule", "1f1b", "--stages", "2", "--microbatches", "2", "--compare", "zb-v", "--format", "csv"},
       2,
       "--format: found csv with --compare"},
      {{"schedule", "1f1b", "--stages", "2", "--microbatches", "2", "--compare", "zb-v", "--waves", "2"},
       2,
       "--waves: found 2, expected none, as no schedule of --compare leaves a choice of it"},
      {{"schedule", "1f1b", "--stages", "2", "--microbatches", "2", "-o", "@/file/x"}, 2, "file/x: "},
      {{"schedule", "1f1b", "--stages", "2", "--microbatches", "2", "-o", "@/nothing"},
       2,
       "nothing: found a directory"},
      {{"schedule", "1f1b", "--stages", "99", "--microbatches", "999", "--format", "svg", "-o", "@/x"},
       2,
       "svg: found 197802 actions, expected at most 20000 in one picture"},
      {{"inspect"}, 2, "path"},
      {{"inspect", "@/missing"}, 2, "missing: found nothing there"},
      {{"inspect", "@/text"}, 2, "text: found another kind of file"},
      {{"inspect", "@/table.csv"}, 2, "'what'"},
  });
}

TEST_CASE("a wrong run spec file is answered with one line and exit code 2") {
  check({
      with_config("unknown.textproto", "unknown.textproto:3:8: unknown field 'widht'"),
      with_config("unknown.textproto", "did you mean 'width'?"),
      with_config("type.textproto", "type.textproto:1:19: "),
      with_config("garbage.textproto", "garbage.textproto:1:"),
      with_config("truncated.textproto", "truncated.textproto:1:18: "),
      with_config("twice.textproto", "twice.textproto:2:"),
      with_config("nan.textproto", "optimizer.learning_rate: found nan"),
      with_config("missing", "missing: No such file or directory"),
      with_config("nothing", "nothing: found a directory, expected a regular file"),
      with_config("fifo", "fifo: found a FIFO, expected a regular file"),
      {{"train", "--data", "@/text", "--config", "/dev/zero"}, 2, "/dev/zero: found a device, expected a regular file"},
      {{"inspect", "@/unknown.textproto"}, 2, "unknown field 'widht'"},
  });
}

TEST_CASE("a value that makes no sense is answered with field, found and expected, and exit code 2") {
  check({
      with_flags({"--lr", "nan"}, "optimizer.learning_rate: found nan, expected 0 to 1000000"),
      with_flags({"--clip", "inf"}, "optimizer.clip: found inf"),
      with_flags({"--weight-decay", "-0.5"}, "optimizer.weight_decay: found -0.5"),
      with_flags({"--steps", "-5"}, "training.steps: found '-5', expected a whole number from 1 to 1099511627776"),
      with_flags({"--steps", "1e3"}, "training.steps: found '1e3'"),
      with_flags({"--steps", "18446744073709551616"}, "training.steps: found '18446744073709551616'"),
      with_flags({"--microbatches", "0"}, "training.microbatches: found 0, expected 1 to 65536"),
      with_flags({"--microbatches", "65536", "--microbatch-size", "65536"},
                 "training.microbatches: found training.microbatches x training.microbatch_size"),
      with_flags({"--width", "9223372036854775807"}, "model.width: found 9223372036854775807"),
      with_flags({"--layers", "4096", "--width", "65536"}, "model.layers: found"),
      with_flags({"--stages", "4"}, "pipeline.stages: found 4, expected at most 3"),
      with_flags({"--heads", "3"}, "model.width: found 8, expected a multiple of model.heads (3)"),
      with_flags({"--schedule", "1fb1"}, "pipeline.schedule: found '1fb1', expected one of"),
      with_flags({"--schedule", "1fb1"}, "did you mean '1f1b'?"),
      with_flags({"--schedule", "@/missing.csv"}, "missing.csv: found no such file"),
      with_flags({"--schedule", "@/table.csv"}, "'what'"),
      with_flags({"--optimizer", "adam"}, "did you mean 'adamw'?"),
      with_flags({"--model", "gpt2"}, "model.family: found 'gpt2', expected one of gpt, mlp, did you mean 'gpt'?"),
      with_flags({"--recompute", "some"}, "pipeline.recompute: found 'some', expected none or full"),
      with_flags({"--wire", "fp16"}, "pipeline.wire: found 'fp16', expected fp32 or bf16"),
      with_flags({"--dispatch", "some"}, "pipeline.dispatch: found 'some', expected static or reactive"),
      with_flags({"--emulate", "f=1ms/2ms,i=1ms,w=1ms", "--stages", "3"},
                 "pipeline.emulate: found a list of 2 times, expected one time or 3, one for each stage"),
      with_flags(
          {"--resume", "@/intact", "--checkpoint", "", "--checkpoint-every", "0", "--emulate", "f=1ms,i=1ms,w=1ms"},
          "--resume: found '"),
      with_flags({"--one-thread", "--emulate", "f=1ms,i=1ms,w=1ms"}, "--one-thread: found it with pipeline.emulate"),
      with_flags({"--one-thread", "--dispatch", "reactive"}, "--one-thread: found it with reactive pipeline.dispatch"),
      with_flags({"--schedule", "pipedream", "--clip", "0", "--dispatch", "reactive"},
                 "pipeline.dispatch: found reactive, expected static, because the stages of 'pipedream' update"),
      with_flags({"--tokens", "words"}, "data.tokens: found 'words', expected bytes or uint16"),
      with_flags({"--tied-head=maybe"}, "tied"),
      with_flags({"--partition", "2,2"}, "pipeline.partition: found '2,2'"),
      with_flags({"--threads-per-stage", "100000"}, "pipeline.threads_per_stage: found 100000"),
      with_flags({"--vocabulary", "100"}, "model.vocabulary: found 100, expected at least 256"),
      with_flags({"--schedule", "reference", "--save-schedule", "@/new.csv"}, "--save-schedule: found '"),
      with_flags({"--save-schedule", "@/text"}, "which is data.path of this run"),
      with_flags({"--schedule", "auto", "--stages", "3", "--chunks", "2"}, "pipeline.stages: found 3 x 2 chunks"),
      with_flags({"--checkpoint-every", "2"}, "checkpoint.directory: found none"),
      with_flags({"--on-nan", "ignore"}, "faults.on_nan: found 'ignore', expected stop or skip"),
      with_flags({"--schedule", "pipedream", "--clip", "0", "--on-nan", "skip"},
                 "faults.on_nan: found skip, expected stop, because the stages of 'pipedream' update"),
      with_flags({"--max-restarts", "-1"}, "faults.max_restarts: found '-1', expected a whole number from 0 to 65536"),
      with_flags({"--max-restarts", "4294967296"},
                 "faults.max_restarts: found '4294967296', expected a whole number from 0 to 65536"),
      with_flags({"--snapshot-every", "-1"},
                 "faults.snapshot_every: found '-1', expected a whole number from 0 to 1099511627776"),
      with_flags({"--chaos", "kil:rank=0"}, "faults.chaos: found 'kil', expected one of kill, "),
      with_flags({"--chaos", "kill:rank=1"}, "faults.chaos: kill:rank=1: found rank 1, expected 0 to 0"),
      with_flags({"--chaos", "kill:action=99"}, "faults.chaos: kill:action=99: found action 99, expected 0 to "),
      with_flags({"--chaos", "kill:seed=1", "--one-thread"}, "--one-thread: found it with faults.chaos 'kill:seed=1'"),
      with_flags({"--chaos", "kill:seed=1", "--schedule", "reference"},
                 "faults.chaos: found 'kill:seed=1', expected nothing, since"),
      with_flags({"--chaos", "disk:write=1"},
                 "faults.chaos: disk:write=1: found a run that writes neither checkpoints"),
      with_flags({"--chaos", "drop:share=0.5"},
                 "faults.chaos: drop:share=0.5: found pipeline.stages 1, expected 2 or "),
      with_flags({"--snapshot-dir", "@/new", "--snapshot-every", "0"},
                 "new', expected none, since faults.snapshot_every is 0"),
      with_flags({"--snapshot-dir", "@/new", "--schedule", "reference"},
                 "new', expected none, since pipeline.schedule is reference"),
      with_flags({"--snapshot-dir", "@/new", "--one-thread"}, "--one-thread: found it with faults.snapshot_directory"),
      with_flags({"--chaos", "kill"},
                 "faults.chaos: found 'kill', expected kill:KEY=VALUE, with at least one of rank, "),
      with_flags({"--chaos", "kill-scheduler"}, "found 'kill-scheduler', expected kill-scheduler:KEY=VALUE, with at "),
      with_flags({"--workers", ""}, "--workers: found"),
      with_flags({"--workers", "127.0.0.1:7001", "--spawn", "1"}, "--spawn: found 1 beside --workers, expected one"),
      with_flags({"--spawn", "0"}, "--spawn: found 0, expected from 1 to 256"),
      with_flags({"--spawn", "257"}, "--spawn: found 257, expected from 1 to 256"),
      with_flags({"--spawn", ""}, "--spawn"),
      with_flags({"--set", "training.steps"}, "--set: found 'training.steps', expected FIELD=VALUE"),
      with_flags({"--set", "training.stesp=3"}, "did you mean 'training.steps'?"),
  });
}

TEST_CASE("unusable training data is answered with one line and exit code 3") {
  check({
      with_data({"@/missing"}, "missing: No such file or directory"),
      with_data({"@/empty"}, "empty: found an empty file, expected tokens"),
      with_data({"@/nothing"}, "nothing: found a directory, expected a regular file"),
      with_data({"@/fifo"}, "fifo: found a FIFO, expected a regular file"),
      with_data({"/dev/zero"}, "/dev/zero: found a device, expected a regular file"),
      with_data({"@/file/below"}, "file/below: Not a directory"),
      with_data({"@/text", "--data-sha256", std::string(64, '0')}, "(data.sha256)"),
      with_data({"@/short"}, "short: found 4 tokens for training, expected at least 5"),
      with_data({"@/odd", "--tokens", "uint16"}, "odd: found 101 bytes, expected an even number"),
      with_data({"@/tokens", "--tokens", "uint16"}, "expected less than model.vocabulary (256)"),
      with_data({"@/tokens", "--tokens", "uint16", "--schedule", "reference"}, "is 257, expected less than"),
      with_data({"@/line\nfeed"}, "line feed: No such file or directory"),
  });
}

TEST_CASE("an unusable checkpoint is answered with one line and exit code 3") {
  check({
      with_checkpoint({"@/missing"}, "missing: expected a directory"),
      with_checkpoint({"@/intact", "--data", "@/other"}, "other: found SHA-256 "),
      with_checkpoint({"@/nothing"}, "nothing: expected a directory with at least one step-NNNNNNNN generation"),
      with_checkpoint({"@/file"}, "file: expected a directory"),
      with_checkpoint({"@/cut"}, "bytes, expected"),
      with_checkpoint({"@/flipped"}, "SHA-256"),
      with_checkpoint({"@/garbled"}, "manifest.textproto"),
      with_checkpoint({"@/intact", "--seed", "2"}, "training.seed: found 2 in this run, expected 1"),
      with_checkpoint({"@/intact", "--width", "16"}, "model.width: found 16 in this run, expected 8"),
      {{"generate", "--checkpoint", "@/flipped", "--prompt", "x"}, 3, "SHA-256"},
      {{"inspect", "@/cut"}, 3, "bytes, expected"},
      {{"inspect", "@/nothing"}, 3, "nothing: expected a directory"},
  });
}

TEST_CASE("a damaged weights file of its own is named when it is inspected") {
  const scratch_directory scratch;
  copy_trained_checkpoint(scratch / "run");
  const fs::path weights = find_weights(scratch / "run" / "step-00000004");
  fs::resize_file(weights, 20);
  const program_result result = run_program({"inspect", weights.string()});
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err, StartsWith("troupe: " + weights.string()));
}

// Below a regular file nothing can be created, not even by root, as whom tests may run.
TEST_CASE("an output that cannot be written is refused before the run starts") {
  check({
      with_flags({"--report", "@/file/report.json"}, "file/report.json: "),
      with_flags({"--report", "@/missing/report.json"}, "missing/report.json: "),
      with_flags({"--report", "@/nothing"}, "nothing: "),
      with_flags({"--trace", "@/file/trace.json"}, "file/trace.json: "),
      with_flags({"--trace", "@/missing/trace.json"}, "missing/trace.json: "),
      with_flags({"--timeline", "@/file/t.svg"}, "file/t.svg: "),
      with_flags({"--timeline", "@/nothing"}, "nothing: "),
      without_directory("@/file", "checkpoint.directory: found '"),
      without_directory("@/file/run", "checkpoint.directory: found '"),
      without_directory("/proc/no_such_directory", "/proc/no_such_directory"),
      with_flags({"--report", "@/text"}, "--report: found '"),
      with_flags({"--trace", "@/text"}, "which is data.path of this run"),
      with_flags({"--trace", "@/both", "--report", "@/both"}, "which is --report of this run"),
      with_flags({"--timeline", "@/both", "--trace", "@/both"}, "which is --trace of this run"),
      with_flags({"--timeline", "@/t.svg", "--trace", "@/t.json", "--schedule", "reference"},
                 "timeline: found the reference trainer, which has no ranks"),
      with_flags({"--timeline", "@/t.svg", "--trace", "@/t.json", "--microbatches", "5001"},
                 "svg: found 20004 actions, expected at most 20000"),
      with_flags({"--config", "@/spec.textproto", "--report", "@/spec.textproto"}, "which is --config of this run"),
      with_flags({"--checkpoint", "@/intact"}, "with step-00000004 of another run"),
  });
}

TEST_CASE("a damaged newest generation is named, and the one before it is used") {
  const scratch_directory scratch;
  copy_trained_checkpoint(scratch / "run");
  flip_a_bit(find_weights(scratch / "run" / "step-00000004"));
  const program_result result =
      run_program({"train", "--resume", (scratch / "run").string(), "--data", text_file(scratch), "--quiet"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, StartsWith("warning: ") && Contains("step-00000004") && Contains("SHA-256"));
  CHECK_THAT(result.out, Contains("2 to 4"));
}
