// Every element of every tensor that the plan uses is read by some rank: a slice too short or a head forgotten shows.
// No byte belongs to two tensors: a wrong place in the file shows.
//
//   q_proj [64, 32], rows {0, 32, 32, 1, tp} over tp 2  ->  [0,32) and [32,64): covered
#include <algorithm>
#include <map>
#include <vector>

#include "plans/verify/checks.h"
#include "plans/verify/slices.h"

namespace mrs::verify {
namespace {

struct Rectangle {
  Range rows;
  Range columns;
  auto operator<=>(const Rectangle&) const = default;
};

// A tensor and what the ranks read of it.
struct Tensor {
  const plan::WeightSource* first = nullptr;
  std::vector<Rectangle> reads;
};

Status AddReads(const plan::Plan& plan, const plan::WeightSource& source, Budget* budget, Tensor* tensor) {
  const bool by_tp = source.rows().axis() == plan::Axis::tp || source.columns().axis() == plan::Axis::tp;
  const bool by_ep = source.rows().axis() == plan::Axis::ep || source.columns().axis() == plan::Axis::ep;
  const uint32_t tp_count = by_tp ? plan.tp() : 1;
  const uint32_t ep_count = by_ep ? plan.ep() : 1;
  if (!budget->Spend(uint64_t{tp_count} * ep_count)) return Budget::Exhausted("which bytes the ranks read");
  for (uint32_t tp = 0; tp < tp_count; ++tp) {
    for (uint32_t ep = 0; ep < ep_count; ++ep) {
      Rectangle read{*RangeAt(source.rows(), {tp, ep}), *RangeAt(source.columns(), {tp, ep})};
      read.rows.end = std::min(read.rows.end, source.tensor_rows());  // the rest is padding
      if (read.rows.begin < read.rows.end) tensor->reads.push_back(read);
    }
  }
  return Status();
}

// The first point of [0, end) that no range covers, or end. `ranges` ascend by begin.
template <typename Ranges, typename Projection>
uint64_t FirstGap(const Ranges& ranges, uint64_t end, Projection range_of) {
  uint64_t covered = 0;
  for (const auto& entry : ranges) {
    const Range range = range_of(entry);
    if (range.begin > covered) return covered;
    covered = std::max(covered, range.end);
  }
  return std::min(covered, end);
}

// Bands of rows between all edges: in each, the columns of the rectangles that cross it must cover everything.
Status CheckTensor(std::string_view name, Tensor* tensor, Budget* budget) {
  const uint64_t rows = tensor->first->tensor_rows();
  const uint64_t columns = tensor->first->tensor_columns();
  std::vector<Rectangle>& reads = tensor->reads;
  std::ranges::sort(reads);
  reads.erase(std::unique(reads.begin(), reads.end()), reads.end());
  const bool all_columns_whole = std::ranges::all_of(reads, [&](const Rectangle& r) {
    return r.columns == Range{0, columns};
  });
  if (all_columns_whole) {
    const uint64_t gap = FirstGap(reads, rows, [](const Rectangle& r) { return r.rows; });
    if (gap == rows) return Status();
    return Refuse("tensor '{}': no rank reads row {} of {}", name, gap, rows);
  }
  std::vector<uint64_t> edges = {0, rows};
  for (const Rectangle& read : reads) edges.insert(edges.end(), {read.rows.begin, read.rows.end});
  std::ranges::sort(edges);
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  if (!budget->Spend(SatMul(edges.size(), reads.size()))) return Budget::Exhausted("which bytes the ranks read");
  std::ranges::sort(reads, {}, [](const Rectangle& r) { return r.columns; });
  for (size_t band = 0; band + 1 < edges.size(); ++band) {
    const uint64_t row = edges[band];
    const uint64_t gap = FirstGap(reads, columns, [&](const Rectangle& r) {
      return r.rows.begin <= row && row < r.rows.end ? r.columns : Range{0, 0};
    });
    if (gap != columns) return Refuse("tensor '{}': no rank reads column {} of {} in row {}", name, gap, columns, row);
  }
  return Status();
}

Status CheckApart(const plan::Plan& plan, const std::map<uint32_t, Tensor>& tensors) {
  std::vector<const plan::WeightSource*> in_file_order;
  for (const auto& [name, tensor] : tensors) in_file_order.push_back(tensor.first);
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

Status CheckCoverage(const plan::Plan& plan, Budget* budget) {
  std::map<uint32_t, Tensor> tensors;  // by name
  for (const plan::Stage* stage : *plan.stages()) {
    for (const plan::WeightSource& source : View(stage->sources())) {
      Tensor& tensor = tensors[source.name()];
      if (tensor.first == nullptr) tensor.first = &source;
      const plan::WeightSource& first = *tensor.first;
      if (source.file() != first.file() || source.file_offset() != first.file_offset() ||
          source.tensor_rows() != first.tensor_rows() || source.tensor_columns() != first.tensor_columns() ||
          source.dtype() != first.dtype()) {
        return Refuse("tensor '{}': its sources disagree about its place, shape or type",
                      plan.names()->Get(source.name())->string_view());
      }
      MRS_RETURN_IF_ERROR(AddReads(plan, source, budget, &tensor));
    }
  }
  for (auto& [name, tensor] : tensors) {
    MRS_RETURN_IF_ERROR(CheckTensor(plan.names()->Get(name)->string_view(), &tensor, budget));
  }
  return CheckApart(plan, tensors);
}

}  // namespace mrs::verify
