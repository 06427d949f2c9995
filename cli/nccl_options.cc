#include "cli/nccl_options.h"

#include <fmt/format.h>

#include <string_view>

#include "plans/collectives.h"
#include "plans/printable.h"

namespace mrs::cli {
namespace {

constexpr size_t kMostShown = 32;

std::string TextOf(const NcclSetting& one) {
  const std::string text = Printable(fmt::format("{}={}", one.name, one.value).substr(0, 160));
  return one.from.empty() ? text : fmt::format("{} ({})", text, Printable(one.from));
}

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

std::string DescribeNccl(const NcclSettings& settings) {
  std::string text = "NCCL          not run on a device yet by this program; it reads ";
  if (settings.settings.empty()) text += "no variable that is set here";
  size_t shown = 0;
  for (const NcclSetting& one : settings.settings) {
    if (shown == kMostShown) break;
    text += fmt::format("{}{}", shown++ == 0 ? "" : ", ", TextOf(one));
  }
  if (settings.settings.size() > shown) text += fmt::format(" and {} more", settings.settings.size() - shown);
  text += "\n";
  if (const NcclSetting* const blocking = BlockingSetting(settings); blocking != nullptr) {
    text += fmt::format(
        "              {} overrides what this program asks of it, to wait nowhere: ranks wait in NCCL for one that "
        "does "
        "not come or is lost, however long; leave it out, or set it to 0\n",
        TextOf(*blocking));
  }
  for (const std::string& one : settings.unread) {
    text += fmt::format("              not looked into: {}\n", Printable(one));
  }
  return text;
}

}  // namespace mrs::cli
