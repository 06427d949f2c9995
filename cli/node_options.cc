#include "cli/node_options.h"

#include <fmt/format.h>

#include "formats/json.h"
#include "plans/cluster_ports.h"
#include "plans/printable.h"
#include "runtime/comm/interfaces.h"

namespace mrs::cli {

void NodeOptions::Register(CommandLine& line) {
  const char* group = "Several nodes";
  AddChecked(line, line.app, "--node", "a whole number from 0 to 65535",
             "Which node of the plan this is, from 0, the head [as LeaderWorkerSet, Slurm, mistral.rs' variables or "
             "RING_CONFIG say]",
             [this](const std::string& text) {
               flags.node = ReadNumber<uint32_t>(text, 0, 65535);
               return flags.node.has_value();
             })
      ->group(group);
  AddText(line, line.app, "--head", &flags.head, "an address",
          "Where the head is met: ADDRESS or ADDRESS:PORT [the plan's]")
      ->group(group);
  AddNumber<uint16_t>(line, line.app, "--cluster-port", &flags.cluster_port, 1, 65535,
                      fmt::format("Port N at which the head is met; rank r listens on N + 1 + r [{}]", kClusterPort))
      ->group(group);
  AddText(line, line.app, "--cluster-secret-file", &secret_file, "a file name",
          "A file with the same secret on every node, by which they know each other; needed beyond the loopback")
      ->group(group);
  line.app.add_flag("--insecure-cluster", insecure, "Do without a secret: whoever reaches the nodes may take part")
      ->group(group);
  AddText(
      line, line.app, "--interface", &interface, "the name of a network interface",
      "Whose address this node listens at for the others, where the plan's cluster gives it none [NCCL_SOCKET_IFNAME, "
      "else the one that leads to the others]")
      ->group(group);
  AddChoice(line, line.app, "--cluster-integrity", &integrity, {"on", "off"},
            "Tags (AES-GMAC) on what nodes and their ranks say to each other, so that changed bytes are noticed; the "
            "same on all nodes [on where there is a secret]")
      ->default_str("")
      ->group(group);
  links.Register(line);
  AddNumber<double>(line, line.app, "--start-timeout", &start_timeout_s, 0.1, 86400.0,
                    "Seconds until all nodes must be there")
      ->default_str(fmt::format("{}", start_timeout_s))
      ->group(group);
}

Result<std::string> NodeOptions::InterfaceAddress(const char* const* entries, std::vector<std::string>* notices) const {
  const Environment environment = EnvironmentOf(entries);
  const auto hint = environment.find("NCCL_SOCKET_IFNAME");
  const bool hinted = interface.empty() && hint != environment.end() && !hint->second.empty();
  if (interface.empty() && !hinted) return std::string();
  MRS_ASSIGN_OR_RETURN(const std::vector<mrs::InterfaceAddress> interfaces, ListInterfaces());
  if (!hinted) {
    Result<std::string> address = AddressOfInterface(interfaces, interface);
    if (!address.ok()) return Refuse("--interface {}: {}", Printable(interface), Printable(address.message()));
    return address;
  }
  const Result<std::string> address = ChooseInterface(interfaces, hint->second);
  notices->push_back(fmt::format("NCCL_SOCKET_IFNAME={} is taken as a hint: {}", Printable(hint->second),
                                 address.ok()
                                     ? fmt::format("this node listens at {}; --interface NAME says it", *address)
                                     : Printable(address.message())));
  return address.ok() ? *address : std::string();
}

Result<NodeIdentity> NodeOptions::Identify(const std::vector<PlanNode>& nodes, const char* const* entries) const {
  const Environment environment = EnvironmentOf(entries);
  const auto ring_path = environment.find("RING_CONFIG");
  if (ring_path == environment.end() || ring_path->second.empty()) return IdentifyNode(flags, environment, nodes);
  const std::string shown = Printable(ring_path->second);
  MRS_ASSIGN_OR_RETURN(const std::string text,
                       ReadFile(ring_path->second, kMaxRingBytes, "RING_CONFIG names a file for each rank"));
  const RingNeeds needs{.master = nodes.front().address.empty()};
  MRS_ASSIGN_OR_RETURN(RingRankConfig config, ParseRingConfig(text, shown, needs));
  MRS_ASSIGN_OR_RETURN(NodeIdentity identity,
                       IdentifyNode(flags, environment, nodes, RingFound{shown, std::move(config)}));
  for (const RingFault& fault : ReadRing(text, needs).faults) {  // none is left but of keys that mean nothing
    identity.notices.push_back(
        fmt::format("{}: line {}, column {}: {}", shown, fault.begin.line, fault.begin.column, fault.message));
  }
  return identity;
}

}  // namespace mrs::cli
