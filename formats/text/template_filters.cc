#include "formats/text/template_filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <utility>

#include "formats/text/template_lexer.h"
#include "formats/text/template_predicates.h"
#include "formats/text/unicode.h"
#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

using Filter = Result<Value> (*)(Budget&, const Value&, ArgumentReader&);

Result<std::string> Text(Budget& budget, const Value& value) { return ChargedText(budget, value); }

// "a.b.0" of an item, as map(attribute=...) and its kin take it.
Result<Value> GetPath(Budget& budget, Value value, std::string_view path) {
  while (true) {
    const size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    int64_t index = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool is_index = !name.empty() && error == std::errc() && end == name.data() + name.size();
    MRS_ASSIGN_OR_RETURN(value, GetItem(budget, value, is_index ? MakeInt(index) : MakeString(std::string(name))));
    if (dot == path.npos) return value;
    path.remove_prefix(dot + 1);
  }
}

// What sort, unique and their kin compare: the item, or its attribute; strings without their case.
Result<Value> SortKey(Budget& budget, const Value& item, const std::string& attribute, bool case_sensitive) {
  Value key = item;
  if (!attribute.empty()) {
    MRS_ASSIGN_OR_RETURN(key, GetPath(budget, item, attribute));
  }
  if (case_sensitive || !key.is_string()) return key;
  MRS_RETURN_IF_ERROR(budget.ChargeBytes(key.text().size()));
  return MakeString(Lower(key.text()));
}

Result<Value> Trim(Budget& budget, const Value& value, ArgumentReader& arguments) {
  MRS_ASSIGN_OR_RETURN(const std::string text, Text(budget, value));
  MRS_ASSIGN_OR_RETURN(const std::string characters, arguments.NextString("chars", ""));
  if (characters.size() > 256) return Refuse("trim: more than 256 bytes of characters");
  return MakeString(std::string(StripText(text, characters, true, true)));
}

template <std::string (*kMap)(std::string_view)>
Result<Value> MapText(Budget& budget, const Value& value, ArgumentReader&) {
  MRS_ASSIGN_OR_RETURN(const std::string text, Text(budget, value));
  return MakeString(kMap(text));
}

// Words begin after whitespace and - ( { [ <
std::string TitleWords(std::string_view text) {
  std::string out;
  bool at_begin = true;
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    const std::string_view character = text.substr(i, static_cast<size_t>(unit.length));
    const char32_t c = unit.character;
    const bool separates = IsPythonSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    out.append(separates ? std::string(character) : at_begin ? Upper(character) : Lower(character));
    at_begin = separates;
    i += static_cast<size_t>(unit.length);
  }
  return out;
}

Result<Value> Length(Budget& budget, const Value& value, ArgumentReader&) {
  MRS_ASSIGN_OR_RETURN(const int64_t length, LengthOf(budget, value));
  return MakeInt(length);
}

Result<Value> Join(Budget& budget, const Value& value, ArgumentReader& arguments) {
  const Value* separator = arguments.Next("d");
  MRS_ASSIGN_OR_RETURN(const std::string attribute, arguments.NextString("attribute", ""));
  std::string between;
  if (separator != nullptr) {
    MRS_ASSIGN_OR_RETURN(between, Text(budget, *separator));
  }
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  std::string out;
  for (size_t i = 0; i < list->items.size(); ++i) {
    Value item = list->items[i];
    if (!attribute.empty()) {
      MRS_ASSIGN_OR_RETURN(item, GetPath(budget, item, attribute));
    }
    MRS_ASSIGN_OR_RETURN(const std::string text, Text(budget, item));
    if (i > 0) out.append(between);
    out.append(text);
    MRS_RETURN_IF_ERROR(budget.ChargeBytes(between.size()));
    if (out.size() > budget.max_bytes) return budget.ChargeBytes(out.size()).error();
  }
  return MakeString(std::move(out));
}

Result<Value> Default(Budget&, const Value& value, ArgumentReader& arguments) {
  const Value* fallback = arguments.Next("default_value");
  const bool when_false = arguments.NextBool("boolean", false);
  const bool replaces = value.is_undefined() || (when_false && !IsTrue(value));
  return !replaces ? value : fallback != nullptr ? *fallback : MakeString("");
}

Result<Value> ToJsonFilter(Budget& budget, const Value& value, ArgumentReader& arguments) {
  // As transformers overrides it: json.dumps(x, ensure_ascii=..., indent=..., separators=..., sort_keys=...).
  JsonStyle style;
  style.ensure_ascii = arguments.NextBool("ensure_ascii", false);
  const Value* indent = arguments.Next("indent");
  const Value* separators = arguments.Next("separators");
  style.sort_keys = arguments.NextBool("sort_keys", false);
  if (indent != nullptr && indent->kind != Value::kNone) {
    if (!indent->is_integer() || indent->integer < 0 || indent->integer > 64) {
      return Refuse("tojson: 'indent' takes an integer from 0 to 64");
    }
    style.indent = static_cast<int>(indent->integer);
    style.item_separator.resize(1);  // "," alone
  }
  if (separators != nullptr && separators->kind != Value::kNone) {
    if (!separators->is_list() || separators->list().items.size() != 2 || !separators->list().items[0].is_string() ||
        !separators->list().items[1].is_string()) {
      return Refuse("tojson: 'separators' takes two strings");
    }
    style.item_separator = separators->list().items[0].text();
    style.key_separator = separators->list().items[1].text();
  }
  MRS_RETURN_IF_ERROR(budget.Charge(CostOf(value)));
  MRS_ASSIGN_OR_RETURN(std::string text, ToJson(value, style, budget.max_bytes));
  MRS_RETURN_IF_ERROR(budget.ChargeBytes(text.size()));
  return MakeString(std::move(text));
}

Result<Value> ToList(Budget& budget, const Value& value, ArgumentReader&) {
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  MRS_RETURN_IF_ERROR(budget.Charge(1 + static_cast<int64_t>(list->items.size())));
  return MakeList(list->items);
}

Result<Value> First(Budget& budget, const Value& value, ArgumentReader&) {
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  return list->items.empty() ? MakeUndefined("the first item") : list->items.front();
}

Result<Value> Last(Budget& budget, const Value& value, ArgumentReader&) {
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  return list->items.empty() ? MakeUndefined("the last item") : list->items.back();
}

Result<Value> ReplaceFilter(Budget& budget, const Value& value, ArgumentReader& arguments) {
  MRS_ASSIGN_OR_RETURN(std::string text, Text(budget, value));
  Arguments inner;
  for (const char* name : {"old", "new"}) {
    const Value* part = arguments.Next(name);
    if (part == nullptr) return Refuse("replace takes what to replace and what by");
    MRS_ASSIGN_OR_RETURN(std::string shown, Text(budget, *part));
    inner.positional.push_back(MakeString(std::move(shown)));
  }
  MRS_ASSIGN_OR_RETURN(const int64_t count, arguments.NextInt("count", -1));
  inner.positional.push_back(MakeInt(count));
  return CallMethod(budget, MethodValue{MakeString(std::move(text)), "replace"}, inner);
}

Result<Value> ToString(Budget& budget, const Value& value, ArgumentReader&) {
  if (value.is_string()) return value;
  MRS_ASSIGN_OR_RETURN(std::string text, Text(budget, value));
  return MakeString(std::move(text));
}

Result<Value> ToInt(Budget&, const Value& value, ArgumentReader& arguments) {
  MRS_ASSIGN_OR_RETURN(const int64_t fallback, arguments.NextInt("default", 0));
  constexpr double kLimit = 9.2e18;
  if (value.is_integer()) return MakeInt(value.integer);
  if (value.kind == Value::kFloat)
    return MakeInt(std::fabs(value.real) < kLimit ? static_cast<int64_t>(value.real) : fallback);
  if (!value.is_string()) return MakeInt(fallback);
  std::string_view text = StripText(value.text(), "", true, true);
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t integer = 0;
  const char* end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, integer);
      read.ec == std::errc() && read.ptr == end && !text.empty()) {
    return MakeInt(integer);
  }
  double real = 0;
  const auto read = std::from_chars(text.data(), end, real);
  const bool is_float = read.ec == std::errc() && read.ptr == end && std::fabs(real) < kLimit;
  return MakeInt(is_float ? static_cast<int64_t>(real) : fallback);
}

Result<Value> ToFloat(Budget&, const Value& value, ArgumentReader& arguments) {
  const Value* fallback = arguments.Next("default");
  if (value.is_number()) return MakeFloat(value.number());
  if (value.is_string()) {
    const std::string_view text = StripText(value.text(), "", true, true);
    double real = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), real);
    if (read.ec == std::errc() && !text.empty() && read.ptr == text.data() + text.size()) return MakeFloat(real);
  }
  return fallback != nullptr ? *fallback : MakeFloat(0.0);
}

Result<Value> Items(Budget& budget, const Value& value, ArgumentReader&) {
  if (value.is_undefined()) return MakeList({});
  if (!value.is_dict()) return Refuse("items takes a dict, got {}", TypeName(value));
  return CallMethod(budget, MethodValue{value, "items"}, {});
}

Result<Value> DictSort(Budget& budget, const Value& value, ArgumentReader& arguments) {
  const bool case_sensitive = arguments.NextBool("case_sensitive", false);
  if (!value.is_dict()) return Refuse("dictsort takes a dict, got {}", TypeName(value));
  MRS_ASSIGN_OR_RETURN(const Value pairs, CallMethod(budget, MethodValue{value, "items"}, {}));
  std::vector<std::pair<std::string, Value>> keyed;
  for (const Value& pair : pairs.list().items) {
    const std::string& key = pair.list().items[0].text();
    keyed.emplace_back(case_sensitive ? key : Lower(key), pair);
  }
  std::stable_sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Value> out;
  for (auto& [key, pair] : keyed) out.push_back(std::move(pair));
  return MakeList(std::move(out));
}

Result<Value> Reverse(Budget& budget, const Value& value, ArgumentReader&) {
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  MRS_RETURN_IF_ERROR(budget.Charge(1 + static_cast<int64_t>(list->items.size())));
  std::vector<Value> items(list->items.rbegin(), list->items.rend());
  if (!value.is_string()) return MakeList(std::move(items));
  std::string out;
  for (const Value& item : items) out.append(item.text());
  return MakeString(std::move(out));
}

Result<Value> Sort(Budget& budget, const Value& value, ArgumentReader& arguments) {
  const bool reverse = arguments.NextBool("reverse", false);
  const bool case_sensitive = arguments.NextBool("case_sensitive", false);
  MRS_ASSIGN_OR_RETURN(const std::string attribute, arguments.NextString("attribute", ""));
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  const auto count = static_cast<int64_t>(list->items.size());
  MRS_RETURN_IF_ERROR(budget.Charge(1 + 20 * count));
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : list->items) {
    MRS_ASSIGN_OR_RETURN(Value key, SortKey(budget, item, attribute, case_sensitive));
    // Plain keys of one kind: then every two compare, and comparing cannot fail.
    const bool plain = key.is_string() || (key.is_number() && !(key.kind == Value::kFloat && std::isnan(key.real)));
    if (!plain || (!keyed.empty() && key.is_string() != keyed[0].first.is_string())) {
      return Refuse("sort takes all numbers or all strings, got {}", TypeName(key));
    }
    keyed.emplace_back(std::move(key), item);
  }
  std::stable_sort(keyed.begin(), keyed.end(), [reverse](const auto& a, const auto& b) {
    const Result<int> order = reverse ? Compare(b.first, a.first) : Compare(a.first, b.first);
    return order.ok() && *order < 0;
  });
  std::vector<Value> out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return MakeList(std::move(out));
}

Result<Value> Unique(Budget& budget, const Value& value, ArgumentReader& arguments) {
  const bool case_sensitive = arguments.NextBool("case_sensitive", false);
  MRS_ASSIGN_OR_RETURN(const std::string attribute, arguments.NextString("attribute", ""));
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  std::vector<Value> seen;
  std::vector<Value> out;
  for (const Value& item : list->items) {
    MRS_ASSIGN_OR_RETURN(Value key, SortKey(budget, item, attribute, case_sensitive));
    MRS_RETURN_IF_ERROR(budget.Charge(1 + static_cast<int64_t>(seen.size()) + CostOf(key)));
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& one) { return Equal(one, key); })) continue;
    seen.push_back(std::move(key));
    out.push_back(item);
  }
  return MakeList(std::move(out));
}

template <bool kLargest>
Result<Value> Extreme(Budget& budget, const Value& value, ArgumentReader& arguments) {
  const bool case_sensitive = arguments.NextBool("case_sensitive", false);
  MRS_ASSIGN_OR_RETURN(const std::string attribute, arguments.NextString("attribute", ""));
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  Value best = MakeUndefined("an item of an empty list");
  Value best_key;
  for (size_t i = 0; i < list->items.size(); ++i) {
    MRS_ASSIGN_OR_RETURN(Value key, SortKey(budget, list->items[i], attribute, case_sensitive));
    if (i > 0) {
      MRS_RETURN_IF_ERROR(budget.Charge(CostOf(key)));
      MRS_ASSIGN_OR_RETURN(const int order, Compare(key, best_key));
      if (kLargest ? order <= 0 : order >= 0) continue;
    }
    best = list->items[i];
    best_key = std::move(key);
  }
  return best;
}

Result<Value> Sum(Budget& budget, const Value& value, ArgumentReader& arguments) {
  MRS_ASSIGN_OR_RETURN(const std::string attribute, arguments.NextString("attribute", ""));
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  Value sum = MakeInt(0);
  for (const Value& item : list->items) {
    Value term = item;
    if (!attribute.empty()) {
      MRS_ASSIGN_OR_RETURN(term, GetPath(budget, item, attribute));
    }
    MRS_RETURN_IF_ERROR(budget.Charge(1));
    MRS_ASSIGN_OR_RETURN(sum, Binary(budget, "+", sum, term));
  }
  return sum;
}

Result<Value> Abs(Budget&, const Value& value, ArgumentReader&) {
  if (value.kind == Value::kFloat) return MakeFloat(std::fabs(value.real));
  if (!value.is_integer() || value.integer == INT64_MIN) return Refuse("abs takes a number, got {}", TypeName(value));
  return MakeInt(value.integer < 0 ? -value.integer : value.integer);
}

Result<Value> Indent(Budget& budget, const Value& value, ArgumentReader& arguments) {
  MRS_ASSIGN_OR_RETURN(const std::string text, Text(budget, value));
  const Value* width = arguments.Next("width");
  const bool first = arguments.NextBool("first", false);
  const bool blank = arguments.NextBool("blank", false);
  std::string margin(4, ' ');
  if (width != nullptr && width->is_string()) {
    margin = width->text();
  } else if (width != nullptr) {
    if (!width->is_integer() || width->integer < 0 || width->integer > 1024) {
      return Refuse("indent: 'width' takes a string, or an integer from 0 to 1024");
    }
    margin.assign(static_cast<size_t>(width->integer), ' ');
  }
  const std::vector<std::string> lines = SplitLines(text + "\n");
  std::string out = first ? margin : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.push_back('\n');
    if (i > 0 && (blank || !lines[i].empty())) {
      MRS_RETURN_IF_ERROR(budget.ChargeBytes(margin.size()));
      out.append(margin);
    }
    out.append(lines[i]);
    if (out.size() > budget.max_bytes) return budget.ChargeBytes(out.size()).error();
  }
  return MakeString(std::move(out));
}

Result<Value> Same(Budget&, const Value& value, ArgumentReader&) { return value; }

const std::map<std::string_view, Filter>& Filters() {
  static const std::map<std::string_view, Filter> filters = {
      {"abs", Abs},
      {"capitalize", MapText<Capitalize>},
      {"count", Length},
      {"d", Default},
      {"default", Default},
      {"dictsort", DictSort},
      {"first", First},
      {"float", ToFloat},
      {"indent", Indent},
      {"int", ToInt},
      {"items", Items},
      {"join", Join},
      {"last", Last},
      {"length", Length},
      {"list", ToList},
      {"lower", MapText<Lower>},
      {"max", Extreme<true>},
      {"min", Extreme<false>},
      {"replace", ReplaceFilter},
      {"reverse", Reverse},
      {"safe", Same},
      {"sort", Sort},
      {"string", ToString},
      {"sum", Sum},
      {"title", MapText<TitleWords>},
      {"tojson", ToJsonFilter},
      {"trim", Trim},
      {"unique", Unique},
      {"upper", MapText<Upper>},
  };
  return filters;
}

// These take the name of another filter or test.
constexpr std::string_view kHigher[] = {"map", "reject", "rejectattr", "select", "selectattr"};

Result<Value> Map(Budget& budget, const Value& value, const Arguments& arguments) {
  if (!IsTrue(value)) return MakeList({});  // none too, unlike in a loop
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  std::vector<Value> out;
  const bool by_attribute = arguments.positional.empty();
  ArgumentReader reader("map", arguments);
  Arguments rest;
  std::string name;
  const Value* fallback = nullptr;
  if (by_attribute) {
    MRS_ASSIGN_OR_RETURN(name, reader.NextString("attribute", ""));
    fallback = reader.Next("default");
    MRS_RETURN_IF_ERROR(reader.Done());
    if (name.empty()) return Refuse("map takes a filter's name or attribute='...'");
  } else {
    if (!arguments.positional[0].is_string() || !IsKnownFilter(arguments.positional[0].text())) {
      return Refuse("map: the filter is not supported; supported: {}", KnownFilters());
    }
    name = arguments.positional[0].text();
    rest.positional.assign(arguments.positional.begin() + 1, arguments.positional.end());
    rest.named = arguments.named;
  }
  for (const Value& item : list->items) {
    MRS_RETURN_IF_ERROR(budget.Charge(1));
    if (by_attribute) {
      MRS_ASSIGN_OR_RETURN(Value got, GetPath(budget, item, name));
      out.push_back(got.is_undefined() && fallback != nullptr ? *fallback : std::move(got));
    } else {
      MRS_ASSIGN_OR_RETURN(Value got, ApplyFilter(budget, name, item, rest));
      out.push_back(std::move(got));
    }
  }
  return MakeList(std::move(out));
}

// select, reject, selectattr, rejectattr.
Result<Value> Select(Budget& budget, std::string_view filter, const Value& value, const Arguments& arguments) {
  if (!IsTrue(value)) return MakeList({});  // none too, unlike in a loop
  const bool keeps = filter.starts_with("select");
  const bool by_attribute = filter.ends_with("attr");
  size_t at = 0;
  std::string attribute;
  if (by_attribute) {
    if (arguments.positional.empty() || !arguments.positional[0].is_string()) {
      return Refuse("{} takes the name of an attribute", filter);
    }
    attribute = arguments.positional[at++].text();
  }
  std::string test;
  Arguments rest;
  if (at < arguments.positional.size()) {
    if (!arguments.positional[at].is_string()) return Refuse("{} takes the name of a test", filter);
    test = arguments.positional[at++].text();
    if (test == "==") test = "eq";
    if (!IsKnownTest(test)) return Refuse("the test '{}' is not supported; supported: {}", test, KnownTests());
    rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(at), arguments.positional.end());
  }
  if (!arguments.named.empty()) return Refuse("{} takes no argument '{}'", filter, arguments.named[0].first);
  MRS_ASSIGN_OR_RETURN(const auto list, Iterate(budget, value));
  std::vector<Value> out;
  for (const Value& item : list->items) {
    MRS_RETURN_IF_ERROR(budget.Charge(1));
    Value tested = item;
    if (by_attribute) {
      MRS_ASSIGN_OR_RETURN(tested, GetPath(budget, item, attribute));
    }
    bool holds = IsTrue(tested);
    if (!test.empty()) {
      MRS_ASSIGN_OR_RETURN(holds, ApplyTest(budget, test, tested, rest));
    }
    if (holds == keeps) out.push_back(item);
  }
  return MakeList(std::move(out));
}

}  // namespace

bool IsKnownFilter(std::string_view name) {
  return Filters().contains(name) || std::find(std::begin(kHigher), std::end(kHigher), name) != std::end(kHigher);
}

std::string KnownFilters() {
  std::vector<std::string_view> names(std::begin(kHigher), std::end(kHigher));
  for (const auto& [name, filter] : Filters()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<Value> ApplyFilter(Budget& budget, std::string_view name, const Value& value, const Arguments& arguments) {
  MRS_RETURN_IF_ERROR(budget.Charge(1));
  // map('map', 'map', ...) drops an argument at each level, so this recursion is no deeper than a call is long.
  if (name == "map") return Map(budget, value, arguments);
  if (const auto filter = Filters().find(name); filter != Filters().end()) {
    ArgumentReader reader(name, arguments);
    MRS_ASSIGN_OR_RETURN(Value result, filter->second(budget, value, reader));
    MRS_RETURN_IF_ERROR(reader.Done());
    return result;
  }
  return Select(budget, name, value, arguments);
}

}  // namespace mrs::text
