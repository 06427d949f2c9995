// Where an element of an XML document stands and what its attributes say, with the first fault kept.
//
//   XmlFaults faults{text, "topo.xml"};
//   const std::optional<int64_t> width = faults.Number(pci, "link_width", 0, 32);
//   // topo.xml: line 4, column 6: <pci busid="0000:17:00.0">: link_width: expected a number from 0 to 32, got "x16"
#pragma once

#include <cstdint>
#include <optional>
#include <pugixml.hpp>
#include <string>
#include <string_view>

#include "plans/status.h"

namespace mrs::cluster {

struct XmlFaults {
  std::string_view text, where;
  Status status = {};

  bool any() const { return !status.ok(); }
  // "{where}: line 4, column 6: <pci busid="...">: {why}".
  void Add(const pugi::xml_node& element, std::string_view why);
  // What an attribute says; nothing where it is absent or empty. "0x" begins a hexadecimal number.
  std::optional<int64_t> Number(const pugi::xml_node& element, const char* name, int64_t min, int64_t max);
  std::string Text(const pugi::xml_node& element, const char* name);  // printable, at most kMaxNameBytes
};

// Text that a message shows, in quotes: short and printable.
std::string ShownXml(std::string_view value);

// A document with one root element within the limits: its size, elements and depth. `doc` keeps it.
Status LoadXml(std::string_view text, std::string_view where, pugi::xml_document* doc);

}  // namespace mrs::cluster
