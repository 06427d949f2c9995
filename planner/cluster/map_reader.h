// Reads a map of a cluster file by its keys: the first fault stays, and what is read after it is a default.
//
//   MapReader in(&faults, value, "nodes[0]", kNodeKeys);
//   node.memory_bytes = in.Bytes("memory", 0);
//   // c.yaml: line 3, column 13: nodes[0].memory: expected a size such as 80GiB, got "80GX"
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "planner/cluster/yaml_tree.h"
#include "plans/status.h"

namespace mrs::cluster {

// The first fault of a file.
struct Faults {
  std::string_view where;
  std::optional<Error> first = {};

  void Add(YamlPlace at, std::string_view path, std::string_view message);
  bool any() const { return first.has_value(); }
};

class MapReader {
 public:
  // Faults: no map, and keys that are not among `keys` (with the nearest that is). `keys` outlives the reader.
  MapReader(Faults* faults, const YamlValue& map, std::string path, std::span<const std::string_view> keys);

  // All take a key of `keys`. A key that is absent, or stands there without a value, is `absent`.
  bool Has(std::string_view key) const;
  std::string Text(std::string_view key, std::string_view absent = "");  // a name: 1 to kMaxNameBytes printable bytes
  int64_t Integer(std::string_view key, int64_t min, int64_t max, int64_t absent);
  bool Bool(std::string_view key, bool absent);
  uint64_t Bytes(std::string_view key, uint64_t absent);  // above 0
  double Gigabits(std::string_view key, double absent);
  std::string BusId(std::string_view key);
  // A list of at most `most`; null where absent.
  const YamlValue* List(std::string_view key, size_t most);
  std::vector<std::string> Texts(std::string_view key, size_t most);
  // The index of the word among `words`, or -1 where absent.
  int Word(std::string_view key, std::span<const std::string_view> words);

  // A fault of what stands under the key, or of the map where nothing does.
  void Fault(std::string_view key, std::string_view message);
  void FaultExpected(std::string_view key, std::string_view expected);

  std::string PathOf(std::string_view key) const;
  const YamlValue* Find(std::string_view key) const;  // null where absent or without a value

 private:
  Faults* faults_;
  const YamlValue& map_;
  std::string path_;
  std::span<const std::string_view> keys_;
};

// "0000:17:00.0" of "00000000:17:00.0", "17:00.0" and capitals; nothing of what is no PCI bus id. The function may be
// missing, as clouds' topologies have it.
std::optional<std::string> NormalizedBusId(std::string_view text);

}  // namespace mrs::cluster
