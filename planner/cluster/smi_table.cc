#include "planner/cluster/smi_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "planner/cluster/limits.h"
#include "planner/cluster/smi_hosts.h"
#include "planner/cluster/smi_words.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

constexpr size_t kMaxWords = size_t{1} << 18;  // from the first table on

bool IsAffinity(std::string_view word) {
  return word == "N/A" ||
         std::all_of(word.begin(), word.end(), [](char c) { return IsDigit(c) || c == ',' || c == '-'; });
}

bool BeginsTable(const std::vector<SmiWord>& words, size_t at) {
  return at + 1 < words.size() && BeginsSmiTable(words[at], words[at + 1]);
}

// What may stand between a table's first line and its rows: titles, cut where a terminal's lines end.
constexpr size_t kMostTitles = 24;

// Where the rows of the table that begins at `at` begin: at a name of its first line that stands again.
size_t RowsBegin(const std::vector<SmiWord>& words, size_t at) {
  const size_t begin = at;
  while (at < words.size() && IsSmiName(words[at].text)) {
    if (at - begin > kMaxDevicesPerNode + kMaxPartsPerNode) return words.size();
    const bool again =
        std::any_of(words.begin() + static_cast<ptrdiff_t>(begin), words.begin() + static_cast<ptrdiff_t>(at),
                    [&](const SmiWord& word) { return word.text == words[at].text; });
    if (again) return at;
    ++at;
  }
  for (size_t row = at; row < std::min(at + kMostTitles, words.size()); ++row) {
    const bool again =
        std::any_of(words.begin() + static_cast<ptrdiff_t>(begin), words.begin() + static_cast<ptrdiff_t>(at),
                    [&](const SmiWord& word) { return word.text == words[row].text; });
    if (again) return row;
  }
  return words.size();
}

// nvidia-smi topo -p2p: who may reach whom. Its first row has X and then one of these.
bool IsPeerStatus(const std::vector<SmiWord>& words, size_t at) {
  constexpr std::string_view kStatus[] = {"OK", "CNS", "GNS", "TNS", "NS", "DR", "U"};
  const size_t row = RowsBegin(words, at);
  return row + 2 < words.size() && words[row + 1].text == "X" &&
         std::find(std::begin(kStatus), std::end(kStatus), words[row + 2].text) != std::end(kStatus);
}

// A table of something else, below: its first row has no value of nvidia-smi's, "GPU0 - True True".
bool IsForeign(const std::vector<SmiWord>& words, size_t at) {
  size_t names = 0;
  const size_t row = RowsBegin(words, at);
  while (at + names < row && IsSmiName(words[at + names].text)) ++names;
  for (size_t column = 1; column <= names && row + column < words.size(); ++column) {
    if (IsSmiCell(words[row + column].text)) return false;
  }
  return true;
}

// Those from the first table on: no more are kept than kMaxWords and one. `next` gives one after another.
template <typename Next>
std::vector<SmiWord> WordsFrom(Next next) {
  std::vector<SmiWord> words;
  std::optional<SmiWord> before = next();
  for (std::optional<SmiWord> word; before && words.size() <= kMaxWords; before = word) {
    word = next();
    if (!words.empty() || (word && BeginsSmiTable(*before, *word))) words.push_back(*before);
  }
  return words;
}

std::vector<SmiWord> WordsFromTable(std::string_view text) {
  SmiWords all(text);
  return WordsFrom([&] { return all.Next(); });
}

std::vector<SmiWord> WordsFromTable(const SmiHost& host) {
  size_t line = 0;
  SmiWords words("");
  return WordsFrom([&] {
    std::optional<SmiWord> word = words.Next();
    for (; !word && line < host.lines.size(); word = words.Next()) {
      words = SmiWords(host.lines[line].text, host.lines[line].line, host.lines[line].column);
      ++line;
    }
    return word;
  });
}

class Reader {
 public:
  Reader(const std::vector<SmiWord>& words, std::string_view where) : words_(words), where_(where) {}

  Result<SmiTable> Read(size_t& at) {
    SmiTable table;
    MRS_RETURN_IF_ERROR(Header(table, at));
    table.cells.resize(table.names.size());
    table.cpus.resize(table.names.size());
    table.numa.resize(table.names.size());
    for (std::vector<SmiCell>& row : table.cells) row.resize(table.names.size());
    std::vector<bool> seen(table.names.size());
    while (at < words_.size() && !BeginsTable(words_, at)) {
      const auto row = std::find(table.names.begin(), table.names.end(), words_[at].text) - table.names.begin();
      if (static_cast<size_t>(row) == table.names.size()) break;
      if (at + 1 >= words_.size() || !IsSmiCell(words_[at + 1].text)) {
        if (seen[row]) break;  // words of the text below
      }
      if (seen[row]) return Fault(at, fmt::format("a second row {}", table.names[row]));
      seen[row] = true;
      MRS_RETURN_IF_ERROR(Row(table, static_cast<size_t>(row), at));
    }
    for (size_t gpu = 0; gpu < table.gpu_count; ++gpu) {
      if (seen[gpu]) continue;
      const size_t last = std::min(at, words_.size() - 1);
      return Fault(last, fmt::format("the table ends without row {}; expected all {} GPUs of its first line",
                                     table.names[gpu], table.gpu_count));
    }
    Legend(table, at);
    return table;
  }

 private:
  Error Fault(size_t at, std::string_view message) const {
    return Refuse("{}: line {}, column {}: {}", where_, words_[at].line, words_[at].column, message);
  }

  bool BeginsRow(const SmiTable& table, size_t at) const {
    return at + 1 < words_.size() && IsSmiCell(words_[at + 1].text) &&
           std::find(table.names.begin(), table.names.end(), words_[at].text) != table.names.end();
  }

  Status Header(SmiTable& table, size_t& at) {
    for (; at < words_.size() && IsSmiName(words_[at].text) && !IsSmiCell(words_[at].text); ++at) {
      const std::string_view name = words_[at].text;
      // The first row begins where a value follows a name that there is already.
      const bool known = std::find(table.names.begin(), table.names.end(), name) != table.names.end();
      if (known && at + 1 < words_.size() && IsSmiCell(words_[at + 1].text)) break;
      if (known) return Fault(at, fmt::format("a second column {}", name));
      const std::optional<int> number = GpuNumber(name);
      if (number && table.gpu_count < table.names.size()) return Fault(at, "a GPU's column after a network card's");
      if (table.names.size() - table.gpu_count >= kMaxPartsPerNode || table.gpu_count > kMaxDevicesPerNode) {
        return Fault(
            at, fmt::format("expected at most {} GPUs and {} network cards", kMaxDevicesPerNode, kMaxPartsPerNode));
      }
      table.names.emplace_back(name);
      if (number) {
        table.gpu_numbers.push_back(*number);
        ++table.gpu_count;
      }
    }
    if (table.gpu_count > kMaxDevicesPerNode) {
      return Fault(at - 1, fmt::format("{} GPUs; expected at most {}", table.gpu_count, kMaxDevicesPerNode));
    }
    // "CPU Affinity", "NUMA Affinity", "GPU NUMA ID", of which older drivers have fewer.
    size_t row = at;
    const size_t end = std::min(at + kMostTitles, words_.size());
    while (row < end && !BeginsRow(table, row)) ++row;
    constexpr std::string_view kTitles[] = {"CPU", "NUMA", "GPU", "Affinity", "ID"};
    if (row == end) {
      for (row = at; row < words_.size(); ++row) {
        if (std::find(std::begin(kTitles), std::end(kTitles), words_[row].text) == std::end(kTitles)) break;
      }
    }
    for (; at < row; ++at) titles_ += words_[at].text == "Affinity" || words_[at].text == "ID";
    return Status();
  }

  Status Row(SmiTable& table, size_t row, size_t& at) {
    const size_t name = at++;
    for (size_t column = 0; column < table.names.size(); ++column, ++at) {
      const auto what = fmt::format("row {}, column {}", table.names[row], table.names[column]);
      if (at >= words_.size()) return Fault(name, fmt::format("{}: the text ends; expected a value", what));
      std::string word(words_[at].text);
      if (word == "SOC") word = "SYS";  // before NVIDIA's driver 384
      // "NV0" is no link, and no GPU has more than 64.
      if (!IsSmiCell(word) || word.size() > 4 || word == "NV0" ||
          (word.size() == 4 && word > "NV64" && word.starts_with("NV"))) {
        return Fault(at, fmt::format("{}: expected X, NV#, PIX, PXB, PHB, NODE or SYS, got '{}'", what,
                                     Printable(std::string_view(word).substr(0, 64))));
      }
      if ((word == "X") != (row == column)) {
        return Fault(at, fmt::format("{}: '{}'; X stands where both are the same, and only there", what, word));
      }
      const bool gpus = row < table.gpu_count && column < table.gpu_count;
      if (word.starts_with("NV") && !gpus)
        return Fault(at, fmt::format("{}: '{}'; only GPUs have NVLinks", what, word));
      table.cells[row][column] = {std::move(word), words_[at].line, words_[at].column};
    }
    std::vector<std::string> affinities;
    bool joined = false;  // "0-31," goes on in the next word
    for (; at < words_.size() && IsAffinity(words_[at].text) && affinities.size() < 4; ++at) {
      const std::string_view word = words_[at].text;
      if (joined || (word.starts_with(',') && !affinities.empty())) {
        affinities.back().append(word);
      } else {
        affinities.emplace_back(word);
      }
      joined = word.ends_with(',');
    }
    // Where a container may not see the CPUs, the first is blank: what comes next is no list.
    const bool blank = affinities.size() < titles_ && !affinities.empty() && row < table.gpu_count &&
                       affinities[0].find_first_of(",-") == std::string::npos;
    if (blank) affinities.insert(affinities.begin(), titles_ - affinities.size(), "N/A");
    if (!affinities.empty() && affinities[0] != "N/A") table.cpus[row] = affinities[0];
    if (affinities.size() > 1 && affinities[1] != "N/A") table.numa[row] = affinities[1];
    table.own_numa = table.own_numa || (titles_ == 3 && affinities.size() > 2 && affinities[2] != "N/A");
    // Somebody's notes beside the row.
    while (at < words_.size() && !words_[at].first && !BeginsRow(table, at)) ++at;
    return Status();
  }

  // "NIC0: mlx5_0", anywhere before the next table.
  void Legend(SmiTable& table, size_t at) const {
    for (; at + 1 < words_.size() && !BeginsTable(words_, at); ++at) {
      std::string_view key = words_[at].text;
      if (!key.starts_with("NIC") || !key.ends_with(':')) continue;
      key.remove_suffix(1);
      const auto column = std::find(table.names.begin(), table.names.end(), key);
      if (column == table.names.end() || words_[at + 1].text.size() > 64) continue;
      const std::string name(words_[at + 1].text);
      if (!std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7F && c != '"' && c != '\\'; })) {
        continue;
      }
      if (std::find(table.names.begin(), table.names.end(), name) == table.names.end()) *column = name;
    }
  }

  const std::vector<SmiWord>& words_;
  std::string_view where_;
  size_t titles_ = 0;  // of the columns after the values
};

}  // namespace

bool HasSmiTable(std::string_view text) {
  if (text.size() > kMaxFileBytes || text.find("GPU") == text.npos) return false;
  SmiWords words(text);
  std::optional<SmiWord> before = words.Next();
  for (std::optional<SmiWord> word = words.Next(); word; word = words.Next()) {
    if (BeginsSmiTable(*before, *word)) return true;
    before = word;
  }
  return HasPrefixedTable(text);
}

Result<std::vector<SmiTable>> ReadSmiTables(std::string_view text, std::string_view where) {
  if (text.size() > kMaxFileBytes)
    return Refuse("{}: {} bytes; expected at most {}", where, text.size(), kMaxFileBytes);
  std::vector<SmiTable> tables;
  size_t device_count = 0, status_line = 0;
  const auto read = [&](const std::vector<SmiWord>& words, std::string_view host) -> Status {
    if (words.size() > kMaxWords) return Refuse("{}: more than {} words", where, kMaxWords);
    for (size_t at = 0; at < words.size();) {
      if (!BeginsTable(words, at)) {
        ++at;
        continue;
      }
      const size_t begin = at;
      const bool status = IsPeerStatus(words, at);
      if (status && status_line == 0) status_line = words[at].line;
      if (status || (!tables.empty() && IsForeign(words, at))) {
        at = RowsBegin(words, at);
        continue;
      }
      MRS_ASSIGN_OR_RETURN(SmiTable table, Reader(words, where).Read(at));
      device_count += table.gpu_count;
      table.host = host;
      tables.push_back(std::move(table));
      if (tables.size() > kMaxNodes || device_count > kMaxDevices) {
        return Refuse("{}: line {}: more than {} tables or {} GPUs", where, words[begin].line, kMaxNodes, kMaxDevices);
      }
    }
    return Status();
  };
  MRS_RETURN_IF_ERROR(read(WordsFromTable(text), ""));
  if (!tables.empty()) return tables;
  MRS_ASSIGN_OR_RETURN(const std::vector<SmiHost> hosts, HostsOf(text, where));
  for (const SmiHost& host : hosts) MRS_RETURN_IF_ERROR(read(WordsFromTable(host), host.name));
  if (tables.empty() && status_line > 0) {
    return Refuse(
        "{}: line {}: is what nvidia-smi topo -p2p prints, which says what GPUs may reach each other and not by what "
        "way; give what nvidia-smi topo -m prints",
        where, status_line);
  }
  if (tables.empty()) {
    return Refuse("{}: no table of nvidia-smi topo -m: no line begins with the names of GPUs, such as GPU0 GPU1",
                  where);
  }
  return tables;
}

}  // namespace mrs::cluster
