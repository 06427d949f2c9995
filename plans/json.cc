// Walks the plan, or a part of it, by its type table, so that a field added to the schema shows without a change here.
#include <fmt/format.h>

#include <cmath>

#include "flatbuffers/minireflect.h"
#include "plans/sha256.h"
#include "plans/text.h"

namespace mrs {
namespace {

using flatbuffers::ElementaryType;
using flatbuffers::TypeTable;

// Strings are valid UTF-8 (verified): only quotes, backslashes and controls need an escape.
void AppendString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out->append(fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c))));
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

template <typename T>
void AppendNumber(const uint8_t* at, std::string* out) {
  const T value = at == nullptr ? T{} : flatbuffers::ReadScalar<T>(at);
  if constexpr (std::is_floating_point_v<T>) {
    out->append(std::isfinite(value) ? fmt::format("{}", value) : "null");
  } else {
    out->append(fmt::format("{}", +value));
  }
}

class Writer {
 public:
  explicit Writer(std::string* out) : out_(*out) {}

  // A struct or a table.
  void Object(const uint8_t* at, const TypeTable& type) {
    out_.push_back('{');
    if (type.st == flatbuffers::ST_STRUCT) {
      for (size_t i = 0; i < type.num_elems; ++i) Field(at + type.values[i], type, i);
    } else {
      Members(*reinterpret_cast<const flatbuffers::Table*>(at), type);
    }
    out_.push_back('}');
  }

  // The members of a table, without braces.
  void Members(const flatbuffers::Table& table, const TypeTable& type) {
    for (size_t i = 0; i < type.num_elems; ++i) {
      const auto field = flatbuffers::FieldIndexToOffset(static_cast<flatbuffers::voffset_t>(i));
      Field(table.GetAddressOf(field), type, i);
    }
  }

 private:
  void Field(const uint8_t* at, const TypeTable& owner, size_t i) {
    if (i > 0) out_.push_back(',');
    AppendString(owner.names[i], &out_);
    out_.push_back(':');
    const auto code = owner.type_codes[i];
    const auto type = static_cast<ElementaryType>(code.base_type);
    const TypeTable* ref = code.sequence_ref >= 0 ? owner.type_refs[code.sequence_ref]() : nullptr;
    if (code.is_repeating) {
      Vector(at, type, ref);
    } else {
      Value(at, type, ref);
    }
  }

  void Vector(const uint8_t* at, ElementaryType type, const TypeTable* ref) {
    if (at == nullptr) {
      out_.append("null");
      return;
    }
    const uint8_t* vector = at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
    const size_t count = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(vector);
    const uint8_t* data = vector + sizeof(flatbuffers::uoffset_t);
    if (type == flatbuffers::ET_UCHAR && ref == nullptr) {
      AppendString(Hex({data, count}), &out_);
      return;
    }
    const size_t stride = flatbuffers::InlineSize(type, ref);
    const bool lines = type == flatbuffers::ET_SEQUENCE;
    out_.push_back('[');
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out_.push_back(',');
      if (lines) out_.push_back('\n');
      Value(data + i * stride, type, ref);
    }
    out_.push_back(']');
  }

  // `at` is null where a scalar has its default, 0, or where an optional table is absent.
  void Value(const uint8_t* at, ElementaryType type, const TypeTable* ref) {
    switch (type) {
      case flatbuffers::ET_BOOL:
        out_.append(at != nullptr && *at != 0 ? "true" : "false");
        return;
      case flatbuffers::ET_UCHAR:
        if (const size_t value = at == nullptr ? 0 : *at; ref != nullptr && value < ref->num_elems) {
          AppendString(ref->names[value], &out_);
          return;
        }
        return AppendNumber<uint8_t>(at, &out_);
      case flatbuffers::ET_CHAR:
        return AppendNumber<int8_t>(at, &out_);
      case flatbuffers::ET_SHORT:
        return AppendNumber<int16_t>(at, &out_);
      case flatbuffers::ET_USHORT:
        return AppendNumber<uint16_t>(at, &out_);
      case flatbuffers::ET_INT:
        return AppendNumber<int32_t>(at, &out_);
      case flatbuffers::ET_UINT:
        return AppendNumber<uint32_t>(at, &out_);
      case flatbuffers::ET_LONG:
        return AppendNumber<int64_t>(at, &out_);
      case flatbuffers::ET_ULONG:
        return AppendNumber<uint64_t>(at, &out_);
      case flatbuffers::ET_FLOAT:
        return AppendNumber<float>(at, &out_);
      case flatbuffers::ET_DOUBLE:
        return AppendNumber<double>(at, &out_);
      default:
        break;
    }
    if (at == nullptr) {
      out_.append("null");
    } else if (type == flatbuffers::ET_STRING) {
      const auto* string = at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
      AppendString(reinterpret_cast<const flatbuffers::String*>(string)->string_view(), &out_);
    } else if (ref->st == flatbuffers::ST_STRUCT) {
      Object(at, *ref);
    } else {
      Object(at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at), *ref);
    }
  }

  std::string& out_;
};

}  // namespace

std::string PlanToJson(const plan::Plan& plan, std::string_view name) {
  std::string out = "{\"sha256\":";
  AppendString(name, &out);
  out.append(",\n");
  Writer(&out).Members(reinterpret_cast<const flatbuffers::Table&>(plan), *plan::PlanTypeTable());
  out.append("}\n");
  return out;
}

std::string ObjectToJson(const void* object, const TypeTable& type) {
  std::string out;
  Writer(&out).Object(static_cast<const uint8_t*>(object), type);
  return out;
}

}  // namespace mrs
