// Any bytes: parsed within the limits or refused; what is accepted can be written and read again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/json.h"
#include "formats/model_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)mrs::ParseJson(text, "fuzz", {.python_numbers = true}).ok();
  (void)mrs::ParseModelJson(text, "fuzz").ok();
  // Nothing but what stands in quotes, or between structural characters, is measured.
  if (const size_t at = mrs::FindLongToken(text, 3); at != text.npos && at + 3 >= size) std::abort();
  const mrs::Result<mrs::Json> parsed = mrs::ParseJson(text, "fuzz");
  if (!parsed.ok()) return 0;
  (void)mrs::GetInt(*parsed, "a", "fuzz", 1).ok();
  (void)mrs::GetStringOr(*parsed, "a", "fuzz", "").ok();
  if (!mrs::ParseJson(mrs::DumpJson(*parsed), "again").ok()) std::abort();
  return 0;
}
