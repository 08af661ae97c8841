// Files whose owner alone may decide what is in them, or see it: certificates and keys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe {

/// Reads a key. Throws security_error that names the file if it cannot be read, or others can read or change it.
std::string read_key_file(const std::filesystem::path& path);
/// Reads a certificate. Throws security_error that names the file if it cannot be read, or everyone can change it.
std::string read_certificate_file(const std::filesystem::path& path);

/// Who may read a new file; the user's umask may allow fewer.
enum class file_access : std::uint8_t { owner, everyone };
/// Writes a file through to the disk. Throws spec_error if that cannot be done, or one of that name is there.
void write_new_file(const std::filesystem::path& path, const std::string& content, file_access readable_by);

} // namespace troupe
