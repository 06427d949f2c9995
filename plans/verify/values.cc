// Walks every field of the plan by its type table: enums must be known, floats finite, strings UTF-8 without NUL, and
// vectors aligned (the structural verifier only sees to their lengths). A field added to the schema is covered at once.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "flatbuffers/minireflect.h"
#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using flatbuffers::ElementaryType;
using flatbuffers::TypeTable;

// Table vectors may name one table many times over; what is walked in all is bounded all the same.
constexpr uint64_t kMaxWalkedBytes = 2 * contract::kMaxFileBytes;
constexpr uint64_t kMaxStringBytes = uint64_t{1} << 20;

// A complaint about the value at hand; the path to it is put before it on the way out.
using Complaint = std::optional<std::string>;

bool IsUtf8(const uint8_t* data, size_t size) {
  for (size_t i = 0; i < size;) {
    const uint8_t lead = data[i];
    if (lead == 0) return false;
    const size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || length > size - i) return false;
    for (size_t j = 1; j < length; ++j) {
      if ((data[i + j] & 0xC0) != 0x80) return false;
    }
    if (lead == 0xE0 && data[i + 1] < 0xA0) return false;  // overlong
    if (lead == 0xED && data[i + 1] > 0x9F) return false;  // surrogates
    if (lead == 0xF0 && data[i + 1] < 0x90) return false;  // overlong
    if (lead == 0xF4 && data[i + 1] > 0x8F) return false;  // past U+10FFFF
    i += length;
  }
  return true;
}

size_t AlignmentOf(ElementaryType type, const TypeTable* ref) {
  if (type != flatbuffers::ET_SEQUENCE) return flatbuffers::InlineSize(type, nullptr);
  if (ref->st != flatbuffers::ST_STRUCT) return sizeof(flatbuffers::uoffset_t);
  size_t alignment = 1;
  for (size_t i = 0; i < ref->num_elems; ++i) {
    const auto code = ref->type_codes[i];
    const TypeTable* inner = code.sequence_ref >= 0 ? ref->type_refs[code.sequence_ref]() : nullptr;
    const bool is_enum = code.base_type != flatbuffers::ET_SEQUENCE;
    alignment =
        std::max(alignment, AlignmentOf(static_cast<ElementaryType>(code.base_type), is_enum ? nullptr : inner));
  }
  return alignment;
}

class Walker {
 public:
  Complaint Table(const flatbuffers::Table& table, const TypeTable& type) {
    for (size_t i = 0; i < type.num_elems; ++i) {
      const auto field = flatbuffers::FieldIndexToOffset(static_cast<flatbuffers::voffset_t>(i));
      const uint8_t* at = table.GetAddressOf(field);
      if (at == nullptr) continue;
      if (Complaint bad = Field(at, type, i)) return bad;
    }
    return std::nullopt;
  }

 private:
  static std::string Under(std::string_view name, const std::string& rest) {
    return fmt::format("{}{}{}", name, rest.empty() || rest[0] == '[' || rest[0] == ':' ? "" : ".", rest);
  }

  Complaint Struct(const uint8_t* data, const TypeTable& type) {
    for (size_t i = 0; i < type.num_elems; ++i) {
      if (Complaint bad = Field(data + type.values[i], type, i)) return bad;
    }
    return std::nullopt;
  }

  Complaint Field(const uint8_t* at, const TypeTable& owner, size_t i) {
    const auto code = owner.type_codes[i];
    const auto type = static_cast<ElementaryType>(code.base_type);
    const TypeTable* ref = code.sequence_ref >= 0 ? owner.type_refs[code.sequence_ref]() : nullptr;
    Complaint bad = code.is_repeating ? Vector(at, type, ref) : Value(at, type, ref);
    if (bad) return Under(owner.names[i], *bad);
    return std::nullopt;
  }

  Complaint Vector(const uint8_t* at, ElementaryType type, const TypeTable* ref) {
    const uint8_t* vector = at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
    const uint64_t count = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(vector);
    const uint8_t* data = vector + sizeof(flatbuffers::uoffset_t);
    if (count == 0) return std::nullopt;
    if (reinterpret_cast<uintptr_t>(data) % AlignmentOf(type, ref) != 0) return ": lies at an unaligned offset";
    const size_t stride = flatbuffers::InlineSize(type, ref);
    for (uint64_t i = 0; i < count; ++i) {
      if (Complaint bad = Value(data + i * stride, type, ref)) return Under(fmt::format("[{}]", i), *bad);
    }
    return std::nullopt;
  }

  Complaint Value(const uint8_t* at, ElementaryType type, const TypeTable* ref) {
    walked_ += flatbuffers::InlineSize(type, ref);
    if (walked_ > kMaxWalkedBytes) return ": the same parts are used over and over";
    if (type == flatbuffers::ET_FLOAT) {
      if (!std::isfinite(flatbuffers::ReadScalar<float>(at))) return ": is not finite";
    } else if (type == flatbuffers::ET_UCHAR && ref != nullptr) {
      if (*at >= ref->num_elems) return fmt::format(": {} is unknown, known are 0 to {}", *at, ref->num_elems - 1);
    } else if (type == flatbuffers::ET_BOOL) {
      if (*at > 1) return fmt::format(": {} is neither 0 nor 1", *at);
    } else if (type == flatbuffers::ET_STRING) {
      const uint8_t* string = at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
      const uint64_t size = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(string);
      if (size > kMaxStringBytes) return fmt::format(": has {} bytes, at most {} are accepted", size, kMaxStringBytes);
      if ((walked_ += size) > kMaxWalkedBytes) return ": the same parts are used over and over";
      if (!IsUtf8(string + sizeof(flatbuffers::uoffset_t), size)) return ": is not valid UTF-8, or holds a NUL";
    } else if (type == flatbuffers::ET_SEQUENCE) {
      if (ref->st == flatbuffers::ST_STRUCT) return Struct(at, *ref);
      const uint8_t* table = at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
      return Table(*reinterpret_cast<const flatbuffers::Table*>(table), *ref);
    }
    return std::nullopt;
  }

  uint64_t walked_ = 0;
};

}  // namespace

Status CheckValues(const plan::Plan& plan) {
  const auto& table = reinterpret_cast<const flatbuffers::Table&>(plan);
  if (Complaint bad = Walker().Table(table, *plan::PlanTypeTable())) return Refuse("{}", *bad);
  return Status();
}

}  // namespace mrs::verify
