// Mutants of the program: a collective more or less, an operand that is another value of the same type.
#include "tests/mutation/plan_mutants.h"

namespace mrs::mutation {
namespace {

using plan::OpKind;
using plan::Ref;
using plan::RefSpace;

// Operand `operand` of a step of this kind reads another value of its type: a drawn one, or the latest before.
bool ReadsAnother(PlanEdit& edit, OpKind op, size_t operand, std::string_view part = "", bool latest = false) {
  // Not the first: it may have nothing before it to be taken for.
  const auto all = edit.All(op, part);
  for (size_t tries = 0; tries < all.size(); ++tries) {
    const size_t step = all[all.size() - 1 - (tries == 0 ? edit.Draw(all.size()) : tries - 1)];
    Ref& ref = edit.steps[step].operands[operand];
    if (ref.space() != RefSpace::buffer) return false;
    if (const auto other = edit.Lookalike(ref.index(), step, latest)) {
      ref.mutate_index(*other);
      return true;
    }
  }
  return false;
}

// Results a and b of one fused product change places: each reader gets the other.
bool ExchangeResults(PlanEdit& edit, std::string_view a, std::string_view b) {
  const auto step = edit.One(OpKind::matmul, a);
  if (!step) return false;
  const auto first = edit.PartOf(*step, a), second = edit.PartOf(*step, b);
  if (!first || !second) return false;
  auto& results = edit.steps[*step].results;
  if (edit.stage.buffers[results[*first].index()].width() != edit.stage.buffers[results[*second].index()].width()) {
    return false;
  }
  std::swap(results[*first], results[*second]);
  return true;
}

// Operands of the parts a and b of one product change places: its weights, or (offset 1) its biases.
bool ExchangeOperands(PlanEdit& edit, std::string_view a, std::string_view b, size_t offset) {
  const auto step = edit.One(OpKind::matmul, a);
  if (!step) return false;
  const auto first = edit.PartOf(*step, a), second = edit.PartOf(*step, b);
  if (!first || !second) return false;
  Ref& one = edit.steps[*step].operands[1 + 2 * *first + offset];
  Ref& other = edit.steps[*step].operands[1 + 2 * *second + offset];
  if (one.space() != RefSpace::weight || edit.stage.weights[one.index()].n() != edit.stage.weights[other.index()].n()) {
    return false;
  }
  std::swap(one, other);
  return true;
}

// A step of a stage's second layer takes the weight that the same step of its first has; of a fused product, the one
// of `part`.
bool WeightOfAnotherLayer(PlanEdit& edit, OpKind op, std::string_view part) {
  const int first = static_cast<int>(edit.stage.layer_begin);
  const auto zero = edit.All(op, part, first), one = edit.All(op, part, first + 1);
  if (zero.empty() || one.empty()) return false;
  const auto number = op == OpKind::matmul ? edit.PartOf(one.front(), part) : std::optional<size_t>(0);
  if (!number) return false;
  edit.steps[one.front()].operands[1 + 2 * *number] = edit.steps[zero.front()].operands[1 + 2 * *number];
  return true;
}

// Two operands of different steps change places, where there are both steps.
bool ExchangeWeights(PlanEdit& edit, const std::vector<size_t>& a, const std::vector<size_t>& b) {
  if (a.empty() || b.empty()) return false;
  Ref &one = edit.steps[a.front()].operands[1], &other = edit.steps[b.front()].operands[1];
  if (one.index() == other.index()) return false;
  std::swap(one, other);
  return true;
}

bool ExchangeNorms(PlanEdit& edit, std::string_view a, std::string_view b) {
  return ExchangeWeights(edit, edit.All(OpKind::rms_norm, a), edit.All(OpKind::rms_norm, b));
}

bool AddReadsTwice(PlanEdit& edit, size_t kept) {
  const auto step = edit.One(OpKind::add);
  if (!step) return false;
  edit.steps[*step].operands[1 - kept] = edit.steps[*step].operands[kept];
  return true;
}

// What the all-reduce did after the step that reads its result is done: x + sum(y) becomes sum(x + y).
bool ReduceAfter(PlanEdit& edit, OpKind reader) {
  for (size_t i = 0; i + 1 < edit.steps.size(); ++i) {
    auto &reduce = edit.steps[i], &next = edit.steps[i + 1];
    if (reduce.step.op() != OpKind::all_reduce || next.step.op() != reader) continue;
    const uint32_t partial = reduce.operands.front().index(), whole = reduce.results.front().index();
    const uint32_t result = next.results.front().index();
    for (Ref& operand : next.operands) {
      if (operand.space() == RefSpace::buffer && operand.index() == whole) operand.mutate_index(partial);
    }
    // next: partial -> whole; reduce: whole -> result.
    next.results.front().mutate_index(whole);
    reduce.operands.front().mutate_index(whole);
    reduce.results.front().mutate_index(result);
    std::swap(reduce, next);
    return true;
  }
  return false;
}

// An input operand becomes another.
bool OtherInput(PlanEdit& edit, OpKind op, size_t operand, std::string_view name) {
  const auto step = edit.One(op);
  const auto input = edit.InputNamed(name);
  if (!step || !input) return false;
  edit.steps[*step].operands[operand].mutate_index(*input);
  return true;
}

// The caches of two layers of a class exchanged by the steps of one kind alone.
bool ExchangeCaches(PlanEdit& edit, OpKind op) {
  const auto all = edit.All(op);
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    for (size_t j = i + 1; j < all.size(); ++j) {
      auto &a = edit.AttentionOf(all[i]), &b = edit.AttentionOf(all[j]);
      if (a.kv_class != b.kv_class) continue;
      std::swap(a.kv_layer, b.kv_layer);
      return true;
    }
  }
  return false;
}

constexpr PlanMutant kMutants[] = {
    {"all_reduce_dropped", "one all-reduce left out; its reader reads the partial sum",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::all_reduce);
       if (step) e.RemoveStep(*step);
       return step.has_value();
     }},
    {"all_reduces_dropped", "no all-reduce at all, as of a rule table in which no factor is summed",
     [](PlanEdit& e) {
       const auto all = e.All(OpKind::all_reduce);
       for (size_t i = all.size(); i-- > 0;) e.RemoveStep(all[i]);
       return !all.empty();
     }},
    {"all_reduce_doubled", "a sum that is complete is summed over the ranks again",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::all_reduce);
       if (step) e.RepeatStep(*step);
       return step.has_value();
     }},
    {"all_reduce_of_whole", "the residual stream, whole on every rank, is summed over the ranks",
     [](PlanEdit& e) {
       const auto reduce = e.One(OpKind::all_reduce);
       const auto add = e.One(OpKind::add);
       if (!reduce || !add) return false;
       Instruction copy = e.steps[*reduce];
       const uint32_t value = e.steps[*add].results.front().index(), sum = e.CopyBuffer(value);
       e.Redirect(value, sum, *add + 1);
       copy.operands.front().mutate_index(value);
       copy.results.front().mutate_index(sum);
       copy.step.mutate_layer(e.steps[*add].step.layer());
       copy.step.mutate_name(e.AddName("sum_of_a_whole"));
       e.steps.insert(e.steps.begin() + static_cast<ptrdiff_t>(*add) + 1, copy);
       return true;
     }},
    {"all_reduce_after_add", "the residual is added on every rank before the sum over the ranks",
     [](PlanEdit& e) { return ReduceAfter(e, OpKind::add); }},
    {"all_reduce_after_bias", "the bias is added on every rank before the sum over the ranks",
     [](PlanEdit& e) { return ReduceAfter(e, OpKind::add_bias); }},
    {"embedding_not_reduced", "the vocabulary-split embedding is read without its all-reduce",
     [](PlanEdit& e) {
       const auto all = e.All(OpKind::all_reduce, "embed");
       if (!all.empty()) e.RemoveStep(all.front());
       return !all.empty();
     }},
    {"fused_kv_exchanged", "K and V of the fused product change places",
     [](PlanEdit& e) { return ExchangeResults(e, "k_proj", "v_proj"); }},
    {"fused_qk_exchanged", "Q and K of the fused product change places, where they are of one width",
     [](PlanEdit& e) { return ExchangeResults(e, "q_proj", "k_proj"); }},
    {"gate_up_exchanged", "gate and up of the fused product change places",
     [](PlanEdit& e) { return ExchangeResults(e, "gate_proj", "up_proj"); }},
    {"kv_weights_exchanged", "K is made with V's weight and V with K's",
     [](PlanEdit& e) { return ExchangeOperands(e, "k_proj", "v_proj", 0); }},
    {"gate_up_weights_exchanged", "gate is made with up's weight and up with gate's",
     [](PlanEdit& e) { return ExchangeOperands(e, "gate_proj", "up_proj", 0); }},
    {"kv_biases_exchanged", "K gets V's bias and V gets K's",
     [](PlanEdit& e) { return ExchangeOperands(e, "k_proj", "v_proj", 1); }},
    {"gate_up_biases_exchanged", "gate gets up's bias and up gets gate's",
     [](PlanEdit& e) { return ExchangeOperands(e, "gate_proj", "up_proj", 1); }},
    {"bias_of_product_dropped", "one bias of a fused product is left out",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::matmul, "k_proj");
       if (!step || e.steps[*step].operands[4].space() == RefSpace::none) return false;
       e.steps[*step].operands[4] = Ref(0, RefSpace::none);
       return true;
     }},
    {"add_bias_dropped", "a bias after a sum is left out",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::add_bias);
       if (step) e.RemoveStep(*step);
       return step.has_value();
     }},
    {"add_bias_doubled", "a bias after a sum is added twice",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::add_bias);
       if (step) e.RepeatStep(*step);
       return step.has_value();
     }},
    {"add_bias_of_other_layer", "a bias after a sum is the other layer's",
     [](PlanEdit& e) { return WeightOfAnotherLayer(e, OpKind::add_bias, "o_proj"); }},
    {"add_doubles_sum", "an add reads the block's sum twice and forgets the residual",
     [](PlanEdit& e) { return AddReadsTwice(e, 1); }},
    {"add_doubles_residual", "an add reads the residual twice and forgets the block",
     [](PlanEdit& e) { return AddReadsTwice(e, 0); }},
    {"add_reads_other_residual", "an add takes its residual from elsewhere in the program",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::add, 0); }},
    {"add_reads_other_sum", "an add takes its block's sum from elsewhere in the program",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::add, 1); }},
    {"norm_reads_other", "a norm reads another value of the residual's type",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::rms_norm, 0); }},
    {"post_norm_reads_earlier", "the norm before the MLP reads what was before attention was added",
     [](PlanEdit& e) {
       const auto norm = e.One(OpKind::rms_norm, "post_norm");
       if (!norm) return false;
       for (const size_t add : e.All(OpKind::add)) {
         if (e.steps[add].results.front().index() != e.steps[*norm].operands.front().index()) continue;
         e.steps[*norm].operands.front() = e.steps[add].operands.front();
         return true;
       }
       return false;
     }},
    {"layer_forgotten", "what a layer's MLP added is forgotten by all that follows",
     [](PlanEdit& e) {
       const auto all = e.All(OpKind::add, "mlp_add");
       if (all.empty()) return false;
       const size_t add = all[e.Draw(all.size())];
       e.Redirect(e.steps[add].results.front().index(), e.steps[add].operands.front().index(), add + 1);
       return true;
     }},
    {"norm_weight_of_other_layer", "layer 1's input norm has layer 0's weight",
     [](PlanEdit& e) { return WeightOfAnotherLayer(e, OpKind::rms_norm, "input_norm"); }},
    {"norm_weights_exchanged", "the norms before attention and MLP have each other's weight",
     [](PlanEdit& e) { return ExchangeNorms(e, "input_norm", "post_norm"); }},
    {"final_norm_weight_exchanged", "the final norm and layer 0's have each other's weight",
     [](PlanEdit& e) { return ExchangeNorms(e, "final_norm", "input_norm"); }},
    {"qk_norm_weights_exchanged", "Q's and K's norms have each other's weight",
     [](PlanEdit& e) { return ExchangeNorms(e, "q_norm", "k_norm"); }},
    {"qk_norm_skipped", "K is rotated as the product left it, without its norm",
     [](PlanEdit& e) {
       const auto all = e.All(OpKind::rms_norm, "k_norm");
       if (!all.empty()) e.RemoveStep(all.front());
       return !all.empty();
     }},
    {"q_weight_of_other_layer", "layer 1's Q is made with layer 0's weight",
     [](PlanEdit& e) { return WeightOfAnotherLayer(e, OpKind::matmul, "q_proj"); }},
    {"o_weight_of_other_layer", "layer 1's attention output goes through layer 0's weight",
     [](PlanEdit& e) { return WeightOfAnotherLayer(e, OpKind::matmul, "o_proj"); }},
    {"up_weight_of_other_layer", "layer 1's up is made with layer 0's weight",
     [](PlanEdit& e) { return WeightOfAnotherLayer(e, OpKind::matmul, "up_proj"); }},
    {"down_weight_of_other_layer", "layer 1's MLP ends in layer 0's weight",
     [](PlanEdit& e) { return WeightOfAnotherLayer(e, OpKind::matmul, "down_proj"); }},
    {"product_reads_other", "the product of gate and up reads the input of attention's",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::matmul, 0, "gate_proj", true); }},
    {"head_has_embedding", "logits are made with the embedding of a model that has a head of its own",
     [](PlanEdit& e) {
       const auto head = e.All(OpKind::matmul, "lm_head"), embed = e.All(OpKind::embed);
       if (head.empty() || embed.empty()) return false;
       Ref &of_head = e.steps[head.front()].operands[1], &of_embed = e.steps[embed.front()].operands[1];
       if (of_head.index() == of_embed.index()) return false;
       of_head = of_embed;
       return true;
     }},
    {"embedding_has_head", "tokens are looked up in the head of a model that has an embedding of its own",
     [](PlanEdit& e) {
       const auto head = e.All(OpKind::matmul, "lm_head"), embed = e.All(OpKind::embed);
       if (head.empty() || embed.empty()) return false;
       Ref &of_head = e.steps[head.front()].operands[1], &of_embed = e.steps[embed.front()].operands[1];
       if (of_head.index() == of_embed.index()) return false;
       of_embed = of_head;
       return true;
     }},
    {"silu_mul_exchanged", "silu is taken of up and not of gate",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::silu_mul);
       if (step) std::swap(e.steps[*step].operands[0], e.steps[*step].operands[1]);
       return step.has_value();
     }},
    {"silu_mul_reads_gate_twice", "gate is multiplied by its own silu",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::silu_mul);
       if (step) e.steps[*step].operands[1] = e.steps[*step].operands[0];
       return step.has_value();
     }},
    {"rope_reads_other", "Q or K is rotated from another layer's product",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::rope, 0); }},
    {"kv_append_k_of_other_layer", "the cache gets another layer's K",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::kv_append, 0); }},
    {"kv_append_v_of_other", "the cache gets another value as V: K before its rotation, or another layer's",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::kv_append, 1, "", true); }},
    {"kv_append_exchanged", "K and V are appended as each other, where they have one type",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::kv_append);
       if (!step) return false;
       auto& operands = e.steps[*step].operands;
       if (e.stage.buffers[operands[0].index()].dtype() != plan::DType::f32) return false;
       std::swap(operands[0], operands[1]);
       return true;
     }},
    {"attention_q_of_other_layer", "attention asks with another layer's Q",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::attention, 0); }},
    {"kv_layers_exchanged_by_appends", "two layers append to each other's cache, and attend to their own",
     [](PlanEdit& e) { return ExchangeCaches(e, OpKind::kv_append); }},
    {"kv_layers_exchanged_by_attentions", "two layers attend to each other's cache, and append to their own",
     [](PlanEdit& e) { return ExchangeCaches(e, OpKind::attention); }},
    {"attention_of_earlier_cache", "a layer attends to the cache of the first of its class",
     [](PlanEdit& e) {
       const auto later = e.OneWhere(
           OpKind::attention, [&](const Instruction& i) { return e.stage.attentions[i.step.attr()]->kv_layer > 0; });
       if (later) e.AttentionOf(*later).kv_layer = 0;
       return later.has_value();
     }},
    {"attention_inputs_exchanged", "attention takes positions for the sequence and the reverse",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::attention);
       std::swap(e.steps[*step].operands[1], e.steps[*step].operands[2]);
       return true;
     }},
    {"append_at_positions", "K and V are appended at their positions and not at their slots",
     [](PlanEdit& e) { return OtherInput(e, OpKind::kv_append, 2, "positions"); }},
    {"angles_of_sequence", "angles are of the row of the block table and not of the position",
     [](PlanEdit& e) { return OtherInput(e, OpKind::rope_angles, 0, "sequence"); }},
    {"embed_positions", "positions are looked up and not tokens",
     [](PlanEdit& e) { return OtherInput(e, OpKind::embed, 0, "positions"); }},
    {"select_earlier_residual", "the rows that want logits are taken before the last layer has ended",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::select_rows, 0); }},
    {"o_proj_reads_other", "the product after attention reads another layer's attention",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::matmul, 0, "o_proj"); }},
    {"down_proj_reads_other", "the product after silu_mul reads another layer's silu_mul",
     [](PlanEdit& e) { return ReadsAnother(e, OpKind::matmul, 0, "down_proj"); }},
    {"reduce_half_of_a_row", "an all-reduce sums the first half of each row",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::all_reduce);
       if (!step) return false;
       plan::Collective& entry = *e.steps[*step].collective;
       entry.mutate_row_elements(entry.row_elements() / 2);
       return true;
     }},
    {"logits_of_other_norm", "all logits are made of rows that went through layer 0's norm",
     [](PlanEdit& e) {
       const auto finals = e.All(OpKind::rms_norm, "final_norm"), others = e.All(OpKind::rms_norm, "input_norm");
       if (finals.empty() || others.empty()) return false;
       e.steps[finals.front()].operands[1] = e.steps[others.front()].operands[1];
       return true;
     }},
    {"candidates_of_other_logits", "candidates are chosen of logits that another norm's product made",
     [](PlanEdit& e) {
       // A second head that reads the selected rows through layer 0's input norm.
       const auto norms = e.All(OpKind::rms_norm, "final_norm"), heads = e.All(OpKind::matmul, "lm_head");
       const auto best = e.All(OpKind::top_candidates), others = e.All(OpKind::rms_norm, "input_norm");
       if (norms.empty() || heads.empty() || best.empty() || others.empty()) return false;
       Instruction norm = e.steps[norms.front()], head = e.steps[heads.front()];
       norm.operands[1] = e.steps[others.front()].operands[1];
       const uint32_t normed = e.CopyBuffer(norm.results.front().index());
       const uint32_t logits = e.CopyBuffer(head.results.front().index());
       norm.results.front().mutate_index(normed);
       head.operands.front().mutate_index(normed);
       head.results.front().mutate_index(logits);
       norm.step.mutate_name(e.AddName("another_norm"));
       head.step.mutate_name(e.AddName("another_head"));
       norm.step.mutate_variant(plan::Variant::candidates);
       head.step.mutate_variant(plan::Variant::candidates);
       e.steps[best.front()].operands.front().mutate_index(logits);
       e.steps.insert(e.steps.begin() + static_cast<ptrdiff_t>(best.front()), {norm, head});
       return true;
     }},
};

}  // namespace

std::span<const PlanMutant> ProgramMutants() { return kMutants; }

}  // namespace mrs::mutation
