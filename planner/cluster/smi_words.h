// The words of `nvidia-smi topo -m`, one after another, whatever stands between them: blanks, colour codes, quotes,
// what web pages and Markdown lay tables out with.
//
//   "\x1b[4m\tGPU0\tGPU1\x1b[0m\n> GPU0 X NV4"  ->  GPU0 GPU1 | GPU0 X NV4, each with its line and column
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace mrs::cluster {

struct SmiWord {
  std::string_view text;
  size_t line = 0, column = 0;
  bool first = false;  // of its line
};

class SmiWords {
 public:
  // `line`, `column`: of the text's first byte.
  explicit SmiWords(std::string_view text, size_t line = 1, size_t column = 1)
      : text_(text), line_(line), column_(column) {}

  std::optional<SmiWord> Next();

 private:
  std::string_view text_;
  size_t at_ = 0, line_, column_, begin_of_line_ = 0;
  bool first_ = true;
};

bool IsDigit(char c);

// "X", "NV12", "PIX", "PXB", "PHB", "NODE", "SYS", "SOC".
bool IsSmiCell(std::string_view word);

// 3 of "GPU3".
std::optional<int> GpuNumber(std::string_view word);

// "NIC0", "mlx5_0", "mlx5_bond_0", "bnxt_re1", "rocep24s0": a name that ends in a number, and is no value.
bool IsSmiName(std::string_view word);

// A table's first line: GPUs' names and no value after the first of them.
bool BeginsSmiTable(const SmiWord& word, const SmiWord& next);

}  // namespace mrs::cluster
