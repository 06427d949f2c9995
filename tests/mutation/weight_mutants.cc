// Mutants of the weights: another tensor, other rows of it, another order of them, other canonical chunks.
#include <utility>

#include "tests/mutation/plan_mutants.h"

namespace mrs::mutation {
namespace {

using plan::Axis;
using plan::Slice;
using plan::WeightSource;

// [start + step c, + size) from the last rank to the first.
Slice Reversed(const Slice& slice, uint32_t parts) {
  const int64_t last = slice.start() + slice.step() * static_cast<int64_t>((parts - 1) / slice.every());
  return Slice(last, -slice.step(), slice.size(), slice.every(), slice.axis());
}

bool Varies(const Slice& slice, uint32_t tp) {
  return slice.axis() == Axis::tp && slice.step() != 0 && slice.every() < tp;
}

// The rows (or columns) of every weight that ends so, handed to the ranks in reverse.
bool Reverse(PlanEdit& edit, std::initializer_list<const char*> suffixes, bool columns = false) {
  bool changed = false;
  for (const char* suffix : suffixes) {
    for (const size_t weight : edit.Weights(suffix)) {
      WeightSource& source = edit.SourceOf(weight);
      Slice& slice = columns ? source.mutable_columns() : source.mutable_rows();
      if (!Varies(slice, edit.plan.tp)) continue;
      slice = Reversed(slice, edit.plan.tp);
      changed = true;
    }
  }
  return changed;
}

// A drawn weight of each kind. Of one layer: the same draw in both.
using Pair = std::pair<WeightSource*, WeightSource*>;
std::optional<Pair> TwoSources(PlanEdit& edit, const char* a, const char* b, bool next_layer = false) {
  const auto one = edit.Weights(a), other = edit.Weights(b);
  if (one.empty() || one.size() != other.size() || (next_layer && one.size() < 2)) return std::nullopt;
  const size_t at = edit.Draw(one.size() - (next_layer ? 1 : 0));
  WeightSource &first = edit.SourceOf(one[at]), &second = edit.SourceOf(other[at + (next_layer ? 1 : 0)]);
  if (first.tensor_rows() != second.tensor_rows() || first.tensor_columns() != second.tensor_columns()) {
    return std::nullopt;
  }
  return Pair{&first, &second};
}

// Each gets the other's tensor: name and place, as a mix-up before the plan would have it.
bool ExchangeTensors(PlanEdit& edit, const char* a, const char* b, bool next_layer = false) {
  const auto pair = TwoSources(edit, a, b, next_layer);
  if (pair) std::swap(*pair->first, *pair->second);
  return pair.has_value();
}

bool ExchangeOffsets(PlanEdit& edit, const char* a, const char* b, bool next_layer = false) {
  const auto pair = TwoSources(edit, a, b, next_layer);
  if (!pair) return false;
  const uint64_t offset = pair->first->file_offset();
  if (offset == pair->second->file_offset()) return false;  // of one fused tensor
  pair->first->mutate_file_offset(pair->second->file_offset());
  pair->second->mutate_file_offset(offset);
  return true;
}

bool ExchangeNames(PlanEdit& edit, const char* a, const char* b, bool next_layer = false) {
  const auto pair = TwoSources(edit, a, b, next_layer);
  if (!pair) return false;
  const uint32_t name = pair->first->name();
  if (name == pair->second->name()) return false;  // of one fused tensor
  pair->first->mutate_name(pair->second->name());
  pair->second->mutate_name(name);
  return true;
}

// A weight's rows in two sources of half of them, the second half first.
bool HalvesExchanged(PlanEdit& edit, const char* suffix) {
  const auto all = edit.Weights(suffix);
  if (all.empty()) return false;
  const size_t weight = all[edit.Draw(all.size())];
  WeightSource first = edit.SourceOf(weight), second = first;
  const uint64_t half = first.rows().size() / 2;
  if (half == 0 || first.rows().size() % 2 != 0) return false;
  const Slice rows = first.rows();
  first.mutable_rows() = Slice(rows.start() + static_cast<int64_t>(half), rows.step(), half, rows.every(), rows.axis());
  second.mutable_rows() = Slice(rows.start(), rows.step(), half, rows.every(), rows.axis());
  second.mutate_dest_row(half);
  edit.sources[weight] = {first, second};
  return true;
}

// Half as many chunks of twice the length, or the reverse.
bool OtherChunks(PlanEdit& edit, const char* suffix, bool halve) {
  const auto all = edit.Weights(suffix);
  if (all.empty()) return false;
  plan::Weight& weight = edit.stage.weights[all[edit.Draw(all.size())]];
  if (halve ? weight.chunk_count() % 2 != 0 : weight.chunk_k() % 2 != 0 || weight.chunk_count_global() >= 16)
    return false;
  weight.mutate_chunk_count(halve ? weight.chunk_count() / 2 : weight.chunk_count() * 2);
  weight.mutate_chunk_count_global(halve ? weight.chunk_count_global() / 2 : weight.chunk_count_global() * 2);
  weight.mutate_chunk_k(halve ? weight.chunk_k() * 2 : weight.chunk_k() / 2);
  return true;
}

// Every rank gets the rows that rank 0 should have, and the others go unread.
bool Replicated(PlanEdit& edit, const char* suffix, bool columns) {
  for (const size_t weight : edit.Weights(suffix)) {
    WeightSource& source = edit.SourceOf(weight);
    Slice& slice = columns ? source.mutable_columns() : source.mutable_rows();
    if (!Varies(slice, edit.plan.tp)) continue;
    slice = Slice(slice.start(), 0, slice.size(), 1, Axis::none);
    return true;
  }
  return false;
}

constexpr PlanMutant kMutants[] = {
    {"qkv_rows_reversed", "rows of Q, K and V, and of their biases, handed to the ranks in reverse",
     [](PlanEdit& e) {
       return Reverse(e,
                      {"q_proj.weight", "k_proj.weight", "v_proj.weight", "q_proj.bias", "k_proj.bias", "v_proj.bias"});
     }},
    {"q_rows_reversed", "rows of Q handed to the ranks in reverse: its heads meet other KV heads",
     [](PlanEdit& e) {
       return Reverse(e, {"q_proj.weight", "q_proj.bias"});
     }},
    {"kv_rows_reversed", "rows of K and V handed to the ranks in reverse: the heads meet other KV heads",
     [](PlanEdit& e) {
       return Reverse(e, {"k_proj.weight", "v_proj.weight", "k_proj.bias", "v_proj.bias"});
     }},
    {"v_rows_reversed", "rows of V alone handed to the ranks in reverse",
     [](PlanEdit& e) { return Reverse(e, {"v_proj.weight"}); }},
    {"q_bias_reversed", "the bias of Q alone handed to the ranks in reverse",
     [](PlanEdit& e) { return Reverse(e, {"q_proj.bias"}); }},
    {"o_columns_reversed", "columns of the product after attention handed to the ranks in reverse",
     [](PlanEdit& e) { return Reverse(e, {"o_proj.weight"}, true); }},
    {"attention_reversed_throughout", "Q, K, V and O all in reverse: the same sum in another order",
     [](PlanEdit& e) {
       const bool rows =
           Reverse(e, {"q_proj.weight", "k_proj.weight", "v_proj.weight", "q_proj.bias", "k_proj.bias", "v_proj.bias"});
       return Reverse(e, {"o_proj.weight"}, true) && rows;
     }},
    {"gate_rows_reversed", "rows of gate alone handed to the ranks in reverse",
     [](PlanEdit& e) { return Reverse(e, {"gate_proj.weight"}); }},
    {"gate_up_rows_reversed", "rows of gate and up handed to the ranks in reverse, and down's columns not",
     [](PlanEdit& e) {
       return Reverse(e, {"gate_proj.weight", "up_proj.weight", "gate_proj.bias", "up_proj.bias"});
     }},
    {"down_columns_reversed", "columns of down handed to the ranks in reverse",
     [](PlanEdit& e) { return Reverse(e, {"down_proj.weight"}, true); }},
    {"head_rows_reversed", "rows of the head handed to the ranks in reverse: the gather has them in another order",
     [](PlanEdit& e) { return e.Weights("lm_head.weight").empty() ? false : Reverse(e, {"lm_head.weight"}); }},
    {"embedding_rows_reversed", "rows of the embedding handed to the ranks in reverse, and its attribute with them",
     [](PlanEdit& e) {
       if (!Reverse(e, {"embed.weight"})) return false;
       if (e.stage.embeds.empty()) return false;
       plan::Slice& vocab = e.stage.embeds.front().mutable_vocab();
       vocab = Reversed(vocab, e.plan.tp);
       return true;
     }},
    {"q_rows_replicated", "every rank gets rank 0's rows of Q",
     [](PlanEdit& e) { return Replicated(e, "q_proj.weight", false); }},
    {"down_columns_replicated", "every rank gets rank 0's columns of down",
     [](PlanEdit& e) { return Replicated(e, "down_proj.weight", true); }},
    {"head_rows_shifted", "every rank's rows of the head begin 16 rows late",
     [](PlanEdit& e) {
       const auto all = e.Weights("lm_head.weight");
       if (all.empty()) return false;
       Slice& rows = e.SourceOf(all.front()).mutable_rows();
       rows.mutate_start(rows.start() + 16);
       return true;
     }},
    {"offsets_of_kv_exchanged", "K and V are read at each other's place in the file",
     [](PlanEdit& e) { return ExchangeOffsets(e, "k_proj.weight", "v_proj.weight"); }},
    {"offsets_of_gate_up_exchanged", "gate and up are read at each other's place in the file",
     [](PlanEdit& e) { return ExchangeOffsets(e, "gate_proj.weight", "up_proj.weight"); }},
    {"offsets_of_layers_exchanged", "two layers' O are read at each other's place in the file",
     [](PlanEdit& e) { return ExchangeOffsets(e, "o_proj.weight", "o_proj.weight", true); }},
    {"offsets_of_norms_exchanged", "the two norms of a layer are read at each other's place in the file",
     [](PlanEdit& e) { return ExchangeOffsets(e, "input_norm.weight", "post_norm.weight"); }},
    {"names_of_kv_exchanged", "K and V bear each other's name, at their own places",
     [](PlanEdit& e) { return ExchangeNames(e, "k_proj.weight", "v_proj.weight"); }},
    {"names_of_layers_exchanged", "two layers' down bear each other's name, at their own places",
     [](PlanEdit& e) { return ExchangeNames(e, "down_proj.weight", "down_proj.weight", true); }},
    {"tensors_of_kv_exchanged", "K's weight is V's tensor and the reverse",
     [](PlanEdit& e) { return ExchangeTensors(e, "k_proj.weight", "v_proj.weight"); }},
    {"tensors_of_kv_biases_exchanged", "K's bias is V's tensor and the reverse",
     [](PlanEdit& e) { return ExchangeTensors(e, "k_proj.bias", "v_proj.bias"); }},
    {"tensors_of_gate_up_exchanged", "gate's weight is up's tensor and the reverse",
     [](PlanEdit& e) { return ExchangeTensors(e, "gate_proj.weight", "up_proj.weight"); }},
    {"tensors_of_norms_exchanged", "the two norms of a layer have each other's tensor",
     [](PlanEdit& e) { return ExchangeTensors(e, "input_norm.weight", "post_norm.weight"); }},
    {"tensors_of_layers_exchanged", "two layers' Q have each other's tensor",
     [](PlanEdit& e) { return ExchangeTensors(e, "q_proj.weight", "q_proj.weight", true); }},
    {"tensors_of_biases_after_sums_exchanged", "the biases of O and down have each other's tensor",
     [](PlanEdit& e) { return ExchangeTensors(e, "o_proj.bias", "down_proj.bias"); }},
    {"tensor_off_by_a_row", "a norm is read one element further on in the file",
     [](PlanEdit& e) {
       if (e.Weights("norm.weight").empty()) return false;
       WeightSource& source = e.SourceOf(e.Weights("norm.weight").back());
       source.mutate_file_offset(source.file_offset() - 2);
       return true;
     }},
    {"tensor_of_other_type", "bytes of bf16 are read as f16",
     [](PlanEdit& e) {
       WeightSource& source = e.SourceOf(e.Weights("q_proj.weight").front());
       if (source.dtype() != plan::DType::bf16) return false;
       source.mutate_dtype(plan::DType::f16);
       return true;
     }},
    {"rows_of_q_in_halves_exchanged", "the two halves of a rank's rows of Q change places",
     [](PlanEdit& e) { return HalvesExchanged(e, "q_proj.weight"); }},
    {"rows_of_up_in_halves_exchanged", "the two halves of a rank's rows of up change places",
     [](PlanEdit& e) { return HalvesExchanged(e, "up_proj.weight"); }},
    {"bias_in_halves_exchanged", "the two halves of a rank's bias of Q change places",
     [](PlanEdit& e) { return HalvesExchanged(e, "q_proj.bias"); }},
    {"o_chunks_halved", "the product after attention is summed in half as many canonical chunks",
     [](PlanEdit& e) { return OtherChunks(e, "o_proj.weight", true); }},
    {"down_chunks_halved", "down is summed in half as many canonical chunks",
     [](PlanEdit& e) { return OtherChunks(e, "down_proj.weight", true); }},
    {"o_chunks_doubled", "the product after attention is summed in twice as many canonical chunks",
     [](PlanEdit& e) { return OtherChunks(e, "o_proj.weight", false); }},
    {"q_chunks_doubled", "Q is summed in two canonical chunks and not in one",
     [](PlanEdit& e) { return OtherChunks(e, "q_proj.weight", false); }},
};

}  // namespace

std::span<const PlanMutant> WeightMutants() { return kMutants; }

}  // namespace mrs::mutation
