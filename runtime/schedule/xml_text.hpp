// Text of unknown origin, such as a file's name, made fit to stand in XML.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace troupe {

/// Valid UTF-8 that reads as `text` between tags and in attributes. Bytes that are not UTF-8 and characters that XML
/// does not allow become '?'. At most `longest` characters: of a longer text the end, after "...".
std::string xml_text(std::string_view text, std::size_t longest = 100);

} // namespace troupe
