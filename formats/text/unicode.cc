#include "formats/text/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <vector>

#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

// ICU inserts each combining mark among those before it, which is quadratic in a run of them. Sorting long runs by
// class first (stable, as canonical ordering asks) changes no normal form and leaves nothing to insert.
std::string SortLongMarkRuns(std::string_view text) {
  constexpr size_t kLongRun = 32;
  std::string out;
  out.reserve(text.size());
  struct Mark {
    uint8_t combining_class;
    char32_t character;
  };
  std::vector<Mark> run;
  const auto flush = [&] {
    if (run.size() > kLongRun) {
      std::stable_sort(run.begin(), run.end(),
                       [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
    }
    for (const Mark& mark : run) AppendUtf8(mark.character, &out);
    run.clear();
  };
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    const uint8_t combining_class =
        unit.character < 0x300 ? 0 : u_getCombiningClass(static_cast<UChar32>(unit.character));
    if (combining_class != 0) {
      run.push_back({combining_class, unit.character});
    } else {
      flush();
      out.append(text.substr(i, static_cast<size_t>(unit.length)));
    }
    i += static_cast<size_t>(unit.length);
  }
  flush();
  return out;
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

icu::UnicodeString FromUtf8(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

}  // namespace

Result<std::string> Normalize(NormalForm form, std::string_view text) {
  if (IsAscii(text)) return std::string(text);
  if (text.size() > (size_t{1} << 28))
    return Refuse("{} bytes of text cannot be normalized, at most 2^28", text.size());
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = nullptr;
  switch (form) {
    case NormalForm::kNfc:
      normalizer = icu::Normalizer2::getNFCInstance(error);
      break;
    case NormalForm::kNfd:
      normalizer = icu::Normalizer2::getNFDInstance(error);
      break;
    case NormalForm::kNfkc:
      normalizer = icu::Normalizer2::getNFKCInstance(error);
      break;
    case NormalForm::kNfkd:
      normalizer = icu::Normalizer2::getNFKDInstance(error);
      break;
  }
  if (U_FAILURE(error)) return Refuse("ICU has no data for this normal form: {}", u_errorName(error));
  const std::string sorted = SortLongMarkRuns(text);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  normalizer->normalizeUTF8(0, icu::StringPiece(sorted.data(), static_cast<int32_t>(sorted.size())), sink, nullptr,
                            error);
  if (U_FAILURE(error)) return Refuse("ICU cannot normalize the text: {}", u_errorName(error));
  return out;
}

std::string LowerEach(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    i += static_cast<size_t>(unit.length);
    // U+0130 is the only character whose lower case is two characters.
    if (unit.character == 0x130) {
      out.append("i\xCC\x87");
    } else {
      AppendUtf8(static_cast<char32_t>(u_tolower(static_cast<UChar32>(unit.character))), &out);
    }
  }
  return out;
}

std::string Lower(std::string_view text) {
  std::string out;
  icu::UnicodeString wide = FromUtf8(text);
  wide.toLower(icu::Locale::getRoot()).toUTF8String(out);
  return out;
}

std::string Upper(std::string_view text) {
  std::string out;
  icu::UnicodeString wide = FromUtf8(text);
  wide.toUpper(icu::Locale::getRoot()).toUTF8String(out);
  return out;
}

bool IsNumeric(char32_t c) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & (U_GC_ND_MASK | U_GC_NL_MASK | U_GC_NO_MASK)) != 0;
}

bool IsPunctuation(char32_t c) {
  const bool ascii =
      (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
  return ascii || u_ispunct(static_cast<UChar32>(c));
}

bool IsWhitespace(char32_t c) { return u_isUWhiteSpace(static_cast<UChar32>(c)); }

bool IsWord(char32_t c) {
  constexpr uint32_t kMask = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return IsAlphabetic(c) || (U_GET_GC_MASK(static_cast<UChar32>(c)) & kMask) != 0 || c == 0x200C || c == 0x200D;
}

bool IsAlphabetic(char32_t c) { return u_isUAlphabetic(static_cast<UChar32>(c)); }

}  // namespace mrs::text
