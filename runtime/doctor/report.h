// What `mrs-exec doctor` says: lines for people, JSON for programs.
//
//   warn  limits.open_files   256 open files: the server takes one for each client
//                             -> ulimit -n 65536; docker run --ulimit nofile=65536
//
// The JSON's fields are listed in README.md; `mrs-plan cluster import` reads it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "runtime/doctor/facts.h"
#include "runtime/doctor/findings.h"

namespace mrs::doctor {

std::string ToText(const Facts& facts, const std::vector<Finding>& findings);

// `version` is the program's; `plan`: what its caller knows of a plan on this host, or null.
std::string ToJson(const Facts& facts, const std::vector<Finding>& findings, std::string_view version,
                   const Json& plan = Json());

}  // namespace mrs::doctor
