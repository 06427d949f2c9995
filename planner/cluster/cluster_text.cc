// CanonicalText: the cluster as a file in which all is said. What is not known is left out, and is "unknown" where
// the catalogue would be asked.
#include <array>
#include <span>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/units.h"
#include "plans/printable.h"
#include "plans/sha256.h"

namespace mrs::cluster {
namespace {

constexpr std::array<std::string_view, 3> kDeviceKinds = {"cpu", "cuda", "rocm"};
constexpr std::array<std::string_view, 3> kPeerKinds = {"nvlink", "xgmi", "c2c"};

// YAML's escapes are of characters, where Printable's are of bytes.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const auto [code, length] = FirstCharacter(text);
    const auto number = static_cast<uint32_t>(code);
    if (code == U'"' || code == U'\\') out.push_back('\\');
    if (IsHidden(code)) {
      out += number < 0x100     ? fmt::format("\\x{:02x}", number)
             : number < 0x10000 ? fmt::format("\\u{:04x}", number)
                                : fmt::format("\\U{:08x}", number);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out + "\"";
}

// {key: value, ...}; values that are "" are left out.
class FlowMap {
 public:
  FlowMap& Add(std::string_view key, std::string_view value) {
    if (value.empty()) return *this;
    text_ += fmt::format("{}{}: {}", text_.empty() ? "" : ", ", key, value);
    return *this;
  }
  FlowMap& AddQuoted(std::string_view key, std::string_view value) {
    return value.empty() ? *this : Add(key, Quoted(value));
  }
  FlowMap& AddAttachment(const Attachment& at, const Node& node) {
    Add("socket", std::to_string(at.socket));
    if (at.parent >= 0) AddQuoted("parent", node.switches[at.parent].name);
    std::string pcie = at.link.gigatransfers > 0 ? fmt::format("{}GT/s", at.link.gigatransfers) : "";
    if (at.link.lanes > 0) pcie += fmt::format("{}x{}", pcie.empty() ? "" : " ", at.link.lanes);
    return Add("pcie", pcie);
  }
  std::string Line() const { return fmt::format("      - {{{}}}\n", text_); }

 private:
  std::string text_;
};

std::string Line(const Socket& socket) {
  return FlowMap()
      .Add("numa", std::to_string(socket.numa))
      .AddQuoted("arch", socket.arch)
      .AddQuoted("vendor", socket.vendor)
      .AddQuoted("cpu", socket.cpu)
      .Line();
}

std::string Line(const Switch& part, const Node& node) {
  return FlowMap()
      .AddQuoted("name", part.name)
      .Add("host_bridge", part.host_bridge ? "true" : "false")
      .AddAttachment(part.at, node)
      .Line();
}

std::string Line(const Device& device, const Node& node) {
  const std::string_view unknown = device.kind == DeviceKind::kCpu ? "" : "unknown";  // a share of the node's
  return FlowMap()
      .Add("kind", kDeviceKinds[static_cast<size_t>(device.kind)])
      .AddQuoted("model", device.model)
      .Add("memory", device.memory_bytes > 0 ? BytesText(device.memory_bytes) : std::string(unknown))
      .Add("ordinal", std::to_string(device.ordinal))
      .AddQuoted("bus_id", device.bus_id)
      .AddAttachment(device.at, node)
      .Line();
}

std::string Line(const Nic& nic, const Node& node) {
  return FlowMap()
      .AddQuoted("name", nic.name)
      .Add("rate", nic.gigabits > 0 ? GigabitsText(nic.gigabits) : "")
      .Add("gpu_direct", nic.gpu_direct ? "true" : "false")
      .AddQuoted("bus_id", nic.bus_id)
      .AddAttachment(nic.at, node)
      .Line();
}

std::string Line(const PeerLink& link) {
  return FlowMap()
      .Add("kind", kPeerKinds[static_cast<size_t>(link.kind)])
      .Add("from", std::to_string(link.from))
      .Add("to", link.to == kFabric   ? "fabric"
                 : link.to == kSocket ? "socket"
                                      : std::to_string(link.to))
      .Add("count", std::to_string(link.count))
      .Add("rate", link.gigabytes > 0 ? GigabytesText(link.gigabytes) : "unknown")
      .Line();
}

template <typename Part, typename... Rest>
void AppendList(std::string_view key, const std::vector<Part>& parts, std::string& text, const Rest&... rest) {
  if (parts.empty()) return;
  text += fmt::format("    {}:\n", key);
  for (const Part& part : parts) text += Line(part, rest...);
}

std::string QuotedList(std::span<const Node> nodes, std::string Node::*member) {
  std::string text;
  for (const Node& node : nodes) text += fmt::format("{}{}", text.empty() ? "" : ", ", Quoted(node.*member));
  return text;
}

// Nodes that differ in nothing but name and address.
void AppendNodes(std::span<const Node> nodes, std::string& text) {
  const Node& node = nodes.front();
  if (nodes.size() == 1) {
    text += fmt::format("  - name: {}\n", Quoted(node.name));
    if (!node.address.empty()) text += fmt::format("    address: {}\n", Quoted(node.address));
  } else {
    text += fmt::format("  - names: [{}]\n", QuotedList(nodes, &Node::name));
    if (!node.address.empty()) text += fmt::format("    addresses: [{}]\n", QuotedList(nodes, &Node::address));
  }
  if (node.memory_bytes > 0) text += fmt::format("    memory: {}\n", BytesText(node.memory_bytes));
  if (node.cores > 0) text += fmt::format("    cores: {}\n", node.cores);
  if (!node.nvlink_domain.empty()) text += fmt::format("    nvlink_domain: {}\n", Quoted(node.nvlink_domain));
  if (node.sockets.empty()) text += "    sockets: []\n";
  AppendList("sockets", node.sockets, text);
  AppendList("switches", node.switches, text, node);
  if (node.devices.empty()) text += "    devices: []\n";
  AppendList("devices", node.devices, text, node);
  AppendList("nics", node.nics, text, node);
  AppendList("links", node.links, text);
  if (!node.completed.empty()) text += "    completed:\n";
  for (const std::string& what : node.completed) text += fmt::format("      - {}\n", Quoted(what));
}

bool DifferOnlyInName(const Node& a, const Node& b) {
  if (a.address.empty() != b.address.empty()) return false;
  Node renamed = b;
  renamed.name = a.name;
  renamed.address = a.address;
  return a == renamed;
}

}  // namespace

std::string CanonicalText(const Cluster& cluster) {
  std::string text = "version: 1\n";
  if (!cluster.name.empty()) text += fmt::format("name: {}\n", Quoted(cluster.name));
  if (cluster.network_gigabits > 0) text += fmt::format("network: {}\n", GigabitsText(cluster.network_gigabits));
  text += "nodes:\n";
  const std::span<const Node> nodes(cluster.nodes);
  for (size_t begin = 0; begin < nodes.size();) {
    size_t end = begin + 1;
    while (end < nodes.size() && DifferOnlyInName(nodes[begin], nodes[end])) ++end;
    AppendNodes(nodes.subspan(begin, end - begin), text);
    begin = end;
  }
  return text;
}

std::string Fingerprint(const Cluster& cluster) {
  const std::string text = CanonicalText(cluster);
  return Hex(Sha256(std::as_bytes(std::span(text))));
}

}  // namespace mrs::cluster
