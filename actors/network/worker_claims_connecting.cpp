// The part of worker_claims that connects to workers, at first and when they are to come back.
#include "actors/network/peers.hpp"
#include "actors/network/worker_claims.hpp"
#include "runtime/network/fingerprint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <unistd.h>

namespace troupe {

/// In the order of their addresses, whatever the user's: of two runs that want the same workers at once, one is refused
/// by the first of them that the other one has, and takes none that comes later.
void worker_claims::claim() {
  for (std::uint32_t index = 0; index < members_.size(); ++index)
    unclaimed_.push_back(index);
  std::ranges::sort(unclaimed_, {}, [this](std::uint32_t index) { return to_string(members_[index].address); });
  claim_next();
}

/// When some may be away, all at once, so that they are not waited for one after another.
void worker_claims::claim_next() {
  do {
    if (unclaimed_.empty())
      return;
    connect(unclaimed_.front());
    unclaimed_.pop_front();
  } while (how_.missing == missing_rule::left_out);
}

void worker_claims::connect(std::uint32_t index) {
  const network_address& address = members_[index].address;
  std::function<network_address()> find;
  if (running_ && how_.replace)
    find = [replace = how_.replace, address] { return replace(address); };
  how_.outside.connect(self_->system(),
                       connector_setup{.owner = caf::actor(self_),
                                       .number = index,
                                       .address = address,
                                       .find = std::move(find),
                                       .seconds = how_.missing == missing_rule::left_out
                                                      ? std::min(how_.connect_timeout, how_.peer_timeout)
                                                      : how_.connect_timeout,
                                       .given_up = given_up_});
  ++connecting_;
}

void worker_claims::connected(const peer_connected& in) {
  --connecting_;
  if (leaving_) {
    ::close(in.socket);
    return tell_when_left();
  }
  member& one = members_[in.number];
  one.address = in.address;
  one.link = spawn_link(self_->system(), in.socket,
                        link_setup{.owner = caf::actor(self_),
                                   .tls = how_.tls,
                                   .side = tls_side::client,
                                   .expected_host = one.address.host,
                                   .peer_timeout = how_.peer_timeout,
                                   .clock = how_.outside.clock});
}

/// While the run goes on there is no end to looking for a lost worker.
void worker_claims::failed(const connecting_failed& in) {
  --connecting_;
  if (!leaving_ && running_)
    return connect(in.number);
  lose_before_start(members_[in.number], error_kind::run,
                    fmt::format("{} {}", name_of_member(members_[in.number]), in.reason));
  tell_when_left();
}

void worker_claims::ready(const link_ready& in) {
  if (const member* one = find(in.link); one != nullptr)
    say(in.link, hello{.protocol = wire_protocol,
                       .version = TROUPE_VERSION,
                       .role = peer_role::coordinator,
                       .run = run_,
                       .arithmetic = fingerprint_here(setup_->spec.pipeline.threads_per_stage)});
}

} // namespace troupe
