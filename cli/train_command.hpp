// `troupe train`: from flags to a run.
#pragma once

namespace CLI {
class App;
}

namespace troupe {

void add_train_command(CLI::App& program);

} // namespace troupe
