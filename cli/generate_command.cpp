#include "cli/generate_command.hpp"

#include "cli/console.hpp"
#include "model/error.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/generate.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

namespace {

struct generate_request {
  std::string checkpoint;
  std::string prompt;
  std::uint32_t tokens = 200;
  sampling how;
};

constexpr const char* generate_examples = R"(Examples:
  troupe generate --checkpoint run/ --prompt "Once upon a time"
  troupe generate --checkpoint run/ --prompt "Once" --tokens 500 --temperature 0.8 --top-k 40 --seed 7
  troupe generate --checkpoint run/ --prompt "464 3290" --temperature 0     a model of uint16 tokens: ids in, ids out

The model sees the last T tokens. One that predicts once a sequence (mlp) needs T of them: a shorter prompt is
padded on the left, with spaces where tokens are bytes, else with token 0. The prompt is printed first.)";

std::vector<std::int32_t> tokens_of_bytes(const std::string& prompt) {
  std::vector<std::int32_t> tokens;
  for (const char c : prompt)
    tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

std::vector<std::int32_t> tokens_of_ids(std::string_view prompt, std::int64_t vocabulary) {
  std::vector<std::int32_t> tokens;
  while (!prompt.empty()) {
    const std::string_view word = prompt.substr(0, prompt.find(' '));
    prompt.remove_prefix(std::min(word.size() + 1, prompt.size()));
    if (word.empty())
      continue;
    std::int32_t token = -1;
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), token);
    if (problem != std::errc{} || end != word.data() + word.size() || token < 0 || token >= vocabulary)
      throw spec_error(fmt::format("--prompt: found '{}', expected token ids from 0 to {} with spaces between", word,
                                   vocabulary - 1));
    tokens.push_back(token);
  }
  return tokens;
}

void print_token(std::int32_t token, token_format format) {
  if (format == token_format::bytes)
    std::fputc(token, stdout);
  else
    fmt::print("{} ", token);
}

void generate(const generate_request& request) {
  const sampling& how = request.how;
  if (!(std::isfinite(how.temperature) && how.temperature >= 0.0))
    throw spec_error(fmt::format("--temperature: found {}, expected a finite number from 0", how.temperature));
  std::vector<std::string> warnings;
  const checkpoint source = checkpoint::open_latest(request.checkpoint, warnings);
  for (const std::string& warning : warnings)
    warn(warning);
  const token_format format = source.spec().data.tokens;
  const std::int64_t vocabulary = source.spec().model.vocabulary;
  std::vector<std::int32_t> history =
      format == token_format::bytes ? tokens_of_bytes(request.prompt) : tokens_of_ids(request.prompt, vocabulary);
  if (history.empty())
    throw spec_error("--prompt: found nothing, expected at least one token");
  generator model(source, find_family(source.spec().model.family));
  for (const std::int32_t token : history)
    print_token(token, format);
  for (std::uint64_t position = 0; position < request.tokens; ++position) {
    history.push_back(pick_token(model.next_logits(history), how, position));
    print_token(history.back(), format);
    expect_text_taken();
  }
  fmt::print("\n");
}

} // namespace

void add_generate_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("generate", "Writes text with the weights of a checkpoint.");
  command->footer(generate_examples);
  command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const auto request = std::make_shared<generate_request>();
  command->add_option("--checkpoint", request->checkpoint, "checkpoint directory, or one generation in it")
      ->type_name("DIR")
      ->required();
  command->add_option("--prompt", request->prompt, "what the model goes on from")->type_name("TEXT")->required();
  command->add_option("--tokens", request->tokens, "how many to write")->capture_default_str()->type_name("N");
  command->add_option("--temperature", request->how.temperature, "1: as learnt; lower: safer; 0: always the likeliest")
      ->capture_default_str()
      ->type_name("X");
  command->add_option("--top-k", request->how.top_k, "choose among the K likeliest; 0: among all")
      ->capture_default_str()
      ->type_name("K");
  command->add_option("--seed", request->how.seed, "of the choices")->capture_default_str()->type_name("S");
  command->callback([request] { generate(*request); });
}

} // namespace troupe
