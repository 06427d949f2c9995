// A file and a text, split at the first NUL: refused, or encoded and decoded, whole and in parts alike.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "formats/text/detokenizer.h"
#include "formats/text/tokenizer.h"
#include "formats/text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::text;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\0');
  const mrs::Result<Tokenizer> tokenizer = ParseTokenizer(input.substr(0, cut), "fuzz");
  if (!tokenizer.ok()) return 0;
  std::string text;
  AppendLossy(cut == input.npos ? input.substr(0, 200) : input.substr(cut + 1), &text);
  const mrs::Result<std::vector<int32_t>> ids = Encode(*tokenizer, text, true);
  if (!ids.ok()) return 0;
  const mrs::Result<std::string> whole = Decode(*tokenizer, *ids, false);
  if (!whole.ok()) return 0;
  Detokenizer detokenizer(*tokenizer, false);
  std::string parts;
  for (const int32_t id : *ids) {
    const mrs::Result<std::string> part = detokenizer.Push(id);
    if (!part.ok() || FindInvalidUtf8(*part) != std::string::npos) std::abort();
    parts += *part;
    (void)TokenBytes(*tokenizer, id).ok();
  }
  const mrs::Result<std::string> rest = detokenizer.Finish();
  if (!rest.ok() || parts + *rest != *whole) std::abort();
  return 0;
}
