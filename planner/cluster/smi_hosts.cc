#include "planner/cluster/smi_hosts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>

#include "planner/cluster/limits.h"
#include "planner/cluster/smi_words.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

constexpr size_t kMaxPrefixWords = 3;
constexpr size_t kMaxHostLines = size_t{1} << 18;

struct Line {
  std::string_view text;
  size_t number = 0;
};

// Calls visit(line) for each, until that returns false.
template <typename Visit>
void EachLine(std::string_view text, Visit visit) {
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (!visit(Line{text.substr(0, end), number})) return;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The first words of a line, and what of it they end at.
struct Begin {
  std::array<SmiWord, kMaxPrefixWords + 2> words;
  size_t count = 0;
};

Begin BeginOf(const Line& line) {
  Begin begin;
  SmiWords words(line.text, line.number);
  while (begin.count < begin.words.size()) {
    const std::optional<SmiWord> word = words.Next();
    if (!word) break;
    begin.words[begin.count++] = *word;
  }
  return begin;
}

// From the first word up to and with the word `last`, as it stands in the line.
std::string_view Prefix(const Begin& begin, size_t last) {
  const char* const from = begin.words[0].text.data();
  const std::string_view end = begin.words[last].text;
  return {from, static_cast<size_t>(end.data() + end.size() - from)};
}

enum class What { kOther, kHeader, kRow };

// What stands behind how many words of a prefix.
struct Found {
  What what = What::kOther;
  size_t words = 0;
};

Found Look(const Begin& begin) {
  for (size_t at = 0; at <= kMaxPrefixWords && at + 1 < begin.count; ++at) {
    if (!GpuNumber(begin.words[at].text)) continue;
    const std::string_view next = begin.words[at + 1].text;
    if (IsSmiCell(next)) return {What::kRow, at};
    return {IsSmiName(next) || next == "CPU" ? What::kHeader : What::kOther, at};
  }
  return {};
}

// "node1" of "node1:", "[node1]" and "node1 |".
std::string NameOf(std::string_view prefix) {
  constexpr std::string_view kAround = " \t:|[](){}<>\"'";
  const size_t first = prefix.find_first_not_of(kAround);
  if (first == prefix.npos) return "";
  prefix = prefix.substr(first, prefix.find_last_not_of(kAround) - first + 1).substr(0, kMaxNameBytes);
  const auto usual = [&](char c) { return c > ' ' && c < 0x7F && kAround.find(c) == kAround.npos; };
  // "#" begins a comment, and names nobody.
  const bool named = std::ranges::any_of(prefix, [](unsigned char c) { return std::isalnum(c) != 0; });
  return named && std::ranges::all_of(prefix, usual) ? std::string(prefix) : "";
}

}  // namespace

bool HasPrefixedTable(std::string_view text) {
  bool names = false, row = false;
  EachLine(text, [&](const Line& line) {
    if (line.text.find("GPU") == line.text.npos) return true;
    const Found found = Look(BeginOf(line));
    names = names || (found.what == What::kHeader && found.words > 0);
    row = row || (found.what == What::kRow && found.words > 0);
    return !(names && row);
  });
  return names && row;
}

Result<std::vector<SmiHost>> HostsOf(std::string_view text, std::string_view where) {
  std::vector<SmiHost> hosts;
  std::vector<bool> has_rows;
  std::map<std::string_view, size_t> host_of;
  SmiWord before_names, before_row;  // the first of each, of which no prefix of the other kind is there
  bool too_many = false;
  EachLine(text, [&](const Line& line) {
    if (line.text.find("GPU") == line.text.npos) return true;
    const Begin begin = BeginOf(line);
    const Found found = Look(begin);
    if (found.what == What::kOther || found.words == 0) return true;
    const std::string_view prefix = Prefix(begin, found.words - 1);
    const auto known = host_of.find(prefix);
    if (found.what == What::kRow) {
      if (known != host_of.end()) has_rows[known->second] = true;
      if (known == host_of.end() && before_row.text.empty()) before_row = begin.words[0];
    } else if (known == host_of.end()) {
      too_many = hosts.size() == kMaxNodes;
      if (too_many) return false;
      if (before_names.text.empty()) before_names = begin.words[0];
      host_of[prefix] = hosts.size();
      hosts.push_back({NameOf(prefix), {}});
      has_rows.push_back(false);
    }
    return true;
  });
  if (too_many) return Refuse("{}: more than {} hosts' tables", where, kMaxNodes);
  if (std::ranges::none_of(has_rows, [](bool has) { return has; })) {
    if (before_names.text.empty() || before_row.text.empty()) return std::vector<SmiHost>();
    return Refuse(
        "{}: line {}, column {}: '{}' stands before a table's names, and '{}' (line {}) before a row; expected "
        "nothing, "
        "or the same before all lines of a host, such as \"node1: \": cut the words off that differ",
        where, before_names.line, before_names.column, Printable(before_names.text.substr(0, 64)),
        Printable(before_row.text.substr(0, 64)), before_row.line);
  }
  size_t line_count = 0;
  EachLine(text, [&](const Line& line) {
    const Begin begin = BeginOf(line);
    for (size_t last = 0; last < std::min(begin.count, kMaxPrefixWords); ++last) {
      const std::string_view prefix = Prefix(begin, last);
      const auto host = host_of.find(prefix);
      if (host == host_of.end()) continue;
      const size_t behind = static_cast<size_t>(prefix.data() + prefix.size() - line.text.data());
      hosts[host->second].lines.push_back({line.text.substr(behind), line.number, behind + 1});
      ++line_count;
      break;
    }
    return line_count <= kMaxHostLines;
  });
  if (line_count > kMaxHostLines) return Refuse("{}: more than {} lines of hosts", where, kMaxHostLines);
  std::erase_if(hosts, [](const SmiHost& host) { return host.lines.empty(); });
  return hosts;
}

}  // namespace mrs::cluster
