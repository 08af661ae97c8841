// A whole run without actors: the state machines of scheduler and ranks, joined by a queue.
#pragma once

#include "runtime/run_options.hpp"
#include "runtime/stage_runner.hpp"
#include "runtime/step_coordinator.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace troupe::test {

class direct_drive {
public:
  direct_drive(const run_spec& spec, const data_source& data)
      : spec_(spec), pipeline_(make_plan(spec_, find_family(spec.model.family))) {
    const auto still = [] { return 0.0; };
    for (std::uint32_t rank = 0; rank < pipeline_.ranks(); ++rank)
      ranks_.push_back(std::make_unique<stage_runner>(
          rank_setup{&spec_, &find_family(spec_.model.family), &pipeline_, nullptr, rank, {}, still}));
    coordinator_.emplace(coordinator_setup{&spec_, &pipeline_, &data, 0, still});
  }

  /// Runs to the end; `after_event` sees the drive after each message.
  void run(const std::function<void()>& after_event = [] {}) {
    for (const auto& rank : ranks_)
      post(coordinator_->accept(rank->ready()));
    while (!queue_.empty() || std::ranges::any_of(ranks_, [](const auto& rank) { return rank->can_run(); })) {
      if (!queue_.empty()) {
        const auto next = std::move(queue_.front());
        queue_.pop_front();
        next();
      }
      for (const auto& rank : ranks_)
        if (rank->can_run())
          for (rank_output& output : rank->run_next())
            post(std::move(output));
      after_event();
    }
  }

  /// Stands for the store; see say().
  void on_snapshot(std::function<void(const rank_snapshot&)> act) { on_snapshot_ = std::move(act); }
  /// To the scheduler.
  template <class Message>
  void say(const Message& message) {
    queue_.emplace_back([this, message] { post(coordinator_->accept(message)); });
  }
  void interrupt() { coordinator_->interrupt(); }

  stage_runner& rank(std::uint32_t index) { return *ranks_[index]; }
  const plan& pipeline() const { return pipeline_; }
  const std::optional<run_closed>& end() const { return end_; }
  const std::vector<step_closed>& closed() const { return closed_; }

private:
  void post(coordinator_outputs outputs) {
    for (coordinator_output& output : outputs)
      if (auto* order = std::get_if<rank_order>(&output))
        queue_.emplace_back([this, order = std::move(*order)] {
          std::visit([&](const auto& message) { ranks_[message.target_rank]->accept(message); }, order.what);
        });
      else if (auto* closed = std::get_if<step_closed>(&output))
        closed_.push_back(*closed);
      else if (auto* ended = std::get_if<run_closed>(&output))
        end_ = *ended;
  }

  void post(rank_output&& output) {
    std::visit(
        [&](auto&& message) {
          using type = std::decay_t<decltype(message)>;
          if constexpr (requires { message.via; })
            queue_.emplace_back([this, message] { ranks_[message.via.target_rank]->accept(message); });
          else if constexpr (std::is_same_v<type, rank_snapshot>)
            queue_.emplace_back([this, message] {
              on_snapshot_(message);
              post(coordinator_->accept(snapshot_kept{message.rank, message.source_incarnation, message.steps_done}));
            });
          else if constexpr (!std::is_same_v<type, slice_batch>)
            queue_.emplace_back([this, message] { post(coordinator_->accept(message)); });
        },
        std::move(output));
  }

  run_spec spec_;
  plan pipeline_;
  std::vector<std::unique_ptr<stage_runner>> ranks_;
  std::optional<step_coordinator> coordinator_;
  std::deque<std::function<void()>> queue_;
  std::vector<step_closed> closed_;
  std::optional<run_closed> end_;
  std::function<void(const rank_snapshot&)> on_snapshot_ = [](const rank_snapshot&) {};
};

} // namespace troupe::test
