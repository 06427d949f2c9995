// What any cluster that was read must bear: its own file format reads it to an equal one with the same text, and it can
// be shown and judged, in text without control characters and in JSON that is JSON.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>

#include "formats/json.h"
#include "planner/cluster/cluster_file.h"
#include "planner/cluster/findings.h"
#include "planner/cluster/show.h"

namespace mrs::cluster {

inline void AbortUnless(bool holds) {
  if (!holds) std::abort();
}

inline void ExpectPlainText(const std::string& text) {
  AbortUnless(std::ranges::none_of(text, [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7F; }));
}

inline void ExpectSoundCluster(const Cluster& cluster) {
  const std::string canonical = CanonicalText(cluster);
  const Result<Cluster> again = ParseCluster(canonical, "again");
  AbortUnless(again && *again == cluster && CanonicalText(*again) == canonical);
  int64_t pairs = 0;
  for (const Node& node : cluster.nodes) pairs += PairsOf(node);
  if (pairs > 4096 || cluster.nodes.size() > 64) return;  // the fuzzer wants many inputs, not large ones
  ExpectPlainText(ClusterText(cluster));
  AbortUnless(ParseJson(ClusterJson(cluster), "shown").ok());
  const std::vector<Finding> findings = FindingsOf(cluster);
  ExpectPlainText(FindingsText(findings));
  AbortUnless(ParseJson(FindingsJson(findings), "found").ok());
  ExpectPlainText(SoundText(cluster));
}

// A refusal is one line of text.
inline void ExpectOneLine(const std::string& message) {
  AbortUnless(!message.empty() && message.size() < 4096);
  AbortUnless(message.find('\n') == message.npos);
  ExpectPlainText(message);
}

}  // namespace mrs::cluster
