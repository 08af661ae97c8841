// What a node proves itself with: its certificate and key, and the job's CA, read from the folder that --tls names.
// `troupe certs` makes such folders (runtime/tls/certificate_folder.hpp).
#pragma once

#include <filesystem>
#include <memory>

struct ssl_ctx_st; // OpenSSL's SSL_CTX

namespace troupe {

/// Cheap to copy; may be used by several threads at once.
class tls_identity {
public:
  /// Reads DIRECTORY/ca.pem, node.pem and node.key. Throws security_error that names the file and what is wrong with
  /// it: missing or not PEM, a key that others can read or that belongs to another certificate, a certificate that is
  /// not valid now, not signed by the CA, or not for both ends of a connection.
  static tls_identity load(const std::filesystem::path& directory);

  /// TLS 1.3 only, both sides verified, no resumption. For tls_session.
  ssl_ctx_st* context() const { return context_.get(); }

private:
  explicit tls_identity(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}

  std::shared_ptr<ssl_ctx_st> context_;
};

} // namespace troupe
