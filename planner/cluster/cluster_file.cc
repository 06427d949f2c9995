#include "planner/cluster/cluster_file.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "formats/json.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/map_reader.h"
#include "planner/cluster/node_reader.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

constexpr std::string_view kClusterKeys[] = {"version", "name", "network", "nodes"};
constexpr ClusterFileMap kMaps[] = {{"cluster", kClusterKeys}, {"node", kNodeKeys},     {"socket", kSocketKeys},
                                    {"switch", kSwitchKeys},   {"device", kDeviceKeys}, {"nic", kNicKeys},
                                    {"link", kLinkKeys}};

// The names and addresses of the nodes that an entry of the list stands for.
struct Repeated {
  std::vector<std::string> names;      // "" where the place in the cluster names it
  std::vector<std::string> addresses;  // as many, "" where not known
};

Repeated ReadRepeated(MapReader& in) {
  Repeated repeated{in.Texts("names", kMaxNodes), in.Texts("addresses", kMaxNodes)};
  const size_t listed = std::max<size_t>({repeated.names.size(), repeated.addresses.size(), 1});
  const auto count = static_cast<size_t>(in.Integer("count", 1, kMaxNodes, static_cast<int64_t>(listed)));
  const std::pair<std::string_view, std::string_view> kOneOrMany[] = {{"name", "names"}, {"address", "addresses"}};
  for (const auto& [one, many] : kOneOrMany) {
    std::vector<std::string>& list = one == "name" ? repeated.names : repeated.addresses;
    if (in.Has(one) && in.Has(many)) {
      in.Fault(one, fmt::format("stands beside '{}', which says it too; keep one of them", many));
    } else if (in.Has(many) && list.size() != count) {
      in.Fault(many, fmt::format("{} {} of {} nodes", list.size(), many, count));
    } else if (one == "address" && in.Has(one) && count > 1) {
      in.Fault(one, fmt::format("one address of {} nodes; expected 'addresses'", count));
    }
    list.resize(count);
  }
  if (in.Has("address")) repeated.addresses[0] = in.Text("address");
  if (in.Has("name")) {
    const std::string name = in.Text("name");
    for (size_t n = 0; n < count; ++n) repeated.names[n] = count == 1 ? name : fmt::format("{}-{}", name, n);
    if (const size_t bytes = repeated.names.back().size(); bytes > kMaxNameBytes) {
      in.Fault("name", fmt::format("the name of node {} of {} has {} bytes; expected at most {}", count - 1, count,
                                   bytes, kMaxNameBytes));
    }
  }
  return repeated;
}

bool IsAddress(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view(".:-_%[]").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// What mrs-plan reads elsewhere would be no YAML here, or some by accident.
Status CheckNotImported(std::string_view text, std::string_view where) {
  constexpr std::string_view kImport = "read it with mrs-plan cluster import";
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const std::string_view line = text.substr(begin, std::min(text.find('\n', begin), text.size()) - begin);
  if (line.starts_with('<')) return Refuse("{}: is XML, no cluster file; {}", where, kImport);
  if (line.starts_with("GPU0") && line.find(':') == std::string_view::npos) {
    return Refuse("{}: is a matrix of nvidia-smi topo -m, no cluster file; {}", where, kImport);
  }
  return Status();
}

// Maps without nodes that are known to be something else.
Status CheckKind(const YamlValue& root, std::string_view where) {
  if (root.kind != YamlValue::Kind::kMap || FindYaml(root, "nodes") != nullptr) return Status();
  if (FindYaml(root, "blocks") != nullptr && FindYaml(root, "switches") != nullptr) {
    return Refuse(
        "{}: is a topograph topology, which says what switch a node hangs from and not what devices it has; expected a "
        "cluster file: write the nodes under 'nodes', such as {{count: 18, gpus: 4xGB200, nvlink_domain: rack-0}}",
        where);
  }
  return Status();
}

class ClusterReader {
 public:
  explicit ClusterReader(Faults* faults) : faults_(faults), of_nodes_{faults->where} {}

  // Before what stands beside the nodes, whose faults come first all the same.
  void TakeNode(const YamlValue& value, size_t index) {
    if (!of_nodes_.any() && index < kMaxNodes) ReadEntry(value, fmt::format("nodes[{}]", index));
  }

  Cluster Read(const YamlValue& root) {
    MapReader in(faults_, root, "", kClusterKeys);
    if (faults_->any()) return {};
    if (in.Integer("version", 0, 1 << 30, 1) != 1) in.FaultExpected("version", "1, the only version there is");
    cluster_.name = in.Text("name");
    cluster_.network_gigabits = in.Gigabits("network", 0);
    const YamlValue* nodes = in.List("nodes", kMaxNodes);
    if (nodes == nullptr || nodes->items.empty()) in.FaultExpected("nodes", "a list of at least one node");
    if (!faults_->any()) faults_->first = of_nodes_.first;
    return std::move(cluster_);
  }

 private:
  void ReadEntry(const YamlValue& value, const std::string& path) {
    MapReader in(&of_nodes_, value, path, kNodeKeys);
    if (of_nodes_.any()) return;
    const Repeated repeated = ReadRepeated(in);
    const Node node = ReadNode(&of_nodes_, in);
    if (of_nodes_.any()) return;
    const size_t count = repeated.names.size();
    const size_t parts = node.sockets.size() + node.switches.size() + node.nics.size() + node.completed.size();
    const std::tuple<size_t&, size_t, size_t, std::string_view> totals[] = {
        {nodes_, 1, kMaxNodes, "nodes"},
        {devices_, node.devices.size(), kMaxDevices, "devices"},
        {links_, node.links.size(), kMaxLinks, "links"},
        {parts_, parts, kMaxLinks, "sockets, switches and nics"}};
    for (const auto& [total, of_one, most, what] : totals) {
      total += of_one * count;
      if (total > most) return in.Fault("count", fmt::format("{} {} in all; expected at most {}", total, what, most));
    }
    for (size_t n = 0; n < count; ++n) {
      Node copy = node;
      copy.name = repeated.names[n].empty() ? fmt::format("node-{}", cluster_.nodes.size()) : repeated.names[n];
      copy.address = repeated.addresses[n];
      const std::string_view name_key = in.Has("names") ? "names" : "name";
      if (!names_.insert(copy.name).second) {
        in.Fault(name_key, fmt::format("a second node '{}'; names are unique", Printable(copy.name)));
      }
      const std::string_view address_key = in.Has("addresses") ? "addresses" : "address";
      if (!IsAddress(copy.address)) {
        in.Fault(address_key,
                 fmt::format("expected a host name or an IP address, got \"{}\"", Printable(copy.address)));
      }
      if (!copy.address.empty() && !addresses_.insert(copy.address).second) {
        in.Fault(address_key, fmt::format("a second node at {}; addresses are unique", copy.address));
      }
      cluster_.nodes.push_back(std::move(copy));
    }
  }

  Faults* faults_;
  Faults of_nodes_;
  Cluster cluster_;
  size_t nodes_ = 0;
  size_t devices_ = 0;
  size_t links_ = 0;
  size_t parts_ = 0;
  std::set<std::string> names_;
  std::set<std::string> addresses_;
};

}  // namespace

Result<Cluster> ParseCluster(std::string_view text, std::string_view where) {
  MRS_RETURN_IF_ERROR(CheckNotImported(text, where));
  Faults faults{where};
  ClusterReader reader(&faults);
  const YamlItems nodes{"nodes", [&](const YamlValue& node, size_t index) { reader.TakeNode(node, index); }};
  MRS_ASSIGN_OR_RETURN(const YamlValue root, ParseYaml(text, where, nodes));
  MRS_RETURN_IF_ERROR(CheckKind(root, where));
  Cluster cluster = reader.Read(root);
  if (faults.first) return *faults.first;
  return cluster;
}

Result<Cluster> ReadClusterFile(const std::string& path) {
  MRS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  return ParseCluster(text, path);
}

std::span<const ClusterFileMap> ClusterFileMaps() { return kMaps; }

}  // namespace mrs::cluster
