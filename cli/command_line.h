// A command line whose every value is checked as it is read: a refusal names the option, what was given, and what it
// takes. Beyond CLI11, which parses it, an option that other programs have, or that is still to come, is answered by
// name, and a secret given by argv is refused without being said again.
//
//   CommandLine line("mrs-exec", "mrs-exec runs a plan");
//   AddNumber<uint16_t>(line, line.app, "--port", &port, 0, 65535, "Port to serve on");
//   if (const std::optional<int> exit_code = Parse(line, argc, argv)) return *exit_code;
//   // mrs-exec: --port 70000: expected a whole number from 0 to 65535
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "plans/status.h"

namespace mrs::cli {

// What somebody may ask for that this program does not take, and what to do instead.
struct Elsewhere {
  std::string_view names;  // separated by spaces: "--pp --pipeline-parallel-size"
  std::string_view answer;
};

// What an option takes. `read` keeps a value, or returns false where it is none.
struct CheckedOption {
  std::string expected;  // "a whole number from 0 to 65535"
  std::function<bool(const std::string&)> read;
};

struct CommandLine {
  CommandLine(const std::string& program, const std::string& description) : app(description, program) {}

  CLI::App app;
  std::span<const Elsewhere> elsewhere;  // borrowed
  std::map<const CLI::Option*, CheckedOption> checked;
  Status fault;  // a word that is none of what stands there: "plan"
};

// Reads argv, in its order: the first thing that is wrong is what is told. Nothing: go on. Else the exit code: 0 after
// --help and --version, 2 after a complaint.
std::optional<int> Parse(CommandLine& line, int argc, char** argv);

// A value as messages show it: short, printable, and "" where it is empty.
std::string ShownValue(std::string_view value);

CLI::Option* AddChecked(CommandLine& line, CLI::App& verb, const std::string& name, const std::string& expected,
                        const std::string& description, std::function<bool(const std::string&)> read);

// All of `text` as a number within the range. The lower end is left out where `above_min`.
template <typename T>
std::optional<T> ReadNumber(std::string_view text, T min, T max, bool above_min = false) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!(value >= min && value <= max) || (above_min && value == min)) return std::nullopt;
  return value;
}

template <typename T, typename Target>
CLI::Option* AddNumber(CommandLine& line, CLI::App& verb, const std::string& name, Target* target, T min, T max,
                       const std::string& description, bool above_min = false) {
  const std::string kind = std::is_integral_v<T> ? "a whole number" : "a number";
  const std::string range =
      above_min ? fmt::format("above {} and at most {}", min, max) : fmt::format("from {} to {}", min, max);
  return AddChecked(line, verb, name, fmt::format("{} {}", kind, range), description, [=](const std::string& text) {
    const std::optional<T> value = ReadNumber<T>(text, min, max, above_min);
    if (value.has_value()) *target = static_cast<T>(*value);
    return value.has_value();
  });
}

// "1,2,3".
std::optional<std::vector<int32_t>> ReadIds(std::string_view text);

// Bytes, perhaps with a unit: 4096, 512MiB, 8GiB. K, KB and KiB are all 1024.
std::optional<uint64_t> ReadSize(std::string_view text);
CLI::Option* AddSize(CommandLine& line, CLI::App& verb, const std::string& name, std::optional<uint64_t>* target,
                     uint64_t max, const std::string& description);

// One of a few names.
CLI::Option* AddChoice(CommandLine& line, CLI::App& verb, const std::string& name, std::string* target,
                       const std::vector<std::string>& choices, const std::string& description);

// Any text but none. `what`: "a folder".
CLI::Option* AddText(CommandLine& line, CLI::App& verb, const std::string& name, std::string* target,
                     const std::string& what, const std::string& description);

}  // namespace mrs::cli
