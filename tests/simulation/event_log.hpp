// What happened, event by event: a hash over all of it, and, when asked for, text.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

namespace troupe::test {

class event_log {
public:
  /// `out`: where the text goes; null: nowhere.
  explicit event_log(std::FILE* out = nullptr) : out_(out) {}

  bool verbose() const { return out_ != nullptr; }
  std::uint64_t hash() const { return hash_; }

  /// A number that must be the same whenever the seed is run. FNV-1a, a word at a time.
  void note(std::uint64_t number) {
    constexpr std::uint64_t prime = 0x100000001b3;
    hash_ = (hash_ ^ number) * prime;
  }
  void note(std::string_view text) {
    for (const char one : text)
      note(static_cast<std::uint64_t>(static_cast<unsigned char>(one)));
  }

  template <class... Values>
  void say(fmt::format_string<Values...> format, Values&&... values) {
    if (out_ != nullptr)
      fmt::print(out_, "{}\n", fmt::format(format, std::forward<Values>(values)...));
  }

private:
  std::FILE* out_;
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

} // namespace troupe::test
