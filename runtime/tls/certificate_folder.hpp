// The folder that `troupe certs` makes: the job's CA, and in it a folder for each host, to be copied there.
#pragma once

#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe {

/// The files of a host's folder, which is what tls_identity::load reads.
inline constexpr const char* authority_file = "ca.pem";
inline constexpr const char* certificate_file = "node.pem";
inline constexpr const char* key_file = "node.key";
/// In the folder above only: whoever has it can make certificates.
inline constexpr const char* authority_key_file = "ca.key";

struct certificate_order {
  std::filesystem::path directory;
  std::vector<std::string> hosts; ///< as parse_host gives them, each once
  int days = 30;                  ///< that a new CA and the certificates count; no longer than the CA there is
  std::time_t now = 0;            ///< seconds since 1970
};

struct certificate_delivery {
  bool new_authority = false;
  std::vector<std::filesystem::path> folders; ///< one for each host of the order
  std::time_t until = 0;                      ///< when their certificates end, in seconds since 1970
};

/// Makes DIRECTORY/ca.pem and ca.key, unless they are there, and DIRECTORY/HOST/ with its three files for each host. A
/// host's folder is there whole or not at all, and keys are for the owner's eyes from their first byte on.
/// Throws spec_error, before anything is written, if a host has its folder already or only half of the CA is there;
/// security_error if the CA is damaged, its time is over, or others can read its key.
certificate_delivery make_certificates(const certificate_order& order);

} // namespace troupe
