#include "plans/html/markup.h"

#include <array>

namespace mrs::html {
namespace {

// The character that starts text, which is not empty, and its length in bytes. What is no UTF-8 counts byte for byte,
// as U+FFFD.
std::pair<char32_t, size_t> Next(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || length > text.size()) return {0xFFFD, 1};
  char32_t code = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {0xFFFD, 1};
    code = code << 6 | (byte(i) & 0x3F);
  }
  return {code, length};
}

// First and last of what is shown by number: https://www.unicode.org/reports/tr9 (bidirectional formatting),
// https://www.unicode.org/reports/tr36 (what is not seen), https://www.w3.org/TR/xml/#charsets (what XML may not hold).
constexpr std::array<std::pair<char32_t, char32_t>, 14> kHidden = {{{0x0, 0x1F},
                                                                    {0x7F, 0x9F},
                                                                    {0xAD, 0xAD},
                                                                    {0x61C, 0x61C},
                                                                    {0x115F, 0x1160},
                                                                    {0x180B, 0x180F},
                                                                    {0x200B, 0x200F},
                                                                    {0x2028, 0x202E},
                                                                    {0x2060, 0x206F},
                                                                    {0xD800, 0xDFFF},
                                                                    {0xFE00, 0xFE0F},
                                                                    {0xFEFF, 0xFEFF},
                                                                    {0xFFF0, 0xFFFB},
                                                                    {0xE0000, 0xE0FFF}}};

bool IsHidden(char32_t code) {
  for (const auto& [first, last] : kHidden) {
    if (code >= first && code <= last) return true;
  }
  return (code & 0xFFFE) == 0xFFFE;  // noncharacters end every plane
}

std::string Escaped(std::string_view text, size_t max_bytes, bool keep_lines) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const auto [code, length] = Next(text.substr(at));
    if (at + length > max_bytes) {
      Put(&out, "… ({} bytes more)", text.size() - at);
      break;
    }
    const std::string_view bytes = text.substr(at, length);
    at += length;
    if (code == '<') {
      out += "&lt;";
    } else if (code == '>') {
      out += "&gt;";
    } else if (code == '&') {
      out += "&amp;";
    } else if (code == '"') {
      out += "&quot;";
    } else if (code == '\'') {
      out += "&#39;";
    } else if (IsHidden(code) && !(keep_lines && code == U'\n')) {
      Put(&out, "\\u{{{:x}}}", static_cast<uint32_t>(code));
    } else if (code == 0xFFFD) {
      out += "\uFFFD";
    } else {
      out += bytes;
    }
  }
  return out;
}

}  // namespace

std::string Text(std::string_view text, size_t max_bytes) { return Escaped(text, max_bytes, false); }
std::string Lines(std::string_view text, size_t max_bytes) { return Escaped(text, max_bytes, true); }

std::string Percent(double part, double whole) {
  if (!(whole > 0)) return "0%";
  std::string text = fmt::format("{:.2f}", 100 * part / whole);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text + "%";
}

std::string Count(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// Columns of numbers are named by the table's classes: r3 aligns the third to the right (style.cc).
Table::Table(std::string* out, uint64_t* rows_left, std::string_view id, std::string_view summary,
             std::initializer_list<Column> columns)
    : out_(out), rows_left_(rows_left), column_count_(columns.size()), own_left_(*rows_left / 2) {
  std::string classes = columns.end()[-1].number ? "" : "wrap";
  size_t number = 0;
  for (const Column& column : columns) {
    if (++number; column.number) Put(&classes, "{}r{}", classes.empty() ? "" : " ", number);
  }
  Put(out_,
      "<details id=\"{}\"><summary>{}</summary>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" "
      "aria-label=\"{}\"><table class=\"{}\">\n<thead><tr>",
      id, summary, summary, classes);
  for (const Column& column : columns) Put(out_, "<th scope=\"col\">{}</th>", column.title);
  Put(out_, "</tr></thead>\n<tbody>\n");
}

bool Table::Row() {
  if (own_left_ == 0 || out_->size() >= kMaxPageBytes) {
    ++left_out_;
    return false;
  }
  --own_left_;
  --*rows_left_;
  return true;
}

Table::~Table() {
  if (left_out_ > 0) {
    Put(out_, "<tr><td colspan=\"{}\">{} more are not on this page; mrs-plan inspect PLAN --json has all.</td></tr>\n",
        column_count_, left_out_);
  }
  Put(out_, "</tbody></table></div></details>\n");
}

}  // namespace mrs::html
