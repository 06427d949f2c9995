#include "plans/cluster_nodes.h"

#include <algorithm>
#include <map>
#include <optional>

#include "plans/printable.h"

namespace mrs {
namespace {

constexpr size_t kMaxNodes = 1024;  // of planner/cluster/limits.h, as the next
constexpr size_t kMaxNameBytes = 256;

void AppendUtf8(uint32_t code, std::string* out) {
  const auto push = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xC0 | code >> 6);
    push(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    push(0xE0 | code >> 12);
    push(0x80 | (code >> 6 & 0x3F));
    push(0x80 | (code & 0x3F));
  } else {
    push(0xF0 | code >> 18);
    push(0x80 | (code >> 12 & 0x3F));
    push(0x80 | (code >> 6 & 0x3F));
    push(0x80 | (code & 0x3F));
  }
}

// The text that `*rest` starts with, between quotes, which are taken off with it; nullopt where it is none.
std::optional<std::string> TakeQuoted(std::string_view* rest) {
  if (!rest->starts_with('"')) return std::nullopt;
  std::string out;
  for (size_t i = 1; i < rest->size() && out.size() <= kMaxNameBytes; ++i) {
    const char c = (*rest)[i];
    if (c == '"') {
      rest->remove_prefix(i + 1);
      return out;
    }
    if (c != '\\') {
      out.push_back(c);
      continue;
    }
    if (++i == rest->size()) return std::nullopt;
    const char kind = (*rest)[i];
    if (kind == '"' || kind == '\\') {
      out.push_back(kind);
      continue;
    }
    const size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (digits == 0 || rest->size() - i - 1 < digits) return std::nullopt;
    uint32_t code = 0;
    for (size_t k = 1; k <= digits; ++k) {
      const char digit = (*rest)[i + k];
      const int value = digit >= '0' && digit <= '9'   ? digit - '0'
                        : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                                       : -1;
      if (value < 0 || code > 0x10FFFF >> 4) return std::nullopt;
      code = code << 4 | static_cast<uint32_t>(value);
    }
    i += digits;
    AppendUtf8(code, &out);
  }
  return std::nullopt;
}

// `"a"` or `["a", "b"]`, and nothing behind it.
std::optional<std::vector<std::string>> ReadTexts(std::string_view text, bool list) {
  std::vector<std::string> texts;
  if (list && !text.starts_with('[')) return std::nullopt;
  if (list) text.remove_prefix(1);
  for (;;) {
    std::optional<std::string> one = TakeQuoted(&text);
    if (!one.has_value() || texts.size() == kMaxNodes) return std::nullopt;
    texts.push_back(*std::move(one));
    if (!list || !text.starts_with(", ")) break;
    text.remove_prefix(2);
  }
  if (text != (list ? "]" : "")) return std::nullopt;
  return texts;
}

std::string WithoutBrackets(const std::string& address) {
  const bool has = address.size() > 2 && address.front() == '[' && address.back() == ']';
  return has ? address.substr(1, address.size() - 2) : address;
}

}  // namespace

Result<std::vector<NamedNode>> ReadNodeNames(std::string_view cluster_text) {
  std::vector<NamedNode> nodes;
  if (!cluster_text.starts_with("version: ")) return nodes;
  bool in_nodes = false;
  size_t entry = 0;  // where the nodes of the entry that is read begin
  size_t line_number = 0;
  while (!cluster_text.empty()) {
    ++line_number;
    const size_t end = std::min(cluster_text.find('\n'), cluster_text.size());
    const std::string_view line = cluster_text.substr(0, end);
    cluster_text.remove_prefix(std::min(end + 1, cluster_text.size()));
    if (!in_nodes) {
      in_nodes = line == "nodes:";
      continue;
    }
    const auto texts = [&](std::string_view key, bool list) -> std::optional<std::vector<std::string>> {
      return line.starts_with(key) ? ReadTexts(line.substr(key.size()), list) : std::nullopt;
    };
    const bool begins = line.starts_with("  - ");
    const bool tells_address = line.starts_with("    address");
    if (!begins && !tells_address) continue;
    std::optional<std::vector<std::string>> read = begins ? texts("  - name: ", false) : texts("    address: ", false);
    if (!read.has_value()) read = begins ? texts("  - names: ", true) : texts("    addresses: ", true);
    const bool fits = read.has_value() && (begins ? nodes.size() + read->size() <= kMaxNodes
                                                  : entry < nodes.size() && read->size() == nodes.size() - entry);
    if (!fits) {
      return Refuse("the plan's cluster: line {}: expected the {} of nodes as mrs-plan writes them, got \"{}\"",
                    line_number, begins ? "names" : "addresses", Printable(line.substr(0, 80)));
    }
    if (begins) entry = nodes.size();
    for (size_t i = 0; i < read->size(); ++i) {
      if (begins) nodes.push_back({(*read)[i], ""});
      if (!begins) nodes[entry + i].address = (*read)[i];
    }
  }
  return nodes;
}

Result<std::vector<PlanNode>> NodesOf(const plan::Plan& plan) {
  MRS_ASSIGN_OR_RETURN(const std::vector<NamedNode> named, ReadNodeNames(plan.cluster()->description()->string_view()));
  std::map<uint32_t, PlanNode> by_number;
  for (uint32_t rank = 0; rank < plan.ranks()->size(); ++rank) {
    const uint32_t number = plan.ranks()->Get(rank)->node();
    if (!named.empty() && number >= named.size()) {
      return Refuse("the plan's rank {} is on node {}, and its cluster has {} nodes; rebuild it with mrs-plan", rank,
                    number, named.size());
    }
    PlanNode& node = by_number[number];
    node.name = named.empty() ? fmt::format("node-{}", number) : named[number].name;
    if (!named.empty()) node.address = WithoutBrackets(named[number].address);
    node.ranks.push_back(rank);
  }
  std::vector<PlanNode> nodes;
  for (auto& [number, node] : by_number) nodes.push_back(std::move(node));
  return nodes;
}

// A line a device, "      - {kind: cuda, model: "H100-SXM", ..., ordinal: 0, ...}", under its node's "    devices:".
std::string DeviceModelOf(const plan::Plan& plan, uint32_t rank) {
  constexpr std::string_view kName = "  - name: ", kNames = "  - names: ", kDevice = "      - {kind: cuda, model: ";
  const plan::Rank& of = *plan.ranks()->Get(rank);
  std::string_view text = plan.cluster()->description()->string_view();
  if (!text.starts_with("version: ")) return "";
  size_t entry = 0, begun = 0;  // nodes before those of the entry that is read, and with them
  bool in_devices = false;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with(kName) || line.starts_with(kNames)) {
      const bool is_list = line.starts_with(kNames);
      const auto names = ReadTexts(line.substr(is_list ? kNames.size() : kName.size()), is_list);
      if (!names.has_value()) return "";
      entry = begun;
      begun += names->size();
    }
    if (line.starts_with("    ") && !line.starts_with("     ")) in_devices = line == "    devices:";
    if (!in_devices || of.node() < entry || of.node() >= begun || !line.starts_with(kDevice)) continue;
    std::string_view rest = line.substr(kDevice.size());
    std::optional<std::string> model = TakeQuoted(&rest);
    // What follows it ends with a comma: 1 is not 10.
    if (model.has_value() && rest.find(fmt::format(" ordinal: {},", of.device())) != std::string_view::npos) {
      return *std::move(model);
    }
  }
  return "";
}

std::vector<PlanNode> RingNodes(uint32_t world_size) {
  std::vector<PlanNode> nodes(world_size);
  for (uint32_t rank = 0; rank < world_size; ++rank) {
    nodes[rank] = {.name = fmt::format("ring-{}", rank), .address = "", .ranks = {rank}, .of_ring = true};
  }
  return nodes;
}

std::string PlaceText(const std::vector<PlanNode>& nodes, size_t number) {
  return nodes.at(number).of_ring ? "" : NodeText(nodes, number);
}

std::string NodeText(const std::vector<PlanNode>& nodes, size_t number) {
  const PlanNode& node = nodes.at(number);
  if (node.of_ring) return fmt::format("rank {} of the ring", number);
  return node.address.empty() ? fmt::format("node {} ({})", number, Printable(node.name))
                              : fmt::format("node {} ({} at {})", number, Printable(node.name), node.address);
}

size_t NodeOfRank(const std::vector<PlanNode>& nodes, uint32_t rank) {
  for (size_t number = 0; number < nodes.size(); ++number) {
    if (std::ranges::binary_search(nodes[number].ranks, rank)) return number;
  }
  return 0;
}

}  // namespace mrs
