// A text of many lines, such as a cluster's canonical YAML, as facts: one a line, called by the keys that it stands
// under, so that a node or card more renumbers nothing before it.
//
//   nodes:                              nodes[0].name          "a"
//     - name: "a"                  ->   nodes[0].devices[0]    {kind: cuda, ordinal: 0}
//       devices:
//         - {kind: cuda, ordinal: 0}
//
// It is no YAML parser, and need not be: any text has facts, and where the keys are not YAML's the names are less good.
// Indentation is all it goes by, so that texts with the same facts may differ in blanks.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mrs::diff {

std::vector<std::pair<std::string, std::string>> TextFacts(std::string_view text);

}  // namespace mrs::diff
