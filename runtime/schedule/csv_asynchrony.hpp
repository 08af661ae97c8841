// The first line of an asynchronous schedule's CSV file: "#asynchronous update_every=8 lag=8/8 ahead=1/0".
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// The line, with its line break.
std::string to_csv_line(const asynchrony& rule);

/// Reads the line; nothing when `line` is not a comment, that is, when it begins with anything but '#'. `name` stands
/// in error messages. Throws spec_error when it is a comment but not this one, saying what was found and expected.
std::optional<asynchrony> parse_csv_line(std::string_view line, const std::string& name);

} // namespace troupe
