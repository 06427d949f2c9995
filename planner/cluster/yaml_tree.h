// YAML from outside as a tree of text with places, within limits; what a key means is for others to say.
//
//   ParseYaml("a: [x, 80GiB]", "c.yaml")  ->  map {"a" at 1:1 -> list {"x" at 1:5, "80GiB" at 1:8}}
//
// Scalars stay text ("no" is "no", and 010 is "010"). Refused, each with its place: what is no YAML or no UTF-8, a
// second document, a key that stands twice or is no text, tags, anchors and aliases (a few bytes of which can mean
// gigabytes), and whatever passes a limit of limits.h.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs::cluster {

// From 1; columns in bytes, as JSON errors (formats/json.h) have them.
struct YamlPlace {
  int line = 0;
  int column = 0;
};

struct YamlEntry {
  std::string text;
  YamlPlace at;
};

struct YamlValue {
  enum class Kind { kNull, kText, kList, kMap };
  Kind kind = Kind::kNull;
  YamlPlace at = {};
  std::string text = {};              // of kText
  std::vector<YamlValue> items = {};  // of kList; of kMap the values
  std::vector<YamlEntry> keys = {};   // of kMap, one for each of items
};

// A long list under a key of the outermost map, whose items need not all be kept: each is handed out when it is whole,
// and leaves a null with its place. What follows may still turn out to be no YAML.
struct YamlItems {
  std::string_view key = {};
  std::function<void(const YamlValue& item, size_t index)> take = {};
};

Result<YamlValue> ParseYaml(std::string_view text, std::string_view where, const YamlItems& items = {});

// The value under a key of a map, or null.
const YamlValue* FindYaml(const YamlValue& map, std::string_view key);

// For messages: "a list", "text "80GX"" cut after about 60 bytes, "nothing".
std::string DescribeYaml(const YamlValue& value);

}  // namespace mrs::cluster
