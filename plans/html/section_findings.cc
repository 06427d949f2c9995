// What holds, who says so, and what a reader should know.
#include <algorithm>

#include "plans/append.h"
#include "plans/html/findings.h"
#include "plans/html/markup.h"
#include "plans/html/sections.h"
#include "plans/verify.h"

namespace mrs::html {
namespace {

// What OpenPlan has just checked, in the words of the check: a file may say anything under its name.
bool WasCheckedNow(const plan::Certificate* c) {
  return c->name()->string_view() == kVerifyName && c->statement()->string_view() == kVerifyStatement;
}

void AppendCertificate(std::string_view name, std::string_view statement, bool checked_now, std::string* out) {
  Append(out, "<li class=\"{}\"><b>{}</b> <code>{}</code> <span>{}</span></li>\n", checked_now ? "good" : "note",
         checked_now ? "Checked now" : "As the file says", Text(name), Text(statement, 400));
}

}  // namespace

void AppendFindings(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  constexpr std::string_view kClasses[] = {"good", "note", "warn"};
  constexpr std::string_view kWords[] = {"Good", "Note", "Warning"};
  BeginSection(out, "findings", "Findings");
  *out += "<ul class=\"findings\">\n";
  for (const Finding& finding : FindingsOf(facts)) {
    const auto weighing = static_cast<size_t>(finding.weighing);
    Append(out, "<li class=\"{}\"><b>{}</b> <code>{}</code> <span>{}</span></li>\n", kClasses[weighing],
           kWords[weighing], finding.id, finding.text);
  }
  *out += "</ul>\n<h3>Certificates</h3>\n<ul class=\"findings\">\n";
  AppendCertificate(kVerifyName, kVerifyStatement, true, out);
  uint64_t shown = 0;
  for (const plan::Certificate* c : *facts.plan->certificates()) {
    if (WasCheckedNow(c)) continue;
    if (++shown > 64) break;
    AppendCertificate(c->name()->string_view(), c->statement()->string_view(), false, out);
  }
  if (shown > 64) *out += "<li class=\"note\">More are in the file; mrs-plan inspect PLAN has all.</li>\n";
  *out +=
      "</ul>\n<p class=\"hint\"><code>mrs-plan verify PLAN --model DIR</code> checks again what only the file "
      "says.</p>\n";
  const auto& predictions = *facts.plan->predictions();
  if (predictions.size() > 0) {
    Table table(out, rows_left, "t-predictions", fmt::format("Predictions ({})", predictions.size()),
                {{"what"}, {"expected", true}, {"low", true}, {"high", true}, {"unit"}, {"from"}});
    for (const plan::Prediction* p : predictions) {
      if (!table.Row()) continue;
      Append(out,
             "<tr><td>{}</td><td>{}</td><td>{}</td><td "
             "class=\"n\">{}</td><td>{}</td><td>{}</td></tr>\n",
             Text(p->name()->string_view()), p->expected(), p->low(), p->high(), Text(p->unit()->string_view()),
             Text(p->provenance()->string_view(), 240));
    }
  }
  EndSection(out);
}

}  // namespace mrs::html
