// One tensor, one place: all sources of a tensor agree about it, no byte of a file belongs to two tensors, and the
// sources of a fused tensor take its rows apart, each row once (tied weights take the same rows).
#include <algorithm>
#include <map>
#include <set>
#include <utility>
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

// [begin, end) of each source of one tensor: together all of its rows, and any two the same or apart.
Status CheckRowsOnce(const plan::Plan& plan, const plan::WeightSource& tensor,
                     const std::set<std::pair<uint64_t, uint64_t>>& ranges) {
  const std::string_view name = plan.names()->Get(tensor.name())->string_view();
  uint64_t next = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin > next) break;
    if (begin < next) return Refuse("tensor '{}': rows {} to {} are read as parts of two", name, begin, next);
    next = end;
  }
  if (next == tensor.tensor_rows()) return Status();
  return Refuse("tensor '{}': no rank reads row {} of {}", name, next, tensor.tensor_rows());
}

}  // namespace

Status CheckTensors(const plan::Plan& plan) {
  std::map<uint32_t, const plan::WeightSource*> tensors;               // by name, the first source of each
  std::map<uint32_t, std::set<std::pair<uint64_t, uint64_t>>> ranges;  // of rows
  for (const plan::Stage* stage : *plan.stages()) {
    for (const plan::WeightSource& source : View(stage->sources())) {
      const plan::WeightSource& first = *tensors.try_emplace(source.name(), &source).first->second;
      ranges[source.name()].emplace(source.row_begin(), source.row_begin() + source.row_count());
      if (source.file() != first.file() || source.file_offset() != first.file_offset() ||
          source.tensor_rows() != first.tensor_rows() || source.tensor_columns() != first.tensor_columns() ||
          source.dtype() != first.dtype()) {
        return Refuse("tensor '{}': its sources disagree about its place, shape or type",
                      plan.names()->Get(source.name())->string_view());
      }
    }
  }
  for (const auto& [name, tensor] : tensors) MRS_RETURN_IF_ERROR(CheckRowsOnce(plan, *tensor, ranges[name]));
  return CheckApart(plan, tensors);
}

}  // namespace mrs::verify
