// The page's sections, each a drawing with its tables below it, one file each.
//
//   AppendCluster(facts, &rows_left, &out);   // <section id="cluster">...</section>
//
// Drawings have what the tables have, and nothing that only a mouse would show.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "plans/html/facts.h"

namespace mrs::html {

// Model, plan name, numerics, cluster; `name` is the plan's SHA-256.
void AppendHead(const PageFacts& facts, std::string_view name, std::string* out);
void AppendFindings(const PageFacts& facts, uint64_t* rows_left, std::string* out);  // and certificates, predictions
void AppendCluster(const PageFacts& facts, uint64_t* rows_left, std::string* out);
void AppendMemory(const PageFacts& facts, uint64_t* rows_left, std::string* out);
void AppendLayers(const PageFacts& facts, uint64_t* rows_left, std::string* out);
void AppendSchedule(const PageFacts& facts, uint64_t* rows_left, std::string* out);
void AppendWeights(const PageFacts& facts, uint64_t* rows_left, std::string* out);
void AppendInputs(const PageFacts& facts, uint64_t* rows_left, std::string* out);  // files, options, answers

// <section> and its heading; EndSection closes it.
void BeginSection(std::string* out, std::string_view id, std::string_view title);
void EndSection(std::string* out);

// A text of many lines behind a summary; nothing where there is none. `id` and `title` are markup.
void AppendText(std::string_view id, std::string_view title, std::string_view text, std::string* out);

// "0–7": the ranks of a stage, of all its replicas.
std::string RankNumbers(const PageFacts& facts, uint32_t stage);

// Stages whose lanes are drawn; all are in the tables.
inline constexpr size_t kMaxLanes = 64;

}  // namespace mrs::html
