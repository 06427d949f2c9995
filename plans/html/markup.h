// How the page's text is made: what comes from a plan passes Text, and only markup of this folder does not.
//
//   Append(&out, "<td>{}</td>", Text("a<b\n"));   // <td>a&lt;b\u{a}</td>
//
// The result is HTML and, at the same time, well-formed XML: every element is closed, every attribute quoted.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace mrs::html {

// Valid UTF-8 from outside, as text or as the value of an attribute in double quotes. Characters that mark up are
// entities; those that are not seen, or that change how others are seen (controls, bidirectional overrides, zero
// widths, noncharacters), are shown by their number. What is past max_bytes is said to be left out.
std::string Text(std::string_view text, size_t max_bytes = 96);

// The same with its line breaks, for <pre>.
std::string Lines(std::string_view text, size_t max_bytes);

// A share of a whole as SVG takes it, to a hundredth: "12.5%". Of nothing: "0%".
std::string Percent(double part, double whole = 1);

// "1 rank", "2 ranks".
std::string Count(uint64_t count, std::string_view noun);

// Rows that all tables of a page may have together, and the size of a page past which no further row comes: no plan
// makes a page that cannot be opened.
inline constexpr uint64_t kMaxRows = 50'000;
inline constexpr size_t kMaxPageBytes = size_t{16} << 20;

struct Column {
  std::string_view title;
  bool number = false;  // aligned to the right
};

// One table behind a summary, closed where its scope ends. It has at most half of the rows that the page has left, so
// that those after it have some; how many more there are is said.
class Table {
 public:
  // `rows_left` is the page's, and outlives this. `id` and titles are markup.
  Table(std::string* out, uint64_t* rows_left, std::string_view id, std::string_view summary,
        std::initializer_list<Column> columns);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  // True where a row may follow; the caller then appends <tr>...</tr>.
  bool Row();

 private:
  std::string* out_;
  uint64_t* rows_left_;
  size_t column_count_;
  uint64_t own_left_;
  uint64_t left_out_ = 0;
};

}  // namespace mrs::html
