// `troupe generate`: text from a checkpoint.
#pragma once

namespace CLI {
class App;
}

namespace troupe {

void add_generate_command(CLI::App& program);

} // namespace troupe
