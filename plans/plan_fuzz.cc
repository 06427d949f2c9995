// Feeds bytes to the reader with the seal made good, so that what lies behind it is reached: refused or sound, never a
// crash.
#include <algorithm>
#include <string>

#include "plans/contract.h"
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
  }
  return 0;
}
