// The median of numbers that come one after the other, for runs too long to sort them all at each step.
#pragma once

#include <functional>
#include <queue>
#include <vector>

namespace troupe {

/// Adding takes O(log n); all numbers are kept.
class running_median {
public:
  void add(double value) {
    lower_.push(value);
    upper_.push(lower_.top());
    lower_.pop();
    if (upper_.size() > lower_.size()) {
      lower_.push(upper_.top());
      upper_.pop();
    }
  }

  /// Of an even number of values the lower middle one. At least one was added.
  double value() const { return lower_.top(); }

private:
  std::priority_queue<double> lower_; ///< as many as upper_, or one more
  std::priority_queue<double, std::vector<double>, std::greater<>> upper_;
};

} // namespace troupe
