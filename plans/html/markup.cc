#include "plans/html/markup.h"

#include "plans/append.h"
#include "plans/printable.h"

namespace mrs::html {
namespace {

std::string Escaped(std::string_view text, size_t max_bytes, bool keep_lines) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const auto [code, length] = FirstCharacter(text.substr(at));
    if (at + length > max_bytes) {
      Append(&out, "… ({} bytes more)", text.size() - at);
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
      Append(&out, "\\u{{{:x}}}", static_cast<uint32_t>(code));
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
    if (++number; column.number) Append(&classes, "{}r{}", classes.empty() ? "" : " ", number);
  }
  Append(out_,
         "<details id=\"{}\"><summary>{}</summary>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" "
         "aria-label=\"{}\"><table class=\"{}\">\n<thead><tr>",
         id, summary, summary, classes);
  for (const Column& column : columns) Append(out_, "<th scope=\"col\">{}</th>", column.title);
  Append(out_, "</tr></thead>\n<tbody>\n");
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
    Append(out_,
           "<tr><td colspan=\"{}\">{} more are not on this page; mrs-plan inspect PLAN --json has all.</td></tr>\n",
           column_count_, left_out_);
  }
  Append(out_, "</tbody></table></div></details>\n");
}

}  // namespace mrs::html
