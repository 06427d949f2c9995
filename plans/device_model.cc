#include "plans/device_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <vector>

#include "plans/cluster_nodes.h"
#include "plans/printable.h"

namespace mrs {
namespace {

// By which devices of one chip differ in their rates.
constexpr std::array<std::string_view, 12> kVariants = {"3e",  "ada",  "d",   "laptop", "max",   "mig",
                                                        "nvl", "pcie", "pro", "server", "super", "ti"};

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

// In lower case; between them is whatever is no letter and no digit.
std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) {
      words.back().push_back(static_cast<char>(std::tolower(byte)));
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

// "80gb".
bool IsSize(const std::string& word) {
  const auto end = std::find_if_not(word.begin(), word.end(), IsDigit);
  return end != word.begin() && std::string_view(end, word.end()) == "gb";
}

bool Has(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

bool MayBeModel(std::string_view model, std::string_view device) {
  const std::vector<std::string> planned = WordsOf(model), found = WordsOf(device);
  const auto chip = std::find_if(planned.begin(), planned.end(), [](const std::string& word) {
    return std::any_of(word.begin(), word.end(), IsDigit) && !IsSize(word);
  });
  if (chip == planned.end()) return true;
  return Has(found, *chip) && std::all_of(kVariants.begin(), kVariants.end(), [&](std::string_view variant) {
           return Has(planned, variant) == Has(found, variant);
         });
}

std::string OtherModelText(const plan::Plan& plan, uint32_t rank, const std::string& device) {
  const std::string model = DeviceModelOf(plan, rank);
  if (MayBeModel(model, device)) return "";
  return fmt::format(
      "rank {}: {} is another model than {}, which the plan is for: it runs as planned, but what the plan predicts and "
      "chose by rates is the other's; plan for this one (mrs-exec doctor says what it is)",
      rank, device, Printable(model));
}

}  // namespace mrs
