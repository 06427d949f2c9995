#include <fmt/format.h>

#include <algorithm>

#include "plans/printable.h"
#include "runtime/doctor/report.h"

namespace mrs::doctor {

namespace {

// A card's name or a variable of the environment may hold what a terminal takes for a command.
std::string Plain(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    const size_t hidden = HiddenLength(text);
    const size_t length = hidden > 0 ? hidden : FirstCharacter(text).second;
    plain += hidden > 0 ? "?" : text.substr(0, length);
    text.remove_prefix(length);
  }
  return plain;
}

}  // namespace

std::string ToText(const Facts& facts, const std::vector<Finding>& findings) {
  const auto known = [](const std::string& text) { return text.empty() ? std::string("?") : Plain(text); };
  std::string text = fmt::format("{}: {}, kernel {}\n", known(facts.host), known(facts.arch), known(facts.kernel));
  size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.id.size());
  size_t counts[3] = {};
  for (const Finding& finding : findings) {
    ++counts[static_cast<size_t>(finding.verdict)];
    text +=
        fmt::format("{:<5} {:<{}}  {}\n", VerdictName(finding.verdict), Plain(finding.id), width, Plain(finding.says));
    if (!finding.fix.empty()) text += fmt::format("{:{}}-> {}\n", "", width + 8, Plain(finding.fix));
  }
  text +=
      fmt::format("{}: {} ok, {} to look at, {} bad\n", VerdictName(Worst(findings)), counts[0], counts[1], counts[2]);
  return text;
}

}  // namespace mrs::doctor
