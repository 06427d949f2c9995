// A value of a JSON document together with where it stands, so that a refusal can point at it. The first thing that is
// wrong is kept, and all getters go on with a default: read everything, then look at the document's error once.
//
//   PlacedDocument document{text, "host.json"};
//   const PlacedJson root(&document, &json);
//   const uint64_t cores = root.Key("cpu").Key("cores").Number(1, 65536).value_or(0);
//   if (!document.status.ok()) return document.status.error();
//   // host.json: line 12, column 15: 'cpu.cores': expected a whole number from 1 to 65536, got "two"
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/json_positions.h"
#include "plans/status.h"

namespace mrs::cluster {

struct PlacedDocument {
  std::string_view text, where;
  Status status = {};  // the first thing that is wrong
};

class PlacedJson {
 public:
  // Both are borrowed.
  PlacedJson(PlacedDocument* document, const Json* value) : document_(document), value_(value) {}

  // Of an object. What is missing is wrong, and then all that is asked of it gives defaults.
  PlacedJson Key(const std::string& key) const;
  // Whether there is such a key: of what older writers leave out.
  bool Has(const std::string& key) const;
  // Of an array with at most `max` items.
  std::vector<PlacedJson> Items(size_t max) const;

  bool is_null() const { return value_ == nullptr || value_->is_null(); }

  // Null gives none; another type, or what is out of range, is wrong.
  std::optional<uint64_t> Number(uint64_t min, uint64_t max) const;
  std::optional<double> Real(double min, double max) const;
  std::optional<std::string> Text(size_t max_bytes) const;
  // Not null.
  bool Flag() const;

  // Says that this value is wrong: "expected {what}, got ...".
  void Expect(std::string_view what) const;
  // The same with a sentence of its own: "'gpus.devices[1]': {why}".
  void Refuse(std::string_view why) const;

 private:
  PlacedDocument* document_;
  const Json* value_;  // null: missing, and said so already
  std::vector<JsonStep> path_;
};

}  // namespace mrs::cluster
