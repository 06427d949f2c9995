// Any bytes, JSON or not: a span within the text, or nothing; of JSON, a span of the value that the parser has there.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/json.h"
#include "formats/json_positions.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const mrs::JsonStep paths[][2] = {{{"a"}, {"b"}}, {{"a"}, {.index = 1}}, {{.index = 0}, {"a"}}, {{""}, {"\n"}}};
  const mrs::Result<mrs::Json> parsed = mrs::ParseJson(text, "fuzz", {.max_bytes = 1 << 16, .max_depth = 32});
  for (const auto& path : paths) {
    const std::optional<mrs::JsonSpan> span = mrs::FindJsonSpan(text, path);
    if (!span) continue;
    if (span->begin >= span->end || span->end > text.size()) std::abort();
    if (mrs::PlaceOf(text, span->begin).line < 1) std::abort();
    if (!parsed.ok()) continue;
    const std::string_view value = text.substr(span->begin, span->end - span->begin);
    if (!mrs::ParseJson(value, "value").ok()) std::abort();
  }
  (void)mrs::SplitPlace(text, "", text);
  return 0;
}
