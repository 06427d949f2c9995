#include "plans/html/page.h"

#include "plans/append.h"
#include "plans/html/facts.h"
#include "plans/html/markup.h"
#include "plans/html/sections.h"
#include "plans/html/style.h"

namespace mrs {

using namespace html;

std::string PlanToHtml(const plan::Plan& plan, std::string_view name) {
  const PageFacts facts = FactsOf(plan);
  std::string out;
  Append(&out,
         "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; base-uri 'none'; "
         "form-action 'none'\"/>\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
         "<meta name=\"color-scheme\" content=\"light dark\"/>\n<meta name=\"referrer\" content=\"no-referrer\"/>\n"
         "<title>{} · mrs plan</title>\n<style>{}</style></head>\n<body>\n",
         StyleHash(), Text(plan.model()->name()->string_view()), StyleText());
  out += "<a class=\"skip\" href=\"#findings\">Skip to findings</a>\n<main>\n";
  AppendHead(facts, name, &out);
  out +=
      "<nav aria-label=\"Sections\"><a href=\"#findings\">Findings</a><a href=\"#cluster\">Cluster</a><a "
      "href=\"#memory\">Memory</a><a href=\"#layers\">Layers</a><a href=\"#schedule\">Schedule</a><a "
      "href=\"#weights\">Weights</a><a href=\"#inputs\">Made from</a></nav>\n";
  uint64_t rows_left = kMaxRows;
  AppendFindings(facts, &rows_left, &out);
  AppendCluster(facts, &rows_left, &out);
  AppendMemory(facts, &rows_left, &out);
  AppendLayers(facts, &rows_left, &out);
  AppendSchedule(facts, &rows_left, &out);
  AppendWeights(facts, &rows_left, &out);
  AppendInputs(facts, &rows_left, &out);
  out += "</main></body></html>\n";
  return out;
}

}  // namespace mrs
