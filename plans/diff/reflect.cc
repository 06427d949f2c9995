#include "plans/diff/reflect.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "plans/printable.h"
#include "plans/sha256.h"

namespace mrs::diff {
namespace {

using flatbuffers::ElementaryType;
using flatbuffers::ReadScalar;
using flatbuffers::TypeTable;
using flatbuffers::uoffset_t;

template <typename T>
std::string Number(const uint8_t* at) {
  const T value = at == nullptr ? T{} : ReadScalar<T>(at);
  if constexpr (std::is_floating_point_v<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    if (std::isnan(value)) return fmt::format("nan({:#x})", std::bit_cast<Bits>(value));
  }
  return fmt::format("{}", +value);
}

std::string Scalar(const uint8_t* at, ElementaryType type, const TypeTable* ref) {
  switch (type) {
    case flatbuffers::ET_BOOL: {
      const uint8_t value = at == nullptr ? 0 : *at;
      return value == 0 ? "false" : value == 1 ? "true" : fmt::format("true({})", value);
    }
    case flatbuffers::ET_UCHAR: {
      const uint8_t value = at == nullptr ? 0 : *at;
      return ref != nullptr && value < ref->num_elems ? ref->names[value] : fmt::format("{}", value);
    }
    case flatbuffers::ET_CHAR:
      return Number<int8_t>(at);
    case flatbuffers::ET_SHORT:
      return Number<int16_t>(at);
    case flatbuffers::ET_USHORT:
      return Number<uint16_t>(at);
    case flatbuffers::ET_INT:
      return Number<int32_t>(at);
    case flatbuffers::ET_UINT:
      return Number<uint32_t>(at);
    case flatbuffers::ET_LONG:
      return Number<int64_t>(at);
    case flatbuffers::ET_ULONG:
      return Number<uint64_t>(at);
    case flatbuffers::ET_FLOAT:
      return Number<float>(at);
    case flatbuffers::ET_DOUBLE:
      return Number<double>(at);
    default:
      return "absent";
  }
}

const uint8_t* Follow(const uint8_t* at) { return at + ReadScalar<uoffset_t>(at); }

void Walk(const uint8_t* at, ElementaryType type, const TypeTable* ref, std::string path, const Emit& emit) {
  if (at != nullptr && type == flatbuffers::ET_STRING) {
    emit(std::move(path), Quoted(reinterpret_cast<const flatbuffers::String*>(Follow(at))->string_view()));
  } else if (at != nullptr && type == flatbuffers::ET_SEQUENCE) {
    WalkObject(ref->st == flatbuffers::ST_STRUCT ? at : Follow(at), *ref, path + ".", emit);
  } else {
    emit(std::move(path), Scalar(at, type, ref));
  }
}

}  // namespace

std::string Quoted(std::string_view text) { return fmt::format("\"{}\"", Printable(text)); }

std::vector<FieldAt> FieldsOf(const void* object, const TypeTable& type) {
  const auto* bytes = static_cast<const uint8_t*>(object);
  std::vector<FieldAt> fields;
  for (size_t i = 0; i < type.num_elems; ++i) {
    const auto code = type.type_codes[i];
    const uint8_t* at = type.st == flatbuffers::ST_STRUCT
                            ? bytes + type.values[i]
                            : reinterpret_cast<const flatbuffers::Table*>(bytes)->GetAddressOf(
                                  flatbuffers::FieldIndexToOffset(static_cast<flatbuffers::voffset_t>(i)));
    fields.push_back({.name = type.names[i],
                      .type = static_cast<ElementaryType>(code.base_type),
                      .ref = code.sequence_ref >= 0 ? type.type_refs[code.sequence_ref]() : nullptr,
                      .repeated = code.is_repeating != 0,
                      .at = at});
  }
  return fields;
}

void WalkObject(const void* object, const TypeTable& type, std::string_view prefix, const Emit& emit) {
  for (const FieldAt& field : FieldsOf(object, type)) WalkField(field, prefix, emit);
}

void WalkField(const FieldAt& field, std::string_view prefix, const Emit& emit) {
  std::string path = fmt::format("{}{}", prefix, field.name);
  if (!field.repeated) return Walk(field.at, field.type, field.ref, std::move(path), emit);
  if (field.at == nullptr) return emit(std::move(path), "absent");
  const uint8_t* vector = Follow(field.at);
  const size_t count = ReadScalar<uoffset_t>(vector);
  const uint8_t* data = vector + sizeof(uoffset_t);
  if (field.type == flatbuffers::ET_UCHAR && field.ref == nullptr) return emit(std::move(path), Hex({data, count}));
  const size_t stride = flatbuffers::InlineSize(field.type, field.ref);
  for (size_t i = 0; i < count; ++i) {
    Walk(data + i * stride, field.type, field.ref, fmt::format("{}[{}]", path, i), emit);
  }
}

size_t CountOf(const FieldAt& field) { return field.at == nullptr ? 0 : ReadScalar<uoffset_t>(Follow(field.at)); }

const uint8_t* ObjectAt(const FieldAt& field, size_t i) {
  const uint8_t* at =
      Follow(field.at) + sizeof(uoffset_t) + i * flatbuffers::InlineSize(flatbuffers::ET_SEQUENCE, field.ref);
  return field.ref->st == flatbuffers::ST_STRUCT ? at : Follow(at);
}

std::string NameIn(const void* object, const TypeTable& type) {
  for (const FieldAt& field : FieldsOf(object, type)) {
    if (field.type != flatbuffers::ET_STRING || field.repeated || field.at == nullptr) continue;
    if (std::string_view(field.name) != "name") continue;
    return Quoted(reinterpret_cast<const flatbuffers::String*>(Follow(field.at))->string_view());
  }
  return "";
}

}  // namespace mrs::diff
