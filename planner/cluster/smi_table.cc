#include "planner/cluster/smi_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "planner/cluster/limits.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

constexpr size_t kMaxWords = size_t{1} << 18;  // from the first table on

struct Word {
  std::string_view text;
  size_t line = 0, column = 0;
  bool first = false;  // of its line
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Between words: blanks, and what people quote and lay out tables with.
bool IsBlank(char c) { return static_cast<unsigned char>(c) <= ' ' || c == '|' || c == '>'; }

// How long a colour code is at the front of `text`: ESC [ ... letter, or what is left of it, "[4m"; 0: none.
size_t ColourCode(std::string_view text) {
  const bool caret = text.starts_with("^[[");  // as cat -v and logs write an escape
  const bool escape = caret || text.starts_with('\x1b');
  size_t at = caret ? 2 : escape ? 1 : 0;
  if (at >= text.size() || text[at] != '[') return escape ? 1 : 0;
  ++at;
  while (at < text.size() && (IsDigit(text[at]) || text[at] == ';' || text[at] == '?')) ++at;
  if (at == text.size()) return 0;
  if (escape && ((text[at] >= 'a' && text[at] <= 'z') || (text[at] >= 'A' && text[at] <= 'Z'))) return at + 1;
  return text[at] == 'm' ? at + 1 : 0;
}

// The words of a text, one after another.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text) {}

  std::optional<Word> Next() {
    while (at_ < text_.size()) {
      if (text_[at_] == '\n') {
        ++line_;
        begin_of_line_ = ++at_;
        first_ = true;
      } else if (const size_t code = ColourCode(text_.substr(at_)); code > 0) {
        at_ += code;
      } else if (IsBlank(text_[at_]) || text_.substr(at_).starts_with("\xEF\xBB\xBF")) {
        at_ += text_[at_] == '\xEF' ? 3 : 1;
      } else if (text_.substr(at_).starts_with("\xC2\xA0")) {  // a space that does not break, from web pages
        at_ += 2;
      } else {
        const size_t begin = at_;
        while (at_ < text_.size() && !IsBlank(text_[at_]) && ColourCode(text_.substr(at_)) == 0 &&
               !text_.substr(at_).starts_with("\xC2\xA0")) {
          ++at_;
        }
        return Word{text_.substr(begin, at_ - begin), line_, begin - begin_of_line_ + 1, std::exchange(first_, false)};
      }
    }
    return std::nullopt;
  }

 private:
  std::string_view text_;
  size_t at_ = 0, line_ = 1, begin_of_line_ = 0;
  bool first_ = true;
};

bool IsCell(std::string_view word) {
  if (word.starts_with("NV") && word.size() > 2) {
    return std::all_of(word.begin() + 2, word.end(), IsDigit);
  }
  constexpr std::string_view kWords[] = {"X", "PIX", "PXB", "PHB", "NODE", "SYS", "SOC"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

// 3 of "GPU3".
std::optional<int> GpuNumber(std::string_view word) {
  if (!word.starts_with("GPU") || word.size() == 3 || word.size() > 7) return std::nullopt;
  int number = 0;
  const auto [end, error] = std::from_chars(word.data() + 3, word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size() || number < 0) return std::nullopt;
  return number;
}

// "NIC0", "mlx5_0", "mlx5_bond_0", "bnxt_re1", "rocep24s0": a name that ends in a number, and is no value.
bool IsName(std::string_view word) {
  if (word.empty() || word.size() > 64 || !IsDigit(word.back()) || IsCell(word)) return false;
  const char c = word.front();
  if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) return false;
  return std::all_of(word.begin(), word.end(), [](char one) {
    return IsDigit(one) || one == '_' || one == '-' || (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z');
  });
}

bool IsAffinity(std::string_view word) {
  return word == "N/A" ||
         std::all_of(word.begin(), word.end(), [](char c) { return IsDigit(c) || c == ',' || c == '-'; });
}

// A table's first line: GPUs' names and no value after the first of them.
bool BeginsTable(const Word& word, const Word& next) {
  return word.first && GpuNumber(word.text).has_value() && !IsCell(next.text) &&
         (IsName(next.text) || next.text == "CPU");
}
bool BeginsTable(const std::vector<Word>& words, size_t at) {
  return at + 1 < words.size() && BeginsTable(words[at], words[at + 1]);
}

// Those from the first table on: no more are kept than kMaxWords and one.
std::vector<Word> WordsFromTable(std::string_view text) {
  Words all(text);
  std::vector<Word> words;
  std::optional<Word> before = all.Next();
  for (std::optional<Word> word; before && words.size() <= kMaxWords; before = word) {
    word = all.Next();
    if (!words.empty() || (word && BeginsTable(*before, *word))) words.push_back(*before);
  }
  return words;
}

class Reader {
 public:
  Reader(const std::vector<Word>& words, std::string_view where) : words_(words), where_(where) {}

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
      if (at + 1 >= words_.size() || !IsCell(words_[at + 1].text)) {
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

  Status Header(SmiTable& table, size_t& at) {
    for (; at < words_.size() && IsName(words_[at].text) && !IsCell(words_[at].text); ++at) {
      const std::string_view name = words_[at].text;
      // The first row begins where a value follows a name that there is already.
      const bool known = std::find(table.names.begin(), table.names.end(), name) != table.names.end();
      if (known && at + 1 < words_.size() && IsCell(words_[at + 1].text)) break;
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
    constexpr std::string_view kTitles[] = {"CPU", "NUMA", "GPU", "Affinity", "ID"};
    while (at < words_.size() &&
           std::find(std::begin(kTitles), std::end(kTitles), words_[at].text) != std::end(kTitles)) {
      ++at;
    }
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
      if (!IsCell(word) || word.size() > 4 || word == "NV0" ||
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
    if (!affinities.empty() && affinities[0] != "N/A") table.cpus[row] = affinities[0];
    if (affinities.size() > 1 && affinities[1] != "N/A") table.numa[row] = affinities[1];
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

  const std::vector<Word>& words_;
  std::string_view where_;
};

}  // namespace

bool HasSmiTable(std::string_view text) {
  if (text.size() > kMaxFileBytes || text.find("GPU") == text.npos) return false;
  Words words(text);
  std::optional<Word> before = words.Next();
  for (std::optional<Word> word = words.Next(); word; word = words.Next()) {
    if (BeginsTable(*before, *word)) return true;
    before = word;
  }
  return false;
}

Result<std::vector<SmiTable>> ReadSmiTables(std::string_view text, std::string_view where) {
  if (text.size() > kMaxFileBytes)
    return Refuse("{}: {} bytes; expected at most {}", where, text.size(), kMaxFileBytes);
  const std::vector<Word> words = WordsFromTable(text);
  if (words.size() > kMaxWords) return Refuse("{}: more than {} words", where, kMaxWords);
  std::vector<SmiTable> tables;
  size_t device_count = 0;
  for (size_t at = 0; at < words.size();) {
    if (!BeginsTable(words, at)) {
      ++at;
      continue;
    }
    const size_t begin = at;
    MRS_ASSIGN_OR_RETURN(SmiTable table, Reader(words, where).Read(at));
    device_count += table.gpu_count;
    tables.push_back(std::move(table));
    if (tables.size() > kMaxNodes || device_count > kMaxDevices) {
      return Refuse("{}: line {}: more than {} tables or {} GPUs", where, words[begin].line, kMaxNodes, kMaxDevices);
    }
  }
  if (tables.empty()) {
    return Refuse("{}: no table of nvidia-smi topo -m: no line begins with the names of GPUs, such as GPU0 GPU1",
                  where);
  }
  return tables;
}

}  // namespace mrs::cluster
