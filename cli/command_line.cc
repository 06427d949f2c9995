#include "cli/command_line.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <set>
#include <sstream>
#include <tuple>
#include <utility>

#include "formats/json.h"
#include "host/output.h"
#include "host/process.h"

namespace mrs::cli {
namespace {

template <typename... Args>
Error Usage(fmt::format_string<Args...> format, Args&&... args) {
  return Error{ErrorKind::kUsage, fmt::format(format, std::forward<Args>(args)...)};
}

// "--port=80" -> "--port".
std::string_view NameOf(std::string_view argument) {
  return argument.starts_with("--") ? argument.substr(0, argument.find('=')) : argument.substr(0, 2);
}

bool IsOption(std::string_view argument) { return argument.size() > 1 && argument[0] == '-'; }

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }
bool MayStandAlone(const CLI::Option& option) { return option.get_items_expected_min() == 0; }
bool Repeats(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

// Whoever gives such a value has shown it to everybody on this host; no message shows it once more.
bool IsSecret(std::string_view name) {
  constexpr std::string_view kEndings[] = {"key", "token", "secret", "password", "passphrase"};
  return name.starts_with("--") && std::any_of(std::begin(kEndings), std::end(kEndings),
                                               [&](std::string_view ending) { return name.ends_with(ending); });
}

const Elsewhere* FindElsewhere(std::span<const Elsewhere> table, std::string_view name) {
  for (const Elsewhere& row : table) {
    std::istringstream names{std::string(row.names)};
    for (std::string one; names >> one;) {
      if (one == name) return &row;
    }
  }
  return nullptr;
}

// Levenshtein's distance.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

// "; did you mean --max-len?" for a slip of a letter or two, or nothing.
std::string Suggestion(const CLI::App& verb, std::string_view name) {
  std::string nearest;
  size_t least = 3;
  for (const CLI::Option* option : verb.get_options()) {
    if (!option->nonpositional()) continue;
    const std::string known = option->get_name();
    const size_t distance = name.size() > 64 ? least : Distance(name, known);
    if (distance < least) std::tie(least, nearest) = std::pair(distance, known);
  }
  return nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
}

Error UnknownOption(const CommandLine& line, const CLI::App& verb, std::string_view name) {
  if (const Elsewhere* row = FindElsewhere(line.elsewhere, name)) return Usage("{}: {}", name, row->answer);
  if (IsSecret(name)) {
    return Usage(
        "{}: a secret on the command line can be read by everybody on this host, so none is taken there; "
        "leave it out: the server binds 127.0.0.1 only and asks for no key yet",
        name);
  }
  return Usage(
      "{}: there is no such option{}; see {} --help", ShownValue(name), Suggestion(verb, name),
      verb.get_parent() == nullptr ? line.app.get_name() : fmt::format("{} {}", line.app.get_name(), verb.get_name()));
}

std::vector<const CLI::App*> VerbsOf(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

const CLI::App* FindVerb(const CLI::App& app, const std::string& name) {
  for (const CLI::App* verb : VerbsOf(app)) {
    if (verb->get_name() == name) return verb;
  }
  return nullptr;
}

std::string VerbNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : VerbsOf(app)) names.push_back(verb->get_name());
  return fmt::format("{}", fmt::join(names, ", "));
}

Error UnknownWord(const CommandLine& line, const CLI::App& verb, std::string_view word) {
  if (const Elsewhere* row = FindElsewhere(line.elsewhere, word)) return Usage("{}: {}", word, row->answer);
  const std::string verbs = verb.get_parent() == nullptr ? VerbNames(line.app) : "";
  if (!verbs.empty()) return Usage("{}: there is no such verb; there are {}", ShownValue(word), verbs);
  return Usage("{}: not expected here; see {} --help", ShownValue(word), line.app.get_name());
}

// The arguments as CLI11 takes them, with "--name=" as a name and an empty value; or the first that cannot stand.
Result<std::vector<std::string>> Judge(CommandLine& line, std::span<char* const> arguments) {
  std::vector<std::string> judged;
  const CLI::App* verb = &line.app;
  const auto word_count = [](const CLI::App& app) {
    size_t count = 0;
    for (const CLI::Option* option : app.get_options([](const CLI::Option* one) { return one->get_positional(); })) {
      count += static_cast<size_t>(option->get_items_expected_max());
    }
    return count;
  };
  size_t words_left = word_count(line.app);
  std::set<const CLI::Option*> seen;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string argument = arguments[i];
    if (argument == "--") {  // only words follow
      judged.insert(judged.end(), arguments.begin() + static_cast<ptrdiff_t>(i), arguments.end());
      break;
    }
    if (!IsOption(argument)) {
      judged.push_back(argument);
      const CLI::App* next = verb == &line.app ? FindVerb(line.app, argument) : nullptr;
      if (next != nullptr) {
        verb = next;
        words_left = word_count(*verb);
      } else if (words_left > 0) {
        --words_left;
      } else {
        return UnknownWord(line, *verb, argument);
      }
      continue;
    }
    const std::string name(NameOf(argument));
    const CLI::Option* option = verb->get_option_no_throw(name);
    if (option == nullptr) {
      const std::string whole = argument.substr(0, argument.find('='));  // -pp
      return UnknownOption(line, *verb, FindElsewhere(line.elsewhere, whole) != nullptr ? whole : name);
    }
    judged.push_back(name);
    const bool has_value = argument.size() > name.size();
    if (!TakesValue(*option)) {
      if (has_value) return Usage("{} takes no value", name);
      continue;
    }
    if (!Repeats(*option) && !seen.insert(option).second) return Usage("{} is given more than once", name);
    const auto checked = line.checked.find(option);
    const std::string expected = checked == line.checked.end() ? "a value" : checked->second.expected;
    // A word that the verb still waits for is that word, and not the value of an option that may stand alone.
    if (!has_value && MayStandAlone(*option) &&
        (words_left > 0 || i + 1 == arguments.size() || IsOption(arguments[i + 1]))) {
      continue;
    }
    if (!has_value && i + 1 == arguments.size()) return Usage("{}: nothing follows; expected {}", name, expected);
    judged.push_back(!has_value ? std::string(arguments[++i])
                                : argument.substr(name.size() + (argument.starts_with("--") ? 1 : 0)));
    if (checked != line.checked.end() && !checked->second.read(judged.back())) {
      return Usage("{} {}: expected {}", name, ShownValue(judged.back()), expected);
    }
  }
  const auto asks_for_help = [](const std::string& name) {
    return name == "-h" || name == "--help" || name == "--version";
  };
  if (verb == &line.app && !VerbNames(line.app).empty() && std::none_of(judged.begin(), judged.end(), asks_for_help)) {
    return Usage("a verb is missing; there are {}", VerbNames(line.app));
  }
  return judged;
}

}  // namespace

std::string ShownValue(std::string_view value) {
  const bool plain = !value.empty() && value.size() <= 60 && std::all_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
  });
  return plain ? std::string(value) : DescribeJson(Json(std::string(value)));
}

std::optional<int> Parse(CommandLine& line, int argc, char** argv) {
  Result<std::vector<std::string>> arguments =
      Judge(line, std::span<char* const>(argv, static_cast<size_t>(argc)).subspan(argc > 0 ? 1 : 0));
  if (!arguments.ok()) return Fail(arguments.error());
  try {
    std::reverse(arguments->begin(), arguments->end());  // as CLI11 wants them
    line.app.parse(*std::move(arguments));
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, complaint;
    if (line.app.exit(error, out, complaint) != 0) {
      return Fail(Usage("{}; see {} --help", error.what(), line.app.get_name()));
    }
    const Status printed = Print(out.str());
    return printed.ok() ? 0 : Fail(printed.error());
  }
  if (!line.fault.ok()) return Fail(line.fault.error());
  return std::nullopt;
}

CLI::Option* AddChecked(CommandLine& line, CLI::App& verb, const std::string& name, const std::string& expected,
                        const std::string& description, std::function<bool(const std::string&)> read) {
  // Values of named options are read by Judge, in the order in which they stand; only words are left to CLI11.
  const bool named = name.starts_with('-');
  const auto take = [&line, name, named, expected, read](const CLI::results_t& values) {
    for (const std::string& value : values) {
      if (!named && !read(value)) line.fault = Usage("{} {}: expected {}", name, ShownValue(value), expected);
    }
    return true;
  };
  const char* const type = !named                                   ? ""
                           : expected.starts_with("a whole number") ? "N"
                           : expected.starts_with("a number")       ? "X"
                           : expected.starts_with("1 to")           ? "BYTES"
                                                                    : "TEXT";
  CLI::Option* const option = verb.add_option(name, take, description)->type_name(type);
  if (named) line.checked.emplace(option, CheckedOption{expected, std::move(read)});
  return option;
}

std::optional<std::vector<int32_t>> ReadIds(std::string_view text) {
  std::vector<int32_t> ids;
  for (;;) {
    const size_t comma = text.find(',');
    const std::optional<int32_t> id = ReadNumber<int32_t>(text.substr(0, comma), INT32_MIN, INT32_MAX);
    if (!id.has_value()) return std::nullopt;
    ids.push_back(*id);
    if (comma == text.npos) return ids;
    text.remove_prefix(comma + 1);
  }
}

std::optional<uint64_t> ReadSize(std::string_view text) {
  constexpr std::string_view kUnits = "kmgtpe";
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  std::string unit(end, text.data() + text.size());
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  if (unit.empty() || unit == "b") return value;
  const size_t power = kUnits.find(unit[0]);
  const std::string rest = unit.substr(1);
  if (power == kUnits.npos || (!rest.empty() && rest != "b" && rest != "ib")) return std::nullopt;
  for (size_t i = 0; i <= power; ++i) {
    if (__builtin_mul_overflow(value, uint64_t{1024}, &value)) return std::nullopt;
  }
  return value;
}

CLI::Option* AddSize(CommandLine& line, CLI::App& verb, const std::string& name, std::optional<uint64_t>* target,
                     uint64_t max, const std::string& description) {
  const std::string expected = fmt::format("1 to {} bytes, perhaps with a unit: 512MiB, 8GiB", max);
  return AddChecked(line, verb, name, expected, description, [target, max](const std::string& text) {
    const std::optional<uint64_t> value = ReadSize(text);
    if (!value.has_value() || *value < 1 || *value > max) return false;
    *target = value;
    return true;
  });
}

CLI::Option* AddChoice(CommandLine& line, CLI::App& verb, const std::string& name, std::string* target,
                       const std::vector<std::string>& choices, const std::string& description) {
  return AddChecked(line, verb, name, fmt::format("one of {}", fmt::join(choices, ", ")), description,
                    [target, choices](const std::string& text) {
                      *target = text;
                      return std::find(choices.begin(), choices.end(), text) != choices.end();
                    })
      ->default_str(*target);
}

CLI::Option* AddText(CommandLine& line, CLI::App& verb, const std::string& name, std::string* target,
                     const std::string& what, const std::string& description) {
  return AddChecked(line, verb, name, what, description,
                    [target](const std::string& text) {
                      *target = text;
                      return !text.empty();
                    })
      ->default_str(*target);
}

}  // namespace mrs::cli
