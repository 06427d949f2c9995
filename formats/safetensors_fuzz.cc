// Any bytes: refused, or every tensor lies inside the file and none overlaps the one before it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const mrs::Result<mrs::SafetensorsHeader> header = mrs::ParseSafetensorsHeader(bytes, size, "fuzz");
  if (!header.ok()) return 0;
  uint64_t next = header->header_bytes;
  for (const mrs::SafetensorsTensor& tensor : header->tensors) {
    if (tensor.begin != next || tensor.end < tensor.begin) std::abort();
    next = tensor.end;
  }
  if (next != size) std::abort();
  return 0;
}
