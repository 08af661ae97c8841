#include "runtime/schedule/xml_text.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace troupe {

namespace {

/// How many bytes a character has whose first one is `lead`; 0: none begins so.
std::size_t length_after(unsigned char lead) {
  if (lead < 0x80)
    return 1;
  if (lead >= 0xc2 && lead < 0xe0)
    return 2;
  if (lead >= 0xe0 && lead < 0xf0)
    return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

/// Characters of several bytes: those of XML 1.0, section 2.2, that are no control characters.
bool allowed(std::uint32_t code) {
  return (code >= 0xa0 && code < 0xd800) || (code >= 0xe000 && code < 0xfffe) || (code >= 0x10000 && code < 0x110000);
}

/// The character at the front of `text`; a single byte that is no character otherwise.
std::string_view front_character(std::string_view text) {
  constexpr std::array<std::uint32_t, 5> smallest_of{0, 0, 0x80, 0x800,
                                                     0x10000}; // by length: a longer form of less is invalid
  const std::size_t length = length_after(static_cast<unsigned char>(text.front()));
  if (length < 2 || length > text.size())
    return text.substr(0, 1);
  std::uint32_t code = static_cast<unsigned char>(text.front()) & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0U) != 0x80U)
      return text.substr(0, 1);
    code = code << 6U | (byte & 0x3fU);
  }
  return code >= smallest_of[length] && allowed(code) ? text.substr(0, length) : text.substr(0, 1);
}

std::string_view escaped(std::string_view character) {
  if (character.size() > 1)
    return character;
  switch (character.front()) {
  case '&':
    return "&amp;";
  case '<':
    return "&lt;";
  case '>':
    return "&gt;";
  case '"':
    return "&quot;";
  case '\'':
    return "&#39;";
  default:
    return character.front() >= 0x20 && character.front() < 0x7f ? character : "?";
  }
}

} // namespace

std::string xml_text(std::string_view text, std::size_t longest) {
  std::vector<std::string_view> characters;
  for (std::string_view rest = text; !rest.empty();) {
    characters.push_back(escaped(front_character(rest)));
    rest.remove_prefix(front_character(rest).size());
  }
  constexpr std::string_view dots = "...";
  std::string result;
  std::size_t first = 0;
  if (characters.size() > longest) {
    result = dots;
    first = characters.size() - (longest > dots.size() ? longest - dots.size() : 0);
  }
  for (std::size_t i = first; i < characters.size(); ++i)
    result += characters[i];
  return result;
}

} // namespace troupe
