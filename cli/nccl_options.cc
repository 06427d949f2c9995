#include "cli/nccl_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "plans/collectives.h"
#include "plans/printable.h"

namespace mrs::cli {
namespace {

constexpr size_t kMostShown = 32;

}  // namespace

bool UsesNccl(const plan::Plan& plan) { return CollectivesOf(plan) == Collectives::kNccl; }

Status CheckNccl(const plan::Plan& plan, bool flag, const char* const* environment) {
  if (!UsesNccl(plan)) return Status();
  std::string says = flag ? "--no-nccl" : "";
  for (; environment != nullptr && *environment != nullptr && says.empty(); ++environment) {
    // As mistral.rs has it: "1" alone is none.
    if (std::string_view(*environment) == "MISTRALRS_NO_NCCL=1") says = *environment;
  }
  if (says.empty()) return Status();
  return Refuse(
      "the plan's GPUs talk by NCCL, and {} says there is none: rebuild it with mrs-plan build --collectives staged, "
      "or "
      "leave that out",
      says);
}

std::string DescribeNccl(const char* const* environment) {
  std::set<std::string> set;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (entry.starts_with("NCCL_")) set.insert(Printable(entry.substr(0, 160)));
  }
  std::string text = "NCCL          not run on a device yet by this program; it reads ";
  if (set.empty()) return text + "no variable that is set here\n";
  size_t shown = 0;
  for (const std::string& entry : set) {
    if (shown == kMostShown) break;
    text += fmt::format("{}{}", shown++ == 0 ? "" : ", ", entry);
  }
  return text + (set.size() > shown ? fmt::format(" and {} more\n", set.size() - shown) : "\n");
}

}  // namespace mrs::cli
