// Any bytes: a config within its ranges, or faults that each stand within the text.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/ring_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const mrs::RingReading reading = mrs::ReadRing(text);
  const auto lines = 1 + std::count(text.begin(), text.end(), '\n');
  for (const mrs::RingFault& fault : reading.faults) {
    if (fault.message.empty() || fault.begin.line > lines || fault.end.line > lines) std::abort();
  }
  const mrs::Result<mrs::RingRankConfig> config = mrs::ParseRingConfig(text, "fuzz");
  if (config.ok() && (!reading.whole() || config->rank >= config->world_size)) std::abort();
  if (!config.ok() && !config.message().starts_with("fuzz: ")) std::abort();
  return 0;
}
