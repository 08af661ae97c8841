// RunSpec, the plain struct, to and from its protobuf message. Only runtime's own .cpp files include this.
#pragma once

#include "runtime/run_spec.hpp"

namespace troupe::proto {
class RunSpec;
}

namespace troupe {

/// Fills `out` with every field of `spec`.
void to_message(const run_spec& spec, proto::RunSpec& out);

/// The struct for a message that has every field. Throws spec_error when a choice ("data.tokens", "pipeline.recompute")
/// is none of its words, listing them.
run_spec from_message(const proto::RunSpec& message);
/// The same for a message of a file that an older version may have written: a field that it lacks has its default.
run_spec from_older_message(const proto::RunSpec& message);

} // namespace troupe
