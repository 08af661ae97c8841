#include "cli/certs_command.hpp"

#include "model/error.hpp"
#include "runtime/network_address.hpp"
#include "runtime/tls/certificate_folder.hpp"

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>

namespace troupe {

namespace {

struct certs_request {
  std::string directory;
  std::string hosts;
  int days = certificate_order{}.days;
};

constexpr int most_days = 3650;

constexpr const char* explanation =
    R"(Makes the certificates with which the hosts of a job know each other.
A job has a CA of its own, and each of its hosts, the one of `troupe train` among them, has a certificate that the
CA has signed. Only who has one may take part, and a host is only believed to be the one in its certificate: name
hosts as --workers and --listen will, by address or by name.)";

constexpr const char* certs_examples = R"(Makes:
  DIR/ca.pem, DIR/ca.key   the CA. With ca.key anyone can add hosts: it stays here
  DIR/HOST/                ca.pem, node.pem and node.key of one host: copy the folder there, give it as --tls

Run again with other hosts, it adds them to the job. Nothing is ever overwritten. To shut a host out, make a new
CA in a new directory.

Examples:
  troupe certs job/ --hosts 10.0.0.1,10.0.0.2,trainer
  scp -r job/10.0.0.1 10.0.0.1:tls
  troupe certs job/ --hosts 10.0.0.3                 one more, with the same CA
  troupe certs short/ --hosts a,b --days 2           for a job that is over by then)";

/// `host` as scp takes it before the colon.
std::string remote(const std::string& host) {
  return host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
}

void make(const certs_request& request) {
  if (request.days < 1 || request.days > most_days)
    throw spec_error(fmt::format("--days: found {}, expected 1 to {}", request.days, most_days));
  const certificate_order order = {.directory = request.directory,
                                   .hosts = parse_hosts(request.hosts, "--hosts"),
                                   .days = request.days,
                                   .now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())};
  const certificate_delivery delivery = make_certificates(order);
  if (delivery.new_authority)
    fmt::print("{}  the job's new CA\n{}  its key: stays here, and is needed only to add hosts\n",
               (order.directory / authority_file).string(), (order.directory / authority_key_file).string());
  for (const auto& folder : delivery.folders)
    fmt::print("{}  ca.pem, node.pem, node.key, until {:%Y-%m-%d %H:%M} UTC\n", folder.string(),
               fmt::gmtime(delivery.until));
  fmt::print("Copy each folder to its host, and give it to troupe there as --tls:\n");
  for (std::size_t i = 0; i < order.hosts.size(); ++i)
    fmt::print("  scp -r {} {}:tls\n", delivery.folders[i].string(), remote(order.hosts[i]));
}

} // namespace

void add_certs_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("certs", explanation);
  command->footer(certs_examples);
  command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const auto request = std::make_shared<certs_request>();
  command->add_option("directory", request->directory, "where the CA is, or is to be")->type_name("DIR")->required();
  command->add_option("--hosts", request->hosts, "names or addresses, separated by commas")
      ->type_name("HOST,...")
      ->required();
  command->add_option("--days", request->days, "how long the certificates count; no longer than the CA there is")
      ->capture_default_str()
      ->type_name("N");
  command->callback([request] { make(*request); });
}

} // namespace troupe
