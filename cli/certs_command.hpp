// `troupe certs`: the certificates with which the hosts of a job know each other.
#pragma once

namespace CLI {
class App;
}

namespace troupe {

void add_certs_command(CLI::App& program);

} // namespace troupe
