#include "actors/network/remote_parameters.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

namespace troupe {

void remote_parameters::read(const std::string& parameter, tensor& value, std::span<tensor> state) const {
  std::future<parameter_answer> coming;
  parameter_request request{.number = 0, .name = parameter, .states = static_cast<std::uint32_t>(state.size())};
  {
    const std::lock_guard lock(mutex_);
    if (given_up_)
      throw checkpoint_error(parameter + ": found no coordinator to read it, expected the one that assigned this rank");
    request.number = next_++;
    coming = awaited_[request.number].get_future();
  }
  say(coordinator_, std::move(request));
  const parameter_answer answer = coming.get();
  if (!answer.problem.empty())
    throw checkpoint_error(answer.problem);
  if (answer.tensors.size() != 1 + state.size())
    throw checkpoint_error(fmt::format("{}: found {} tensors, expected the value and {} of optimizer state", parameter,
                                       answer.tensors.size(), state.size()));
  copy_parameter(parameter, answer.tensors.front(), value);
  for (std::size_t index = 0; index < state.size(); ++index)
    copy_parameter(parameter, answer.tensors[index + 1], state[index]);
}

void remote_parameters::take(const parameter_answer& in) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = awaited_.extract(in.number))
    std::move(found.mapped()).set_value(in);
}

void remote_parameters::give_up() const {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  for (auto& [number, one] : awaited_)
    one.set_value({.number = number, .tensors = {}, .problem = "the coordinator was lost while it read a checkpoint"});
  awaited_.clear();
}

} // namespace troupe
