// What the program says on standard output and standard error, and what becomes of it where these are closed or full.
#pragma once

#include <string>

namespace troupe {

/// For messages that quote files, arguments and peers: whatever these hold, it stays one line and moves no cursor.
std::string one_line(std::string text);

/// A stream that was closed when the program began is kept from being the next file's, which would get what is said.
/// Comes first.
void hold_standard_streams();

/// Writes to standard output at once. Throws output_error naming the system's reason.
void put_text(const std::string& text);

/// Throws output_error when standard output has not taken all that was written there.
void expect_text_taken();

/// Writes to standard error. Never throws: where nobody can be told, there is nobody to tell that.
void put_notice(const std::string& text);

/// How a line begins that says what is wrong while the program goes on.
std::string warning_line(const std::string& message);

/// A warning's line on standard error, as of complain.
void warn(const std::string& message);

/// An error's line on standard error, after all that went to standard output.
void complain(const std::string& message);

} // namespace troupe
