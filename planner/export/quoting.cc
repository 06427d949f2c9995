#include "planner/export/quoting.h"

#include <algorithm>

#include "plans/printable.h"

namespace mrs::deploy {
namespace {

bool IsPlain(std::string_view text, std::string_view beside) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || beside.find(c) != beside.npos;
  });
}

}  // namespace

Status CheckText(std::string_view what, std::string_view text) {
  if (text.empty()) return Refuse("{}: is empty", what);
  for (size_t i = 0; i < text.size();) {
    const auto [code, length] = FirstCharacter(text.substr(i));
    const bool broken = code == 0xFFFD && length == 1;
    if (broken || IsHidden(code)) {
      std::string bytes;
      AppendNumbers(text.substr(i, length), &bytes);
      return Refuse("{}: \"{}\": byte {} is {}, {}; rename it", what, Printable(text.substr(0, 120)), i, bytes,
                    broken ? "which is no UTF-8" : "a character that is not seen");
    }
    i += length;
  }
  return Status();
}

Status CheckPath(std::string_view what, std::string_view path) {
  MRS_RETURN_IF_ERROR(CheckText(what, path));
  if (path.starts_with('/')) return Status();
  return Refuse("{} {}: expected a path from the root folder on, as it is on every node", what, Printable(path));
}

std::string ShellWord(std::string_view text) {
  if (IsPlain(text, "-_./:@%+,")) return std::string(text);
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string_view("'\\''") : std::string_view(&c, 1);
  return out + "'";
}

std::string ShellWords(std::span<const std::string> words) {
  std::string out;
  for (const std::string& word : words) out += fmt::format("{}{}", out.empty() ? "" : " ", ShellWord(word));
  return out;
}

std::string YamlText(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#entrypoint: $(NAME) is replaced, and
// $$ is $.
std::string KubernetesWords(std::span<const std::string> words) {
  std::string out;
  for (const std::string& word : words) {
    std::string literal;
    for (const char c : word) literal += c == '$' ? std::string_view("$$") : std::string_view(&c, 1);
    out += fmt::format("{}{}", out.empty() ? "" : ", ", YamlText(literal));
  }
  return fmt::format("[{}]", out);
}

// systemd.service(5), "COMMAND LINES": words in double quotes know C's escapes, % is a specifier's, $ a variable's.
std::string SystemdWord(std::string_view text) {
  if (IsPlain(text, "-_./:@+,=")) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    if (c == '%' || c == '$') out.push_back(c);
    out.push_back(c);
  }
  return out + "\"";
}

std::string SystemdText(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '%' ? std::string_view("%%") : std::string_view(&c, 1);
  return out;
}

std::string Comment(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size() && out.size() < 200;) {
    const size_t hidden = HiddenLength(text.substr(i));
    const size_t length = hidden > 0 ? hidden : FirstCharacter(text.substr(i)).second;
    hidden > 0 ? out.push_back('?') : static_cast<void>(out += text.substr(i, length));
    i += length;
  }
  // systemd joins a comment that ends in a backslash with no other line, but older shells' editors do.
  while (!out.empty() && out.back() == '\\') out.pop_back();
  return out;
}

bool IsLabel(std::string_view text) {
  const auto inner = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-'; };
  return !text.empty() && text.size() <= kMaxLabel && std::all_of(text.begin(), text.end(), inner) &&
         text.front() >= 'a' && text.front() <= 'z' && text.back() != '-';
}

std::string LabelLike(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    const char lower = upper ? static_cast<char>(c - 'A' + 'a') : c;
    const bool kept = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    if (kept) {
      out.push_back(lower);
    } else if (!out.empty() && out.back() != '-') {
      out.push_back('-');
    }
  }
  if (out.empty() || out.front() < 'a' || out.front() > 'z') out.insert(0, out.empty() ? "mrs" : "mrs-");
  out.resize(std::min(out.size(), kMaxLabel));
  while (out.back() == '-') out.pop_back();
  return out;
}

}  // namespace mrs::deploy
