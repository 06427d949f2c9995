// Every number and text of a struct or table by its path, read from its type table: a field that the schema gains shows
// without a change here.
//
//   WalkObject(sampling, *plan::SamplingDefaultsTypeTable(), "sampling.", emit)
//       ->  emit("sampling.temperature", "0.7"), emit("sampling.stop[0]", "\"<|end|>\""), ...
//
// Two values are the same bits exactly where their texts are the same. The structure must have been checked
// (plans/structure.h); what the numbers are indices of is not followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "flatbuffers/minireflect.h"

namespace mrs::diff {

// One field of an object. `at` is null where it is absent: a scalar with its default, or an optional table or vector.
struct FieldAt {
  const char* name;
  flatbuffers::ElementaryType type;
  const flatbuffers::TypeTable* ref;  // of an enum, struct or table; else null
  bool repeated;
  const uint8_t* at;
};

using Emit = std::function<void(std::string path, std::string value)>;

std::vector<FieldAt> FieldsOf(const void* object, const flatbuffers::TypeTable& type);

void WalkObject(const void* object, const flatbuffers::TypeTable& type, std::string_view prefix, const Emit& emit);

// The field and all that lies below it. Bytes are one value, in hex; an absent table or vector is "absent".
void WalkField(const FieldAt& field, std::string_view prefix, const Emit& emit);

// Of a repeated field of structs or tables: how many, and the i-th of them.
size_t CountOf(const FieldAt& field);
const uint8_t* ObjectAt(const FieldAt& field, size_t i);

// The text of a member called "name", quoted; "" where the object has none.
std::string NameIn(const void* object, const flatbuffers::TypeTable& type);

// "a text" in quotes, on one line; no two texts look the same.
std::string Quoted(std::string_view text);

}  // namespace mrs::diff
