// One tensor, one place: all sources of a tensor agree about it, and no byte of a file belongs to two tensors.
#include <algorithm>
#include <map>
#include <vector>

#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

Status CheckApart(const plan::Plan& plan, const std::map<uint32_t, const plan::WeightSource*>& tensors) {
  std::vector<const plan::WeightSource*> in_file_order;
  for (const auto& [name, tensor] : tensors) in_file_order.push_back(tensor);
  std::ranges::sort(in_file_order, {},
                    [](const plan::WeightSource* s) { return std::pair(s->file(), s->file_offset()); });
  for (size_t i = 1; i < in_file_order.size(); ++i) {
    const plan::WeightSource& before = *in_file_order[i - 1];
    const plan::WeightSource& after = *in_file_order[i];
    const uint64_t end =
        before.file_offset() + before.tensor_rows() * before.tensor_columns() * ByteSize(before.dtype());
    if (before.file() != after.file() || end <= after.file_offset()) continue;
    return Refuse("tensor '{}' starts at {} of its file, inside '{}' [{}, {})",
                  plan.names()->Get(after.name())->string_view(), after.file_offset(),
                  plan.names()->Get(before.name())->string_view(), before.file_offset(), end);
  }
  return Status();
}

}  // namespace

Status CheckTensors(const plan::Plan& plan) {
  std::map<uint32_t, const plan::WeightSource*> tensors;  // by name, the first source of each
  for (const plan::Stage* stage : *plan.stages()) {
    for (const plan::WeightSource& source : View(stage->sources())) {
      const plan::WeightSource& first = *tensors.try_emplace(source.name(), &source).first->second;
      if (source.file() != first.file() || source.file_offset() != first.file_offset() ||
          source.tensor_rows() != first.tensor_rows() || source.tensor_columns() != first.tensor_columns() ||
          source.dtype() != first.dtype()) {
        return Refuse("tensor '{}': its sources disagree about its place, shape or type",
                      plan.names()->Get(source.name())->string_view());
      }
    }
  }
  return CheckApart(plan, tensors);
}

}  // namespace mrs::verify
