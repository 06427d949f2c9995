#include "planner/cluster/xml_place.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "formats/json_positions.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/nccl_xml.h"

namespace mrs::cluster {
namespace {

std::string At(std::string_view text, size_t offset) {
  const TextPlace place = PlaceOf(text, std::min(offset, text.size()));
  return fmt::format("line {}, column {}", place.line, place.column);
}

bool Printable(std::string_view value) {
  return std::ranges::all_of(value, [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
}

// What stands where something else was expected.
std::string_view Expected(pugi::xml_parse_status status) {
  switch (status) {
    case pugi::status_no_document_element:
      return "expected an element such as <system>";
    case pugi::status_end_element_mismatch:
      return "expected the end of the element that is open here: it ends otherwise, or the file is cut off";
    case pugi::status_bad_start_element:
      return "expected an element's name, attributes and \">\"";
    case pugi::status_bad_attribute:
      return "expected an attribute such as dev=\"0\"";
    case pugi::status_bad_end_element:
      return "expected \">\" after the name of the element that ends here";
    case pugi::status_bad_comment:
      return "expected the end of a comment, \"-->\"";
    case pugi::status_bad_pi:
      return "expected the end of a declaration, \"?>\"";
    case pugi::status_bad_doctype:
      return "expected the end of a document type";
    case pugi::status_bad_cdata:
      return "expected the end of CDATA, \"]]>\"";
    case pugi::status_unrecognized_tag:
      return "expected an element's name after \"<\"";
    default:
      return "expected XML";
  }
}

// Finds the first element past the depth that is read.
struct Depth : pugi::xml_tree_walker {
  pugi::xml_node too_deep;
  bool for_each(pugi::xml_node& node) override {
    if (node.type() == pugi::node_element && depth() >= kMaxXmlDepth) too_deep = node;
    return too_deep.empty();
  }
};

// pugixml builds the whole tree before anything of it is counted, 100 bytes and more for what may be four: so its
// elements and attributes are counted by what each begins or has. What stands in comments and values counts, too.
Status CountXml(std::string_view text, std::string_view where) {
  size_t elements = 0, attributes = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '<' && !text.substr(at + 1).starts_with('/') && ++elements > kMaxXmlElements) {
      return Refuse("{}: {}: expected at most {} elements", where, At(text, at), kMaxXmlElements);
    }
    if (text[at] == '=' && ++attributes > kMaxXmlAttributes) {
      return Refuse("{}: {}: expected at most {} attributes", where, At(text, at), kMaxXmlAttributes);
    }
  }
  return Status();
}

// Where a document type begins, npos: none. It stands before the first element, among comments and instructions.
size_t DocumentType(std::string_view text) {
  size_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  while ((at = text.find_first_not_of(" \t\r\n", at)) != text.npos) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("<!DOCTYPE")) return at;
    const std::string_view end = rest.starts_with("<!--") ? "-->" : rest.starts_with("<?") ? "?>" : "";
    if (end.empty()) break;
    at = text.find(end, at + 2);
    if (at == text.npos) break;
    at += end.size();
  }
  return text.npos;
}

}  // namespace

std::string ShownXml(std::string_view value) {
  std::string shown = "\"";
  for (const char c : value.substr(0, 40)) shown.push_back(Printable({&c, 1}) ? c : '?');
  shown += value.size() > 40 ? "...\"" : "\"";
  return shown;
}

void XmlFaults::Add(const pugi::xml_node& element, std::string_view why) {
  if (any()) return;
  std::string name = ShownXml(element.name());
  name = name.substr(1, name.size() - 2);
  for (const char* key : {"busid", "name", "numaid", "dev", "target"}) {
    const pugi::xml_attribute attribute = element.attribute(key);
    if (!attribute) continue;
    name += fmt::format(" {}={}", key, ShownXml(attribute.value()));
    break;
  }
  const ptrdiff_t offset = element.offset_debug();
  status = Refuse("{}: {}: <{}>: {}", where, At(text, offset < 0 ? 0 : static_cast<size_t>(offset)), name, why);
}

std::optional<int64_t> XmlFaults::Number(const pugi::xml_node& element, const char* name, int64_t min, int64_t max) {
  const std::string_view said = element.attribute(name).value();
  if (said.empty()) return std::nullopt;
  const bool hex = said.starts_with("0x") || said.starts_with("0X");
  const std::string_view digits = hex ? said.substr(2) : said;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
  if (error == std::errc() && end == digits.data() + digits.size() && value >= min && value <= max) return value;
  Add(element, fmt::format("{}: expected a whole number from {} to {}, got {}", name, min, max, ShownXml(said)));
  return std::nullopt;
}

std::string XmlFaults::Text(const pugi::xml_node& element, const char* name) {
  const std::string_view said = element.attribute(name).value();
  if (said.size() <= kMaxNameBytes && Printable(said)) return std::string(said);
  Add(element,
      fmt::format("{}: expected printable text of at most {} bytes, got {}", name, kMaxNameBytes, ShownXml(said)));
  return "";
}

Status LoadXml(std::string_view text, std::string_view where, pugi::xml_document* doc) {
  if (text.size() > kMaxXmlBytes) {
    return Refuse("{}: {} bytes; expected an XML file of at most {}", where, text.size(), kMaxXmlBytes);
  }
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return Refuse("{}: {}: a zero byte; expected XML, which is text", where, At(text, nul));
  }
  MRS_RETURN_IF_ERROR(CountXml(text, where));
  if (const size_t type = DocumentType(text); type != text.npos) {
    return Refuse(
        "{}: {}: a document type (<!DOCTYPE), whose entities and files are not read; NCCL writes none: take it out, or "
        "give the file that NCCL_TOPO_DUMP_FILE writes",
        where, At(text, type));
  }
  // UTF-8 as it stands: offsets are those of the text.
  const pugi::xml_parse_result parsed =
      doc->load_buffer(text.data(), text.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed) {
    const size_t offset = parsed.offset < 0 ? 0 : static_cast<size_t>(parsed.offset);
    return Refuse("{}: {}: {}", where, At(text, offset), Expected(parsed.status));
  }
  XmlFaults faults{text, where};
  Depth depth;
  doc->traverse(depth);
  if (!depth.too_deep.empty()) {
    faults.Add(depth.too_deep, fmt::format("expected elements at most {} deep", kMaxXmlDepth));
  }
  for (pugi::xml_node other = doc->document_element().next_sibling(); other; other = other.next_sibling()) {
    if (other.type() == pugi::node_element) faults.Add(other, "a second outermost element; expected one");
  }
  return faults.status;
}

}  // namespace mrs::cluster
