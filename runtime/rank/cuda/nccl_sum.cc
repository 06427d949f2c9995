#include "runtime/rank/cuda/nccl_sum.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "plans/printable.h"

namespace mrs {

Result<int64_t> LeastSavedBytes() {
  const char* const told = std::getenv("MRS_NCCL_LEAST_SAVED");
  if (told == nullptr || *told == '\0') return kLeastSavedBytes;
  const std::string_view text(told);
  int64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (error == std::errc() && end == text.data() + text.size() && bytes >= 0) return bytes;
  return Refuse("MRS_NCCL_LEAST_SAVED is '{}', expected bytes: a sum goes in two steps where that saves a rank as many",
                Printable(text.substr(0, 100)));
}

}  // namespace mrs
