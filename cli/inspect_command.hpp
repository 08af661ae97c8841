// `troupe inspect`: what is in a file that Troupe reads or writes.
#pragma once

namespace CLI {
class App;
}

namespace troupe {

void add_inspect_command(CLI::App& program);

} // namespace troupe
