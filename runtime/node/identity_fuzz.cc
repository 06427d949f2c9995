// Any environment, one NAME=value a line: an identity within its plan, or a message of one line.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/node/identity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> lines;
  mrs::IdentityFlags flags;
  while (!text.empty() && lines.size() < 64) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + (line.size() < text.size() ? 1 : 0));
    constexpr std::string_view kHead = "--head ";
    if (line.starts_with(kHead)) {
      flags.head = std::string(line.substr(kHead.size()));
    } else {
      lines.emplace_back(line.substr(0, line.find('\0')));
    }
  }
  std::vector<const char*> entries;
  for (const std::string& line : lines) entries.push_back(line.c_str());
  entries.push_back(nullptr);
  const mrs::Environment environment = mrs::EnvironmentOf(entries.data());
  for (const size_t count : {1, 2, 3}) {
    std::vector<mrs::PlanNode> nodes;
    for (uint32_t i = 0; i < count; ++i)
      nodes.push_back({"n", i == 0 && count == 2 ? "10.0.0.1" : "", {2 * i, 2 * i + 1}});
    const mrs::Result<mrs::NodeIdentity> identity = mrs::IdentifyNode(flags, environment, nodes);
    if (identity.ok() && (identity->nodes != count || identity->node >= count)) std::abort();
    if (!identity.ok() && (identity.message().empty() || identity.message().find('\n') != std::string::npos))
      std::abort();
  }
  return 0;
}
