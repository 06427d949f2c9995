// Feeds bytes to the reader with the seal made good, so that what lies behind it is reached: refused or sound, never a
// crash; and what is sound can be shown, in whole and in part, and compared.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "plans/contract.h"
#include "plans/diff.h"
#include "plans/html/page.h"
#include "plans/part.h"
#include "plans/reader.h"
#include "plans/sha256.h"
#include "plans/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string file(reinterpret_cast<const char*>(data), size);
  if (size >= mrs::contract::kTrailerBytes) {
    const size_t body = size - mrs::contract::kTrailerBytes;
    const mrs::Sha256Digest digest = mrs::Sha256(std::as_bytes(std::span(file)).first(body));
    std::copy(digest.begin(), digest.end(), file.begin() + static_cast<std::ptrdiff_t>(body));
  }
  const auto opened = mrs::OpenPlanBytes(std::as_bytes(std::span(file)));
  if (opened) {
    (void)mrs::PlanToText(opened->plan(), opened->name());
    (void)mrs::PlanToJson(opened->plan(), opened->name());
    (void)mrs::PlanSummary(opened->plan(), opened->name());
    (void)mrs::PlanToHtml(opened->plan(), opened->name());
    const mrs::DiffSide side{opened->plan(), opened->name(), "fuzzed"};
    const mrs::PlanDiff diff = mrs::DiffPlans(side, side, {});
    if (!diff.same()) std::abort();
    (void)mrs::diff::Summarize(opened->plan(), opened->plan());
    for (const mrs::Selection& selection : {mrs::Selection{.rank = 0}, mrs::Selection{.layer = 0}}) {
      const auto part = mrs::SelectPart(opened->plan(), selection);
      if (!part) continue;
      (void)mrs::PartText(opened->plan(), *part);
      (void)mrs::PartJson(opened->plan(), opened->name(), *part);
    }
  }
  return 0;
}
