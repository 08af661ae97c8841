// When a silent peer is lost, and how often we say something ourselves.
#include "runtime/network/liveness.hpp"

#include <catch2/catch.hpp>

using namespace troupe;

namespace {

/// Looks as often as it is asked to, from `now` until the peer is lost.
double lost_at(liveness& alive, double now) {
  while (!alive.look(now).lost)
    now += alive.until_next_look(now);
  return now;
}

/// Heartbeats that leave in `seconds` in which we say nothing else and the peer talks all the time, and the longest
/// time between two of them.
struct own_voice {
  int heartbeats = 0;
  double longest_silence = 0.0;
};
own_voice voice_in(liveness& alive, double seconds) {
  own_voice heard;
  double said = 0.0;
  for (double now = 0.0; now < seconds; now += alive.until_next_look(now)) {
    alive.heard(now);
    if (!alive.look(now).heartbeat_due)
      continue;
    ++heard.heartbeats;
    heard.longest_silence = std::max(heard.longest_silence, now - said);
    alive.said(said = now);
  }
  return heard;
}

} // namespace

TEST_CASE("a silent peer is lost when its time is up, whoever else looks how often", "[network]") {
  for (const bool agreed : {false, true})
    for (const double timeout : {0.2, 0.5, 5.0, 60.0}) {
      INFO("timeout " << timeout << (agreed ? ", agreed" : ""));
      liveness alive(timeout, 10.0);
      if (agreed)
        alive.agree();
      alive.heard(10.7);
      const double lost = lost_at(alive, 10.7);
      CHECK(lost > 10.7 + timeout);
      CHECK(lost < 10.7 + timeout + 0.01);
    }
}

TEST_CASE("until a peer has agreed, heartbeats are frequent enough for the least timeout there is", "[network]") {
  liveness alive(5.0, 0.0);
  CHECK(voice_in(alive, 5.0).longest_silence < liveness::least_timeout / 2);
}

TEST_CASE("a peer that has agreed hears us eight times in the timeout, and not much more often", "[network]") {
  for (const double timeout : {1.0, 5.0, 60.0}) {
    INFO("timeout " << timeout);
    liveness alive(timeout, 0.0);
    alive.agree();
    const own_voice voice = voice_in(alive, timeout);
    CHECK(voice.longest_silence <= timeout / 8);
    CHECK(voice.heartbeats <= 12);
  }
}

TEST_CASE("who was stopped himself gives the peer its time again", "[network]") {
  liveness alive(5.0, 0.0);
  CHECK_FALSE(alive.look(100.0).lost);
  CHECK(lost_at(alive, 100.0) < 105.0 + 0.01);
}
