#include "planner/cluster/placed_json.h"

#include <fmt/format.h>

#include <algorithm>

namespace mrs::cluster {

PlacedJson PlacedJson::Key(const std::string& key) const {
  PlacedJson inner(document_, nullptr);
  inner.path_ = path_;
  inner.path_.push_back({.key = key, .index = std::nullopt});
  if (value_ == nullptr) return inner;
  if (!value_->is_object()) {
    Expect("an object");
    return inner;
  }
  const auto found = value_->find(key);
  if (found == value_->end()) {
    Refuse(fmt::format("'{}' is missing in it", key));
    return inner;
  }
  inner.value_ = &*found;
  return inner;
}

bool PlacedJson::Has(const std::string& key) const {
  return value_ != nullptr && value_->is_object() && value_->contains(key);
}

std::vector<PlacedJson> PlacedJson::Items(size_t max) const {
  std::vector<PlacedJson> items;
  if (value_ == nullptr) return items;
  if (!value_->is_array()) {
    Expect("a list");
    return items;
  }
  if (value_->size() > max) {
    Refuse(fmt::format("expected at most {} entries, got {}", max, value_->size()));
    return items;
  }
  for (size_t i = 0; i < value_->size(); ++i) {
    PlacedJson item(document_, &(*value_)[i]);
    item.path_ = path_;
    item.path_.push_back({.key = {}, .index = i});
    items.push_back(std::move(item));
  }
  return items;
}

std::optional<uint64_t> PlacedJson::Number(uint64_t min, uint64_t max) const {
  if (is_null()) return std::nullopt;
  if (value_->is_number_unsigned()) {
    const uint64_t number = value_->get<uint64_t>();
    if (number >= min && number <= max) return number;
  }
  Expect(fmt::format("a whole number from {} to {}", min, max));
  return std::nullopt;
}

std::optional<double> PlacedJson::Real(double min, double max) const {
  if (is_null()) return std::nullopt;
  if (value_->is_number()) {
    const double number = value_->get<double>();
    if (number >= min && number <= max) return number;
  }
  Expect(fmt::format("a number from {} to {}", min, max));
  return std::nullopt;
}

std::optional<std::string> PlacedJson::Text(size_t max_bytes) const {
  if (is_null()) return std::nullopt;
  if (value_->is_string()) {
    const std::string& text = value_->get_ref<const std::string&>();
    const bool printable =
        std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
    if (printable && text.size() <= max_bytes) return text;
  }
  Expect(fmt::format("printable text of at most {} bytes", max_bytes));
  return std::nullopt;
}

bool PlacedJson::Flag() const {
  if (value_ == nullptr) return false;
  if (!value_->is_boolean()) {
    Expect("true or false");
    return false;
  }
  return value_->get<bool>();
}

void PlacedJson::Expect(std::string_view what) const {
  Refuse(fmt::format("expected {}, got {}", what, value_ == nullptr ? "nothing" : DescribeJson(*value_)));
}

void PlacedJson::Refuse(std::string_view why) const {
  if (!document_->status.ok()) return;
  std::string name;
  for (const JsonStep& step : path_) {
    if (step.index) {
      name += fmt::format("[{}]", *step.index);
    } else {
      name += fmt::format("{}{}", name.empty() ? "" : ".", step.key);
    }
  }
  const std::optional<JsonSpan> span = FindJsonSpan(document_->text, path_);
  const TextPlace place = span ? PlaceOf(document_->text, span->begin) : TextPlace{};
  const std::string at = place.line > 0 ? fmt::format(" line {}, column {}:", place.line, place.column) : "";
  document_->status =
      mrs::Refuse("{}:{} {}{}", document_->where, at, name.empty() ? "" : fmt::format("'{}': ", name), why);
}

}  // namespace mrs::cluster
