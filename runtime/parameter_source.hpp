// Where a resumed run gets its parameters from, whichever process it runs in.
#pragma once

#include "model/tensor.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace troupe {

/// The state of a run after some steps, parameter by parameter.
class parameter_source {
public:
  virtual ~parameter_source() = default;

  virtual std::uint64_t steps_done() const = 0;
  /// Reads value and optimizer state of one parameter into tensors that have its shape; with no `state`, the value
  /// alone. Throws checkpoint_error when it is missing or a shape differs; both shapes are named.
  virtual void read(const std::string& parameter, tensor& value, std::span<tensor> state) const = 0;
  /// Whether it has the parameter; who has a whole model has all.
  virtual bool holds(const std::string& /*parameter*/) const { return true; }
  /// Whether it has all of the model, and so what other ranks would have to send.
  virtual bool is_whole() const { return true; }

protected:
  parameter_source() = default;
  parameter_source(const parameter_source&) = default;
  parameter_source(parameter_source&&) = default;
  parameter_source& operator=(const parameter_source&) = default;
  parameter_source& operator=(parameter_source&&) = default;
};

/// Copies one tensor of a parameter. Throws checkpoint_error that begins with `name` when the shapes differ.
void copy_parameter(const std::string& name, const tensor& from, tensor& to);

} // namespace troupe
