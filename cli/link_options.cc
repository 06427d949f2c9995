#include "cli/link_options.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "plans/printable.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/stripes.h"
#include "runtime/comm/tcp_socket.h"
#include "runtime/node/identity.h"
#include "runtime/world/wire.h"

namespace mrs::cli {
namespace {

// A socket as links have them: what it cannot have they cannot.
struct Tried {
  std::string note;  // as of TuneSocket
  std::string congestion;
};

Tried Try(const std::string& congestion) {
  const Fd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Tried tried;
  tried.note = TuneSocket(probe.get(), congestion);
  tried.congestion = CongestionOf(probe.get());
  return tried;
}

// Of NCCL's two variables, whose product is its count of connections between two hosts: what is set, and what that is.
std::optional<std::string> NcclNotice(const char* const* entries) {
  const Environment environment = EnvironmentOf(entries);
  std::string said;
  uint64_t product = 1;
  for (const char* name : {"NCCL_SOCKET_NTHREADS", "NCCL_NSOCKS_PERTHREAD"}) {
    const auto found = environment.find(name);
    if (found == environment.end()) continue;
    const std::optional<uint32_t> value = ReadNumber<uint32_t>(found->second, 1, 64);
    if (!value.has_value()) continue;
    said += fmt::format("{}{}={}", said.empty() ? "" : " and ", name, *value);
    product *= *value;
  }
  if (product == 1) return std::nullopt;
  const uint64_t most = kMaxStreams;
  return fmt::format(
      "{} {} for NCCL alone: for {}{} connections between two ranks of different hosts, give all nodes "
      "--cluster-streams {}",
      said, said.find(" and ") == std::string::npos ? "is" : "are", product > most ? "up to " : "",
      std::min(product, most), std::min(product, most));
}

}  // namespace

void LinkOptions::Register(CommandLine& line) {
  const char* group = "Several nodes";
  AddNumber<uint32_t>(line, line.app, "--cluster-streams", &streams, 1, kMaxStreams,
                      "Connections between two ranks of different hosts, over which large messages go side by side; "
                      "the same on all nodes. More pay where the network bounds each; --rehearse says the rates")
      ->default_str("1")
      ->group(group);
  AddChecked(
      line, line.app, "--cluster-congestion", "the name of a congestion control, of 1 to 15 bytes",
      "Of what this node's ranks send over TCP, by a name of sysctl net.ipv4.tcp_allowed_congestion_control [the "
      "kernel's; within a host reno]",
      [this](const std::string& text) {
        congestion = text;
        return !text.empty() && text.size() < wire::kMaxCongestionBytes;
      })
      ->group(group);
}

std::vector<std::string> LinkNotices(const LinkOptions& options, bool alone, const char* const* entries) {
  std::vector<std::string> notices;
  if (alone) {
    constexpr const char* kNothing = "does nothing here: all ranks of the plan are of one host";
    if (options.streams > 1) notices.push_back(fmt::format("--cluster-streams {} {}", options.streams, kNothing));
    if (!options.congestion.empty()) {
      notices.push_back(fmt::format("--cluster-congestion {} {}", Printable(options.congestion), kNothing));
    }
    return notices;
  }
  if (const std::string note = Try(options.congestion).note; !note.empty()) {
    notices.push_back(fmt::format("--cluster-congestion: {}", Printable(note)));
  }
  if (options.streams == 0) {
    if (const std::optional<std::string> notice = NcclNotice(entries)) notices.push_back(*notice);
  }
  return notices;
}

Status CheckRingLinks(const LinkOptions& options, bool by_file) {
  if (options.count() == 1) return Status();
  return Error{
      ErrorKind::kUsage,
      fmt::format("--cluster-streams {}: in a ring a rank has one connection to each neighbour; leave it out{}",
                  options.streams, by_file ? "" : ", or let all reach each other with --transport auto or tcp")};
}

std::string DescribeLinks(uint32_t streams, const std::string& congestion, bool ring) {
  const std::string used = Try(congestion).congestion;
  return fmt::format("links         {} between {}, congestion control {}{}\n",
                     streams == 1 ? "one stream" : fmt::format("{} streams", streams),
                     ring ? "neighbours" : "ranks of different hosts", Printable(used),
                     used == congestion ? "" : ", as this kernel has it");
}

}  // namespace mrs::cli
