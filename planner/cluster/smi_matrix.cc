#include "planner/cluster/smi_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <numeric>
#include <set>

#include "planner/cluster/smi_table.h"

namespace mrs::cluster {
namespace {

// What GPUs have of NVLinks at most, H100 and B200 18, Rubin 36 (https://www.nvidia.com/en-us/data-center/nvlink/): a
// row that tells of more shares them by an NVSwitch.
constexpr int MostNvlinks(int to_one) { return to_one > 18 ? 36 : 18; }

// Within what two things meet: one switch, several, one host bridge, one socket, only the node.
enum Level { kSwitch, kSwitches, kBridge, kSocketLevel, kLevels };
constexpr std::array<std::string_view, kLevels + 1> kWords = {"PIX", "PXB", "PHB", "NODE", "SYS"};

int LevelOf(std::string_view word) {
  return static_cast<int>(std::find(kWords.begin(), kWords.end(), word) - kWords.begin());
}

int NvlinksOf(const SmiCell& cell) {
  int count = 0;
  if (cell.word.starts_with("NV")) std::from_chars(cell.word.data() + 2, cell.word.data() + cell.word.size(), count);
  return count;
}

// Who is within the same switch, switches, bridge and socket as whom.
class Groups {
 public:
  explicit Groups(size_t count) {
    for (std::vector<int>& level : parent_) {
      level.resize(count);
      std::iota(level.begin(), level.end(), 0);
    }
  }
  int Of(int level, int part) {
    while (parent_[level][part] != part) part = parent_[level][part] = parent_[level][parent_[level][part]];
    return part;
  }
  // Within `level`, and so within all above.
  void Unite(int level, int a, int b) {
    for (; level < kLevels; ++level)
      parent_[level][std::max(Of(level, a), Of(level, b))] = std::min(Of(level, a), Of(level, b));
  }
  int LevelOfPair(int a, int b) {
    int level = 0;
    while (level < kLevels && Of(level, a) != Of(level, b)) ++level;
    return level;
  }

 private:
  std::array<std::vector<int>, kLevels> parent_;
};

// What the matrix says of the PCIe way between two: by either row, "" where neither says (NVLinks hide it).
Result<std::string> PcieWord(const SmiTable& table, size_t a, size_t b, std::string_view where) {
  const auto word = [&](size_t from, size_t to) {
    const std::string& text = table.cells[from][to].word;
    return text.starts_with("NV") ? std::string() : text;
  };
  const std::string there = word(a, b), back = word(b, a);
  if (!there.empty() && !back.empty() && there != back) {
    const SmiCell& cell = table.cells[b][a];
    return Refuse(
        "{}: line {}, column {}: row {}, column {}: {}, but {} the other way round; PCIe is the same both ways", where,
        cell.line, cell.column, table.names[b], table.names[a], back, there);
  }
  return there.empty() ? back : there;
}

Result<Groups> GroupsOf(const SmiTable& table, std::string_view where, Node& node) {
  const size_t count = table.names.size();
  Groups groups(count);
  std::vector<int> told(count * count, -1);
  for (size_t a = 0; a < count; ++a) {
    for (size_t b = a + 1; b < count; ++b) {
      MRS_ASSIGN_OR_RETURN(const std::string word, PcieWord(table, a, b, where));
      if (word.empty()) continue;
      told[a * count + b] = LevelOf(word);
      groups.Unite(told[a * count + b], static_cast<int>(a), static_cast<int>(b));
    }
  }
  // Where NVLinks hide it, the same NUMA node, or else the same CPUs, are the same socket.
  // What the matrix says of others that are near to either comes first: that they are on two sockets or NUMA nodes.
  const auto differ = [&](size_t x, size_t y) {
    const int way = told[x * count + y];
    return way == kLevels ||
           (way < 0 && !table.numa[x].empty() && !table.numa[y].empty() && table.numa[x] != table.numa[y]);
  };
  const auto apart = [&](int a, int b) {
    for (size_t x = 0; x < count; ++x) {
      for (size_t y = x + 1; y < count; ++y) {
        if (!differ(x, y)) continue;
        const int of_x = groups.Of(kSocketLevel, static_cast<int>(x)),
                  of_y = groups.Of(kSocketLevel, static_cast<int>(y));
        const int of_a = groups.Of(kSocketLevel, a), of_b = groups.Of(kSocketLevel, b);
        if ((of_x == of_a && of_y == of_b) || (of_x == of_b && of_y == of_a)) return true;
      }
    }
    return false;
  };
  bool blind = false;
  for (size_t a = 0; a < count; ++a) {
    for (size_t b = a + 1; b < count; ++b) {
      if (told[a * count + b] >= 0) continue;
      const bool numa = !table.numa[a].empty() && !table.numa[b].empty();
      const bool cpus = !table.cpus[a].empty() && !table.cpus[b].empty();
      const bool same = numa ? table.numa[a] == table.numa[b] : !cpus || table.cpus[a] == table.cpus[b];
      blind = blind || (!numa && !cpus);
      if (same && !apart(static_cast<int>(a), static_cast<int>(b))) {
        groups.Unite(kSocketLevel, static_cast<int>(a), static_cast<int>(b));
      }
    }
  }
  for (size_t a = 0; a < count; ++a) {
    for (size_t b = a + 1; b < count; ++b) {
      const int level = groups.LevelOfPair(static_cast<int>(a), static_cast<int>(b));
      if (told[a * count + b] < 0 || told[a * count + b] == level) continue;
      const SmiCell& cell = table.cells[a][b].word.starts_with("NV") || table.cells[a][b].word.empty()
                                ? table.cells[b][a]
                                : table.cells[a][b];
      return Refuse(
          "{}: line {}, column {}: {} and {}: {}, but by what both have in common with others {} at most; no "
          "tree of PCIe has both",
          where, cell.line, cell.column, table.names[a], table.names[b], kWords[told[a * count + b]], kWords[level]);
    }
  }
  if (blind) node.completed.push_back("sockets: the matrix names none where NVLinks hide the way by PCIe");
  return groups;
}

// Switches and bridges only where the classes need them.
class Tree {
 public:
  Tree(Groups& groups, size_t count, Node& node) : groups_(groups), count_(static_cast<int>(count)), node_(node) {}

  Attachment Of(int part) {
    Attachment at{.socket = sockets_.at(groups_.Of(kSocketLevel, part)), .parent = -1, .link = {}};
    if (Parts(kSocketLevel, kBridge, part) > 1) at = Below(kBridge, part, at, true);
    const bool nested = Parts(kSwitches, kSwitch, part) > 1;
    if (nested) at = Below(kSwitches, part, at, false);
    if (nested || Members(kSwitch, part) > 1) at = Below(kSwitch, part, at, false);
    return at;
  }

  void Sockets(const SmiTable& table) {
    std::set<int> numas;
    for (int part = 0; part < count_; ++part) {
      const int group = groups_.Of(kSocketLevel, part);
      if (sockets_.count(group) > 0) continue;
      sockets_[group] = static_cast<int>(node_.sockets.size());
      int numa = static_cast<int>(node_.sockets.size());
      const std::string& told = table.numa[part];
      const auto [end, error] = std::from_chars(told.data(), told.data() + told.size(), numa);
      if (error != std::errc() || end != told.data() + told.size() || numa < 0 || numa > 65535) {
        numa = static_cast<int>(node_.sockets.size());
      }
      while (!numas.insert(numa).second) ++numa;
      node_.sockets.push_back({.numa = numa});
    }
  }

 private:
  int Members(int level, int part) {
    int count = 0;
    for (int other = 0; other < count_; ++other) count += groups_.Of(level, other) == groups_.Of(level, part);
    return count;
  }
  // How many groups of `inner` are in the group of `outer`.
  int Parts(int outer, int inner, int part) {
    std::set<int> inside;
    for (int other = 0; other < count_; ++other) {
      if (groups_.Of(outer, other) == groups_.Of(outer, part)) inside.insert(groups_.Of(inner, other));
    }
    return static_cast<int>(inside.size());
  }
  Attachment Below(int level, int part, const Attachment& above, bool bridge) {
    const auto [at, fresh] =
        made_.emplace(std::pair(level, groups_.Of(level, part)), static_cast<int>(node_.switches.size()));
    if (fresh) {
      node_.switches.push_back(
          {.name = fmt::format("{}-{}", bridge ? "bridge" : "switch", at->second), .host_bridge = bridge, .at = above});
    }
    return {.socket = above.socket, .parent = at->second, .link = {}};
  }

  Groups& groups_;
  int count_;
  Node& node_;
  std::map<int, int> sockets_;
  std::map<std::pair<int, int>, int> made_;
};

void Nvlinks(const SmiTable& table, Node& node) {
  const auto count = static_cast<int>(table.gpu_count);
  std::vector<int> sum(count), most(count);
  for (int a = 0; a < count; ++a) {
    for (int b = 0; b < count; ++b) {
      const int links = NvlinksOf(table.cells[a][b]);
      sum[a] += links;
      most[a] = std::max(most[a], links);
    }
  }
  std::vector<int> shared;
  for (int a = 0; a < count; ++a) {
    if (sum[a] > MostNvlinks(most[a])) shared.push_back(a);
  }
  const bool fabric = !shared.empty() && std::all_of(shared.begin(), shared.end(), [&](int a) {
    return most[a] <= MostNvlinks(most[a]) &&
           std::all_of(shared.begin(), shared.end(), [&](int b) { return a == b || NvlinksOf(table.cells[a][b]) > 0; });
  });
  const auto on_fabric = [&](int a) { return fabric && std::find(shared.begin(), shared.end(), a) != shared.end(); };
  for (int a = 0; a < count; ++a) {
    if (on_fabric(a)) node.links.push_back({.from = a, .to = kFabric, .count = most[a]});
    for (int b = 0; b < count; ++b) {
      const int links = NvlinksOf(table.cells[a][b]);
      if (links > 0 && !(on_fabric(a) && on_fabric(b))) {
        node.links.push_back({.from = a, .to = b, .count = std::min(links, 64)});
      }
    }
  }
}

Result<Node> NodeOf(const SmiTable& table, std::string_view where) {
  Node node;
  MRS_ASSIGN_OR_RETURN(Groups groups, GroupsOf(table, where, node));
  Tree tree(groups, table.names.size(), node);
  tree.Sockets(table);
  for (size_t part = 0; part < table.names.size(); ++part) {
    const Attachment at = tree.Of(static_cast<int>(part));
    if (part < table.gpu_count) {
      if (part > 0 && table.gpu_numbers[part] <= table.gpu_numbers[part - 1]) {
        return Refuse("{}: line {}: column {} after {}; expected GPUs in order", where, table.cells[part][0].line,
                      table.names[part], table.names[part - 1]);
      }
      node.devices.push_back({.ordinal = table.gpu_numbers[part], .at = at});
    } else {
      node.nics.push_back({.name = table.names[part], .at = at});
    }
  }
  Nvlinks(table, node);
  if (table.own_numa) node.completed.emplace_back(kOwnNumaNodes);
  return node;
}

const Attachment& PlaceOf(const Node& node, SmiPart part) {
  return part.nic ? node.nics[part.index].at : node.devices[part.index].at;
}

// Switches from the part up, and the host bridge over them, -1: none of its own.
std::pair<std::vector<int>, int> Above(const Node& node, const Attachment& at) {
  std::pair<std::vector<int>, int> out{{}, -1};
  for (int parent = at.parent; parent >= 0; parent = node.switches[parent].at.parent) {
    if (node.switches[parent].host_bridge) {
      out.second = parent;
      break;
    }
    out.first.push_back(parent);
  }
  return out;
}

}  // namespace

bool HasSmiMatrix(std::string_view text) { return HasSmiTable(text); }

Result<Cluster> ParseSmiMatrix(std::string_view text, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const std::vector<SmiTable> tables, ReadSmiTables(text, where));
  Cluster cluster;
  for (const SmiTable& table : tables) {
    MRS_ASSIGN_OR_RETURN(Node node, NodeOf(table, where));
    node.name = fmt::format("node-{}", cluster.nodes.size());
    if (!table.host.empty()) {
      const auto named = [&](const Node& other) { return other.name == table.host; };
      if (std::none_of(cluster.nodes.begin(), cluster.nodes.end(), named)) node.name = table.host;
    }
    cluster.nodes.push_back(std::move(node));
  }
  // A host that is called as another is by its place.
  std::set<std::string> names;
  for (size_t n = 0; n < cluster.nodes.size(); ++n) {
    std::string& name = cluster.nodes[n].name;
    for (size_t more = n; !names.insert(name).second; ++more) name = fmt::format("node-{}", more + 1);
  }
  return cluster;
}

std::string SmiClass(const Node& node, SmiPart from, SmiPart to) {
  if (from.nic == to.nic && from.index == to.index) return "X";
  if (!from.nic && !to.nic) {
    int out = 0, fabric_from = 0, fabric_to = 0;
    for (const PeerLink& link : node.links) {
      if (link.kind != PeerKind::kNvlink) continue;
      if (link.from == from.index && link.to == to.index) out = link.count;
      if (link.from == from.index && link.to == kFabric) fabric_from = link.count;
      if (link.from == to.index && link.to == kFabric) fabric_to = link.count;
    }
    if (out > 0) return fmt::format("NV{}", out);
    if (fabric_from > 0 && fabric_to > 0) return fmt::format("NV{}", fabric_from);
  }
  const Attachment &a = PlaceOf(node, from), &b = PlaceOf(node, to);
  if (a.socket != b.socket) return "SYS";
  const auto [switches_a, bridge_a] = Above(node, a);
  const auto [switches_b, bridge_b] = Above(node, b);
  const bool meet = !switches_a.empty() && !switches_b.empty() && switches_a.back() == switches_b.back();
  if (meet) return switches_a.front() == switches_b.front() ? "PIX" : "PXB";
  return bridge_a == bridge_b ? "PHB" : "NODE";
}

}  // namespace mrs::cluster
