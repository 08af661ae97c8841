#include "tests/simulation/simulated_wire.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace troupe::test {

namespace {

std::size_t part_of(std::size_t whole, double part) {
  return std::min(whole, static_cast<std::size_t>(std::ceil(static_cast<double>(whole) * part)));
}

} // namespace

class simulated_wire::scribe : public caf::io::scribe {
public:
  scribe(simulated_wire* wire, caf::io::network::multiplexer* caf, int end)
      : caf::io::scribe(caf::io::connection_handle::from_int(end)), wire_(wire), caf_(caf), end_(end) {}

  void configure_read(caf::io::receive_policy::config how) override { here().read_at_most = how.second; }
  void ack_writes(bool /*enable*/) override {}
  std::vector<char>& wr_buf() override { return here().to_send; }
  std::vector<char>& rd_buf() override { return here().read_buffer; }
  void flush() override {}
  void graceful_shutdown() override {
    wire_->close_end(end_);
    detach(caf_, false);
  }
  void add_to_loop() override {}
  void remove_from_loop() override {}
  std::string addr() const override { return "simulated"; }
  std::uint16_t port() const override { return 0; }

private:
  wire_end& here() { return wire_->ends_.at(end_); }

  simulated_wire* wire_;
  caf::io::network::multiplexer* caf_;
  int end_;
};

class simulated_wire::doorman : public caf::io::doorman {
public:
  doorman(simulated_wire* wire, caf::io::network::multiplexer* caf, std::uint16_t port)
      : caf::io::doorman(caf::io::accept_handle::from_int(port)), wire_(wire), caf_(caf), port_(port) {}

  bool new_connection() override {
    std::vector<int>& waiting = wire_->doors_.at(port_).waiting;
    const int end = waiting.front();
    waiting.erase(waiting.begin());
    parent()->add_scribe(wire_->take(*caf_, end));
    return caf::io::doorman::new_connection(caf_, caf::io::connection_handle::from_int(end));
  }
  void launch() override {}
  void graceful_shutdown() override {
    wire_->close(port_);
    detach(caf_, false);
  }
  void add_to_loop() override {}
  void remove_from_loop() override {}
  std::string addr() const override { return "simulated"; }
  std::uint16_t port() const override { return port_; }

private:
  simulated_wire* wire_;
  caf::io::network::multiplexer* caf_;
  std::uint16_t port_;
};

caf::io::doorman_ptr simulated_wire::open(caf::io::network::multiplexer& caf, std::uint16_t port) {
  door& opened = doors_[port];
  opened = {caf::make_counted<doorman>(this, &caf, port), running, {}};
  return opened.doorman;
}

std::optional<int> simulated_wire::connect(std::uint16_t port) {
  const auto found = doors_.find(port);
  if (found == doors_.end())
    return std::nullopt;
  const int here = next_++;
  const int there = next_++;
  ends_[here].owner = running;
  ends_[here].peer = there;
  ends_[there].owner = found->second.owner;
  ends_[there].peer = here;
  found->second.waiting.push_back(there);
  return here;
}

caf::io::scribe_ptr simulated_wire::take(caf::io::network::multiplexer& caf, int end) {
  wire_end& taken = ends_.at(end);
  taken.scribe = caf::make_counted<scribe>(this, &caf, end);
  return taken.scribe;
}

std::vector<simulated_wire::possible> simulated_wire::possible_acts(double now) const {
  std::vector<possible> found;
  for (const auto& [port, where] : doors_)
    if (!where.waiting.empty() && !where.doorman->detached()) // else its listener has not begun yet
      found.push_back({act::accept, where.waiting.front(), where.owner});
  for (const auto& [number, one] : ends_) {
    if (one.closed || !one.scribe)
      continue;
    if (!one.to_send.empty())
      found.push_back({act::send, number, one.owner});
    if (one.read_at_most == 0 || now < one.silent_until)
      continue;
    if (!one.arriving.empty())
      found.push_back({act::arrive, number, one.owner});
    else if (one.ends && !one.told)
      found.push_back({act::tell_end, number, one.owner});
  }
  return found;
}

void simulated_wire::happen(caf::io::network::multiplexer& caf, const possible& what, double part) {
  if (what.what == act::accept) {
    for (auto& [port, where] : doors_)
      if (!where.waiting.empty() && where.waiting.front() == what.end) {
        const caf::io::doorman_ptr kept = where.doorman;
        kept->new_connection();
        return;
      }
    return;
  }
  wire_end& one = ends_.at(what.end);
  const caf::io::scribe_ptr kept = one.scribe; // its broker may let go of it meanwhile
  if (what.what == act::send) {
    const auto size = static_cast<std::ptrdiff_t>(part_of(one.to_send.size(), part));
    wire_end& there = ends_.at(one.peer);
    if (!there.closed && !there.ends)
      there.arriving.insert(there.arriving.end(), one.to_send.begin(), one.to_send.begin() + size);
    one.to_send.erase(one.to_send.begin(), one.to_send.begin() + size);
    moved_ += static_cast<std::uint64_t>(size);
    kept->data_transferred(&caf, static_cast<std::size_t>(size), one.to_send.size());
  } else if (what.what == act::arrive) {
    const std::size_t size = std::min(part_of(one.arriving.size(), part), one.read_at_most);
    one.read_buffer.assign(one.arriving.begin(), one.arriving.begin() + static_cast<std::ptrdiff_t>(size));
    one.arriving.erase(one.arriving.begin(), one.arriving.begin() + static_cast<std::ptrdiff_t>(size));
    kept->consume(&caf, one.read_buffer.data(), size);
  } else {
    one.told = true;
    if (caf::io::abstract_broker* const broker = kept->parent(); broker != nullptr)
      broker->context(&caf);
    close_end(what.end);
    kept->io_failure(&caf, caf::io::network::operation::read);
  }
}

void simulated_wire::break_at(int end, double part) {
  for (const int number : {end, ends_.at(end).peer}) {
    wire_end& one = ends_.at(number);
    one.arriving.resize(part_of(one.arriving.size(), part));
    one.ends = true;
  }
}

void simulated_wire::close_end(int end) {
  wire_end& one = ends_.at(end);
  if (std::exchange(one.closed, true))
    return;
  one.scribe = nullptr;
  one.to_send.clear();
  one.arriving.clear();
  ends_.at(one.peer).ends = true;
}

void simulated_wire::end_process(process_number who, bool told) {
  std::erase_if(doors_, [&](const auto& one) { return one.second.owner == who; });
  for (auto& [number, one] : ends_) {
    if (one.owner != who || one.closed)
      continue;
    if (told) {
      close_end(number);
    } else {
      one.closed = true;
      one.scribe = nullptr;
    }
  }
}

void simulated_wire::forget() {
  doors_.clear();
  for (auto& [number, one] : ends_)
    one.scribe = nullptr;
}

} // namespace troupe::test
