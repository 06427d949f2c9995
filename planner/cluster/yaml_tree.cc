#include "planner/cluster/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <istream>
#include <optional>
#include <streambuf>
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

YamlPlace PlaceAt(std::string_view text, size_t offset) {
  YamlPlace at{1, 1};
  for (const char c : text.substr(0, offset)) {
    at = c == '\n' ? YamlPlace{at.line + 1, 1} : YamlPlace{at.line, at.column + 1};
  }
  return at;
}

// The text as yaml-cpp reads it, and no further ahead than it may. It makes tokens of all that follows a bracket up to
// its end, and of a whole line that begins like a key, before it says anything of them: 100 bytes and more for each
// bracket, so a file of nothing else would cost a gigabyte. Every token begins or ends with one of kMarks; those in
// quotes and comments count, too, which is more than there are tokens, never less.
class BoundedText : public std::streambuf {
 public:
  explicit BoundedText(std::string_view text) : text_(text) {
    char* const begin = const_cast<char*>(text.data());  // setg's signature; nothing here writes
    setg(begin, begin, begin + text.size());
  }

  // yaml-cpp has made something of all before `offset`.
  void Consumed(size_t offset) {
    offset = std::min(offset, text_.size());
    if (offset <= consumed_) return;
    open_marks_ -= std::min(open_marks_, MarksIn(consumed_, offset));
    consumed_ = offset;
  }

 protected:
  std::streamsize xsgetn(char* out, std::streamsize most) override {
    const size_t begin = static_cast<size_t>(gptr() - eback());
    const size_t bytes = std::min(static_cast<size_t>(most), text_.size() - begin);
    open_marks_ += MarksIn(std::max(begin, consumed_), begin + bytes);
    if (open_marks_ > kMaxFileAhead) {
      throw Refused{PlaceAt(text_, consumed_),
                    fmt::format("more than {} brackets, quotes, commas, colons and lines before what begins here ends; "
                                "write lists and maps as lines of their own",
                                kMaxFileAhead)};
    }
    std::copy_n(gptr(), bytes, out);
    setg(eback(), gptr() + bytes, egptr());  // gbump takes an int
    return static_cast<std::streamsize>(bytes);
  }

 private:
  static constexpr std::array<bool, 256> kMarks = [] {
    std::array<bool, 256> marks{};
    for (const char c : std::string_view("[]{},:?-&*!|>'\"%@`#.\n\r")) marks[static_cast<unsigned char>(c)] = true;
    return marks;
  }();

  size_t MarksIn(size_t begin, size_t end) const {
    const std::string_view part = text_.substr(begin, std::max(begin, end) - begin);
    return static_cast<size_t>(std::ranges::count_if(part, [](unsigned char c) { return kMarks[c]; }));
  }

  std::string_view text_;
  size_t consumed_ = 0;
  size_t open_marks_ = 0;  // read, and not yet consumed
};

// Builds the tree from events: no more is built than has been counted.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(BoundedText* text, const YamlItems& items) : text_(*text), items_(items) {}

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
    // The file was UTF-8; yaml-cpp has a byte for what these escapes mean.
    if (text::FindInvalidUtf8(value) != value.npos) {
      throw Refused{PlaceOf(mark), "an escape \\N or \\_; expected \\u0085 or \\u00a0, or the character itself"};
    }
    if (KeyIsNext()) return AddKey(mark, value);
    if (value.size() > kMaxTextBytes) {
      throw Refused{PlaceOf(mark), fmt::format("text of {} bytes; expected at most {}", value.size(), kMaxTextBytes)};
    }
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
    text_.Consumed(static_cast<size_t>(std::max(mark.pos, 0)));
    if (++values_ > kMaxFileValues) {
      throw Refused{PlaceOf(mark), fmt::format("more than {} keys and values", kMaxFileValues)};
    }
    if (++kept_ > kMaxNodeValues) {
      throw Refused{PlaceOf(mark), fmt::format("more than {} keys and values that belong together", kMaxNodeValues)};
    }
  }

  void AddKey(const YAML::Mark& mark, const std::string& key) {
    YamlValue& map = open_.back();
    if (key == "<<") throw Refused{PlaceOf(mark), "a merge key (<<); merge keys are not read: write its values out"};
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
    if (open_.size() == 2) kept_before_items_ = kept_;
  }

  void Close() {
    YamlValue value = std::move(open_.back());
    open_.pop_back();
    Add(std::move(value));
  }

  void Add(YamlValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.size() == 2 && IsHandedOut()) {
      std::vector<YamlValue>& items = open_.back().items;
      items_.take(value, items.size());
      items.push_back({.kind = YamlValue::Kind::kNull, .at = value.at});
      kept_ = ++kept_before_items_;
    } else {
      open_.back().items.push_back(std::move(value));
    }
  }

  bool IsHandedOut() const {
    return items_.take != nullptr && open_[1].kind == YamlValue::Kind::kList &&
           open_[0].kind == YamlValue::Kind::kMap && open_[0].keys.back().text == items_.key;
  }

  static constexpr size_t kMaxKeys = 256;  // of one map: looking for a key is linear

  BoundedText& text_;
  const YamlItems& items_;
  std::vector<YamlValue> open_;
  size_t values_ = 0;
  size_t kept_ = 0;               // of them in the tree
  size_t kept_before_items_ = 0;  // but for the item that is being built
};

Error Placed(std::string_view where, YamlPlace at, std::string_view message) {
  return Refuse("{}: line {}, column {}: {}", where, at.line, at.column, message);
}

}  // namespace

Result<YamlValue> ParseYaml(std::string_view text, std::string_view where, const YamlItems& items) {
  if (text.size() > kMaxFileBytes) {
    return Refuse("{}: {} bytes; expected at most {}", where, text.size(), kMaxFileBytes);
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  // A NUL makes yaml-cpp guess another encoding.
  if (const size_t bad = std::min(text::FindInvalidUtf8(text), text.find('\0')); bad != std::string_view::npos) {
    return Placed(where, PlaceAt(text, bad), "a byte that is no UTF-8 text; expected a YAML file");
  }
  BoundedText bounded(text);
  TreeBuilder builder(&bounded, items);
  try {
    std::istream stream(&bounded);
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
