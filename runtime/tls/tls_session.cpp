#include "runtime/tls/tls_session.hpp"

#include "model/error.hpp"
#include "runtime/network_address.hpp"
#include "runtime/tls/openssl.hpp"
#include "runtime/tls/tls_failure.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace troupe {

namespace {

using ssl_owner = openssl_owner<SSL, &SSL_free>;
using method_owner = openssl_owner<BIO_METHOD, &BIO_meth_free>;

constexpr std::size_t largest_record = SSL3_RT_MAX_PLAIN_LENGTH; ///< bytes, before encryption

/// What OpenSSL takes for a socket: it reads from the caller's bytes and writes to the end of the caller's vector, so
/// that nothing is copied on the way. Bound to both during a call only.
struct caller_bytes {
  std::span<const char> incoming;
  std::vector<char>* outgoing = nullptr;
  bool out_of_memory = false; ///< no exception may pass through OpenSSL
};

int read_incoming(BIO* bio, char* out, std::size_t size, std::size_t* count) {
  std::span<const char>& incoming = static_cast<caller_bytes*>(BIO_get_data(bio))->incoming;
  BIO_clear_retry_flags(bio);
  *count = std::min(size, incoming.size());
  if (*count == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(out, incoming.data(), *count);
  incoming = incoming.subspan(*count);
  return 1;
}

int write_outgoing(BIO* bio, const char* bytes, std::size_t size, std::size_t* count) {
  auto* ends = static_cast<caller_bytes*>(BIO_get_data(bio));
  try {
    ends->outgoing->insert(ends->outgoing->end(), bytes, bytes + size);
  } catch (const std::bad_alloc&) {
    ends->out_of_memory = true;
    return 0;
  }
  *count = size;
  return 1;
}

long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* caller_bytes_method() {
  static const method_owner method = [] {
    method_owner made(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes of the caller"));
    expect_done(made && BIO_meth_set_read_ex(made.get(), &read_incoming) == 1 &&
                    BIO_meth_set_write_ex(made.get(), &write_outgoing) == 1 &&
                    BIO_meth_set_ctrl(made.get(), &control) == 1,
                "TLS");
    return made;
  }();
  return method.get();
}

/// The fault that OpenSSL has found is kept, to be put into words once out of its hands.
int on_verified(int valid, X509_STORE_CTX* verification) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* refused = static_cast<refused_certificate*>(SSL_get_app_data(ssl));
  X509* certificate = X509_STORE_CTX_get_current_cert(verification);
  if (valid == 0 && !refused->certificate && certificate != nullptr) {
    X509_up_ref(certificate);
    *refused = {.reason = X509_STORE_CTX_get_error(verification), .certificate = certificate_owner(certificate)};
  }
  return valid;
}

/// The server's certificate must name `host` in its subjectAltName, in full.
void expect_host(SSL& ssl, const std::string& host) {
  X509_VERIFY_PARAM* rules = SSL_get0_param(&ssl);
  X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const bool set = is_numeric(host) ? X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1
                                    : X509_VERIFY_PARAM_set1_host(rules, host.c_str(), host.size()) == 1;
  expect_done(set, "TLS host name");
}

} // namespace

struct tls_session::state {
  state() = default;
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  /// OpenSSL keeps memory for each thread, which for an actor's thread may outlive the program's own end (see
  /// digest.cpp).
  ~state() {
    ssl.reset();
    OPENSSL_thread_stop();
  }

  /// Throws why the session is of no more use.
  [[noreturn]] void fail();
  /// Binds the caller's bytes for the time of one call.
  template <typename Call>
  void with(std::span<const char> incoming, std::vector<char>& wire, const Call& call);
  void shake_hands();
  void read_records(std::vector<char>& plain);

  caller_bytes ends;
  refused_certificate refused;
  std::string expected_host;
  std::string failure;      ///< empty: none
  bool established = false; ///< ever
  bool closed_by_peer = false;
  std::uint64_t records_per_key = 0;
  std::uint64_t records_left = 0; ///< until the next key
  ssl_owner ssl;
};

void tls_session::state::fail() {
  failure = ends.out_of_memory
                ? "TLS: out of memory"
                : explain({.refused = refused, .expected_host = expected_host, .established = established});
  if (ends.out_of_memory)
    throw std::bad_alloc();
  throw security_error(failure);
}

template <typename Call>
void tls_session::state::with(std::span<const char> incoming, std::vector<char>& wire, const Call& call) {
  if (!failure.empty())
    throw security_error(failure);
  struct binding {
    binding(caller_bytes& bound, std::span<const char> bytes, std::vector<char>& out) : ends(bound) {
      ends.incoming = bytes;
      ends.outgoing = &out;
    }
    binding(const binding&) = delete;
    binding& operator=(const binding&) = delete;
    ~binding() { ends = {}; }
    caller_bytes& ends;
  };
  const binding bound(ends, incoming, wire);
  ERR_clear_error(); // SSL_get_error looks at the thread's queue, which others may have left filled
  call();
}

tls_session::tls_session(const tls_identity& identity, tls_side side, const std::string& expected_host,
                         std::uint64_t records_per_key)
    : state_(std::make_unique<state>()) {
  const bool client = side == tls_side::client;
  TROUPE_CHECK(client != expected_host.empty(), "the client, and only the client, expects a host");
  state_->expected_host = expected_host;
  state_->records_per_key = state_->records_left = records_per_key;
  state_->ssl.reset(SSL_new(identity.context()));
  bio_owner bio(BIO_new(caller_bytes_method()));
  expect_done(state_->ssl && bio, "TLS");
  SSL* ssl = state_->ssl.get();
  BIO_set_data(bio.get(), &state_->ends);
  BIO_set_init(bio.get(), 1);
  SSL_set_bio(ssl, bio.get(), bio.get());
  static_cast<void>(bio.release()); // the session's own now
  SSL_set_app_data(ssl, &state_->refused);
  SSL_set_verify(ssl, SSL_get_verify_mode(ssl), &on_verified);
  if (client) {
    expect_host(*ssl, expected_host);
    SSL_set_connect_state(ssl);
  } else {
    SSL_set_accept_state(ssl);
  }
}

tls_session::tls_session(tls_session&&) noexcept = default;
tls_session& tls_session::operator=(tls_session&&) noexcept = default;
tls_session::~tls_session() = default;

void tls_session::start(std::vector<char>& wire) {
  state_->with({}, wire, [this] { state_->shake_hands(); });
}

void tls_session::state::shake_hands() {
  const int done = SSL_do_handshake(ssl.get());
  established = done == 1;
  if (!established && SSL_get_error(ssl.get(), done) != SSL_ERROR_WANT_READ)
    fail();
}

void tls_session::receive(std::span<const char> bytes, std::vector<char>& plain, std::vector<char>& wire) {
  if (!state_->closed_by_peer)
    state_->with(bytes, wire, [&] { state_->read_records(plain); });
}

void tls_session::state::read_records(std::vector<char>& plain) {
  if (!established)
    shake_hands();
  while (established) {
    const std::size_t before = plain.size();
    std::size_t count = 0;
    plain.resize(before + largest_record);
    const int done = SSL_read_ex(ssl.get(), plain.data() + before, largest_record, &count);
    plain.resize(before + count);
    if (done == 1)
      continue;
    const int why = SSL_get_error(ssl.get(), done);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_ZERO_RETURN)
      fail();
    closed_by_peer = why == SSL_ERROR_ZERO_RETURN;
    return;
  }
}

void tls_session::send(std::span<const char> plain, std::vector<char>& wire) {
  TROUPE_CHECK(state_->established || !state_->failure.empty(), "data wait for the handshake");
  TROUPE_CHECK((SSL_get_shutdown(state_->ssl.get()) & SSL_SENT_SHUTDOWN) == 0, "nothing follows close");
  state_->with({}, wire, [&] {
    SSL* ssl = state_->ssl.get();
    while (!plain.empty()) {
      if (state_->records_left == 0) { // goes out before the next record
        expect_done(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1, "TLS key update");
        state_->records_left = state_->records_per_key;
      }
      const std::uint64_t records =
          std::min<std::uint64_t>(state_->records_left, (plain.size() + largest_record - 1) / largest_record);
      std::size_t count = 0;
      if (SSL_write_ex(ssl, plain.data(), std::min<std::size_t>(plain.size(), records * largest_record), &count) != 1)
        state_->fail();
      state_->records_left -= records;
      plain = plain.subspan(count);
    }
  });
}

void tls_session::close(std::vector<char>& wire) {
  if (!established())
    return;
  state_->with({}, wire, [this] {
    if (SSL_shutdown(state_->ssl.get()) < 0)
      state_->fail();
  });
}

bool tls_session::established() const {
  return state_->established && state_->failure.empty();
}

std::string tls_session::peer_name() const {
  const X509* certificate = established() ? SSL_get0_peer_certificate(state_->ssl.get()) : nullptr;
  if (certificate == nullptr)
    return {};
  const std::vector<std::string> hosts = hosts_of(*certificate);
  return hosts.empty() ? text_of(*X509_get_subject_name(certificate)) : hosts.front();
}

bool tls_session::closed_by_peer() const {
  return state_->closed_by_peer;
}

} // namespace troupe
