// When a run counts as stalled, so that messages may have got lost. A run that only computes for long, or whose links
// are slow, is taken for stalled now and then, too: it does no harm but the traffic, which is why the patience grows.
// It grows far, and shrinks only with looks that found something new: where sending all again takes longer than the
// patience, the links would never be through with it otherwise. It shrinks faster than it grows: in a run that loses
// messages all the time every second look is in vain.
#pragma once

#include <algorithm>
#include <cstdint>

namespace troupe {

class stall_watch {
public:
  /// Seconds to the next look. `longest_step`: seconds of the longest step so far.
  double patience(double longest_step) const {
    constexpr double shortest = 0.5;
    constexpr double longest = 3600.0; // or more if steps are long
    constexpr double steps = 4.0;
    const double least = std::max(shortest, steps * longest_step);
    return std::min(least * static_cast<double>(std::uint64_t{1} << vain_), std::max(least, longest));
  }

  /// Whether nothing has happened since the last look. `progress` grows with all that does.
  bool stalled_at(std::uint64_t progress) {
    constexpr unsigned most = 20; // beyond the longest patience
    stalled_ = seen_ == progress;
    constexpr unsigned redeemed = 2;
    vain_ = stalled_ ? std::min(vain_ + 1, most) : std::max(vain_, redeemed) - redeemed;
    seen_ = progress;
    return stalled_;
  }

  /// Between two looks: whether it was at the last one, and nothing has happened since.
  bool still_stalled(std::uint64_t progress) const { return stalled_ && seen_ == progress; }

private:
  std::uint64_t seen_ = 0;
  bool stalled_ = false; ///< at the last look
  unsigned vain_ = 0;    ///< looks that found nothing new, less twice those that did
};

} // namespace troupe
