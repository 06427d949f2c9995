#include "planner/cluster/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <utility>

#include "formats/text/utf8.h"
#include "planner/cluster/limits.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

struct Refused {
  YamlPlace at;
  std::string message;
};

YamlPlace PlaceOf(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

// Builds the tree from events: no more is built than has been counted.
class TreeBuilder : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root_) throw Refused{PlaceOf(mark), "a second document begins; expected one"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Begin(mark, "", anchor);
    if (KeyIsNext()) throw Refused{PlaceOf(mark), "a key without text; expected a name"};
    Add({.kind = YamlValue::Kind::kNull, .at = PlaceOf(mark)});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{PlaceOf(mark), "an alias (*); aliases are not read: write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Begin(mark, tag, anchor);
    if (KeyIsNext()) return AddKey(mark, value);
    Add({.kind = YamlValue::Kind::kText, .at = PlaceOf(mark), .text = value});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlValue::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlValue::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  std::optional<YamlValue> root_;

 private:
  bool KeyIsNext() const {
    return !open_.empty() && open_.back().kind == YamlValue::Kind::kMap &&
           open_.back().keys.size() == open_.back().items.size();
  }

  void Begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refused{PlaceOf(mark), "an anchor (&); anchors and aliases are not read"};
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refused{PlaceOf(mark), fmt::format("a tag '{}'; tags are not read", Printable(tag.substr(0, 60)))};
    }
    if (++values_ > kMaxFileValues) {
      throw Refused{PlaceOf(mark), fmt::format("more than {} keys and values", kMaxFileValues)};
    }
  }

  void AddKey(const YAML::Mark& mark, const std::string& key) {
    YamlValue& map = open_.back();
    if (key.size() > kMaxNameBytes) {
      throw Refused{PlaceOf(mark), fmt::format("a key of {} bytes; expected at most {}", key.size(), kMaxNameBytes)};
    }
    if (map.keys.size() >= kMaxKeys) throw Refused{PlaceOf(mark), fmt::format("more than {} keys in a map", kMaxKeys)};
    for (const YamlEntry& earlier : map.keys) {
      if (earlier.text != key) continue;
      throw Refused{PlaceOf(mark), fmt::format("key '{}' stands twice, first in line {}", Printable(key.substr(0, 60)),
                                               earlier.at.line)};
    }
    map.keys.push_back({key, PlaceOf(mark)});
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlValue::Kind kind) {
    Begin(mark, tag, anchor);
    if (KeyIsNext()) throw Refused{PlaceOf(mark), "a list or map as a key; expected a name"};
    if (open_.size() >= static_cast<size_t>(kMaxFileDepth)) {
      throw Refused{PlaceOf(mark), fmt::format("lists and maps nested deeper than {}", kMaxFileDepth)};
    }
    open_.push_back({.kind = kind, .at = PlaceOf(mark)});
  }

  void Close() {
    YamlValue value = std::move(open_.back());
    open_.pop_back();
    Add(std::move(value));
  }

  void Add(YamlValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else {
      open_.back().items.push_back(std::move(value));
    }
  }

  static constexpr size_t kMaxKeys = 256;  // of one map: looking for a key is linear

  std::vector<YamlValue> open_;
  size_t values_ = 0;
};

YamlPlace PlaceAt(std::string_view text, size_t offset) {
  YamlPlace at{1, 1};
  for (const char c : text.substr(0, offset)) {
    at = c == '\n' ? YamlPlace{at.line + 1, 1} : YamlPlace{at.line, at.column + 1};
  }
  return at;
}

// yaml-cpp reads all that follows a bracket, up to its end, before it says anything of it: a file of brackets or commas
// alone would cost gigabytes. All count, those in quotes and comments too, and none is taken back where it closes: what
// is a quote or a comment only a parser knows.
std::optional<Refused> TooMuchAhead(std::string_view text) {
  size_t brackets = 0, commas = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool bracket = text[i] == '[' || text[i] == '{';
    if (bracket && ++brackets > kMaxFileBrackets) {
      return Refused{PlaceAt(text, i), fmt::format("more than {} opening brackets in all", kMaxFileBrackets)};
    }
    if (text[i] == ',' && ++commas > kMaxFileValues) {
      return Refused{PlaceAt(text, i), fmt::format("more than {} commas in all", kMaxFileValues)};
    }
  }
  return std::nullopt;
}

Error Placed(std::string_view where, YamlPlace at, std::string_view message) {
  return Refuse("{}: line {}, column {}: {}", where, at.line, at.column, message);
}

}  // namespace

Result<YamlValue> ParseYaml(std::string_view text, std::string_view where) {
  if (text.size() > kMaxFileBytes) {
    return Refuse("{}: {} bytes; expected at most {}", where, text.size(), kMaxFileBytes);
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  // A NUL makes yaml-cpp guess another encoding.
  if (const size_t bad = std::min(text::FindInvalidUtf8(text), text.find('\0')); bad != std::string_view::npos) {
    return Placed(where, PlaceAt(text, bad), "a byte that is no UTF-8 text; expected a YAML file");
  }
  if (const auto refused = TooMuchAhead(text)) return Placed(where, refused->at, refused->message);
  TreeBuilder builder;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused& refused) {
    return Placed(where, refused.at, refused.message);
  } catch (const YAML::Exception& error) {
    return Placed(where, PlaceOf(error.mark), fmt::format("is no YAML: {}", Printable(error.msg.substr(0, 200))));
  }
  if (!builder.root_) return Refuse("{}: is empty; expected a map with 'nodes'", where);
  return *std::move(builder.root_);
}

const YamlValue* FindYaml(const YamlValue& map, std::string_view key) {
  for (size_t k = 0; k < map.keys.size(); ++k) {
    if (map.keys[k].text == key) return &map.items[k];
  }
  return nullptr;
}

std::string DescribeYaml(const YamlValue& value) {
  switch (value.kind) {
    case YamlValue::Kind::kNull:
      return "nothing";
    case YamlValue::Kind::kList:
      return "a list";
    case YamlValue::Kind::kMap:
      return "a map";
    case YamlValue::Kind::kText:
      break;
  }
  const bool cut = value.text.size() > 60;
  return fmt::format("\"{}\"{}", Printable(std::string_view(value.text).substr(0, 60)), cut ? "..." : "");
}

}  // namespace mrs::cluster
