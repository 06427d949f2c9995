// SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html; what code scanning makes of it:
// https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
#include <algorithm>

#include "formats/json.h"
#include "planner/check/write_report.h"

namespace mrs::check {
namespace {

// RFC 3986, of a path: relative as it is, so that a service finds it in the checkout.
std::string UriOf(const std::string& path) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
  std::string uri = path.starts_with('/') ? "file://" : "";
  for (const char c : path) {
    if (kPlain.find(c) != kPlain.npos) {
      uri += c;
    } else {
      uri += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  return uri;
}

Json RegionOf(const Place& place) {
  Json region = {{"startLine", place.begin.line}, {"startColumn", place.begin.column}};
  if (place.end.line > 0) {
    region["endLine"] = place.end.line;
    region["endColumn"] = place.end.column;
  }
  return region;
}

Json LocationOf(const Place& place) {
  Json physical = {{"artifactLocation", {{"uri", UriOf(place.file)}}}};
  if (place.begin.line > 0) physical["region"] = RegionOf(place);
  return {{"physicalLocation", std::move(physical)}};
}

Json MessageOf(const std::string& text) { return {{"text", text}}; }

Json RuleOf(const Rule& rule) {
  return {{"id", rule.id},
          {"shortDescription", {{"text", rule.summary}}},
          {"defaultConfiguration", {{"level", SeverityName(rule.severity)}}}};
}

Json ResultOf(const Diagnostic& diagnostic) {
  const auto rules = AllRules();
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const Rule& one) { return one.id == diagnostic.id; });
  Json result = {{"ruleId", diagnostic.id},
                 {"ruleIndex", rule - rules.begin()},
                 {"level", SeverityName(diagnostic.severity)},
                 {"message", MessageOf(diagnostic.message)},
                 {"locations", Json::array({LocationOf(diagnostic.place)})}};
  int64_t id = 0;
  for (const Note& note : diagnostic.notes) {
    Json location = LocationOf(note.place);
    location["id"] = id++;
    location["message"] = MessageOf(note.message);
    result["relatedLocations"].push_back(std::move(location));
  }
  for (const FixIt& fix : diagnostic.fixes) {
    Json replacement = {{"deletedRegion", RegionOf(fix.place)}, {"insertedContent", {{"text", fix.replacement}}}};
    Json change = {{"artifactLocation", {{"uri", UriOf(fix.place.file)}}},
                   {"replacements", Json::array({std::move(replacement)})}};
    result["fixes"].push_back(
        {{"description", MessageOf(fix.message)}, {"artifactChanges", Json::array({std::move(change)})}});
  }
  return result;
}

}  // namespace

std::string SarifReport(const Report& report, const WriteOptions& options) {
  Json rules = Json::array();
  for (const Rule& rule : AllRules()) rules.push_back(RuleOf(rule));
  Json results = Json::array();
  for (const Diagnostic& diagnostic : report.diagnostics) results.push_back(ResultOf(diagnostic));
  const int exit_code = ExitCode(report, options.warnings_pass);
  Json run = {{"tool", {{"driver", {{"name", "mrs-plan"}, {"version", options.version}, {"rules", std::move(rules)}}}}},
              {"columnKind", "unicodeCodePoints"},
              {"invocations", Json::array({{{"executionSuccessful", exit_code != 2}, {"exitCode", exit_code}}})},
              {"results", std::move(results)}};
  const Json out = {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                    {"version", "2.1.0"},
                    {"runs", Json::array({std::move(run)})}};
  return fmt::format("{}\n", out.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace mrs::check
