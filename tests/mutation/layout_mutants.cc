// Mutants of the layout: what passes between stages and over which group, which cache a layer has and which inputs.
#include <algorithm>
#include <utility>

#include "plans/contract.h"
#include "tests/mutation/plan_mutants.h"

namespace mrs::mutation {
namespace {

using plan::KvClass;
using plan::OpKind;

// Another stage than the one taken apart; none where there is one alone.
std::optional<uint32_t> OtherStage(const PlanEdit& edit) {
  if (edit.plan.stages.size() < 2) return std::nullopt;
  return static_cast<uint32_t>(edit.index == 0 ? 1 : edit.index - 1);
}

// A drawn collective runs over a group.
bool CollectiveOver(PlanEdit& edit, uint32_t group) {
  const auto step =
      edit.One(edit.Draw(2) == 0 && edit.One(OpKind::all_gather) ? OpKind::all_gather : OpKind::all_reduce);
  if (step) edit.steps[*step].collective->mutate_group(group);
  return step.has_value();
}

// Two inputs of one type bear each other's name: the executor writes one where the program reads the other.
bool ExchangeInputs(PlanEdit& edit, std::string_view a, std::string_view b) {
  const auto one = edit.InputNamed(a), other = edit.InputNamed(b);
  if (!one || !other) return false;
  plan::Buffer &first = edit.stage.buffers[*one], &second = edit.stage.buffers[*other];
  const uint32_t name = first.name();
  first.mutate_name(second.name());
  second.mutate_name(name);
  return true;
}

uint32_t SequenceBlocks(const PlanEdit& edit, uint64_t window) {
  return static_cast<uint32_t>(contract::SequenceBlocks(edit.plan.max_len, window, edit.stage.buckets.back().tokens()));
}

void SetWindow(PlanEdit& edit, KvClass& kv_class, uint64_t window) {
  kv_class.mutate_window(window);
  kv_class.mutate_kind(window == 0 ? plan::KvKind::full : plan::KvKind::window);
  kv_class.mutate_sequence_blocks(SequenceBlocks(edit, window));
}

// The class's window and that of each of its attentions, so that the plan agrees with itself.
void SetWindowOfClass(PlanEdit& edit, uint32_t number, uint64_t window) {
  SetWindow(edit, edit.stage.kv_classes[number], window);
  for (const OpKind op : {OpKind::kv_append, OpKind::attention}) {
    for (const size_t step : edit.All(op)) {
      plan::AttentionAttrT& attr = edit.AttentionOf(step);
      if (attr.kv_class == number) attr.window = static_cast<uint32_t>(window);
    }
  }
}

// The last class, where it has a window (then its neighbours are shorter).
std::optional<uint32_t> WindowedClass(const PlanEdit& edit) {
  const auto& classes = edit.stage.kv_classes;
  if (classes.empty() || classes.back().window() == 0) return std::nullopt;
  return static_cast<uint32_t>(classes.size() - 1);
}

std::string InputOfClass(std::string_view name, uint32_t kv_class) { return contract::KvInputName(name, kv_class); }

// One step of a class other than 0 takes that input of class 0.
bool InputOfClassZero(PlanEdit& edit, OpKind op, size_t operand, std::string_view name) {
  const auto step =
      edit.OneWhere(op, [&](const Instruction& i) { return edit.stage.attentions[i.step.attr()]->kv_class != 0; });
  const auto input = edit.InputNamed(name);
  if (!step || !input) return false;
  edit.steps[*step].operands[operand].mutate_index(*input);
  return true;
}

// The append or the attention of a layer, given a cache.
void GiveCache(PlanEdit& edit, size_t step, const plan::AttentionAttrT& of) {
  plan::AttentionAttrT& attr = edit.AttentionOf(step);
  attr.kv_class = of.kv_class;
  attr.kv_layer = of.kv_layer;
  attr.window = of.window;
  const bool append = edit.steps[step].step.op() == OpKind::kv_append;
  const auto input = edit.InputNamed(InputOfClass(append ? contract::kSlots : contract::kBlockTable, of.kv_class));
  if (input) edit.steps[step].operands[append ? 2 : 3].mutate_index(*input);
}

// A layer of one class and a layer of another have each other's cache, window and inputs.
bool ExchangeLayersOfClasses(PlanEdit& edit) {
  const auto appends = edit.All(OpKind::kv_append), attentions = edit.All(OpKind::attention);
  for (size_t other = 1; other < appends.size() && appends.size() == attentions.size(); ++other) {
    const plan::AttentionAttrT a = edit.AttentionOf(attentions[0]), b = edit.AttentionOf(attentions[other]);
    if (a.kv_class == b.kv_class) continue;
    for (const auto* steps : {&appends, &attentions}) {
      GiveCache(edit, (*steps)[0], b);
      GiveCache(edit, (*steps)[other], a);
    }
    return true;
  }
  return false;
}

// The tensors of this stage's layers and of another's change places, all of them: the stages are in another order.
bool ExchangeLayersOfStages(PlanEdit& edit) {
  const auto number = OtherStage(edit);
  if (!number) return false;
  plan::StageT& other = *edit.plan.stages[*number];
  const int between = static_cast<int>(other.layer_begin) - static_cast<int>(edit.stage.layer_begin);
  bool any = false;
  for (size_t i = 0; i < edit.stage.weights.size(); ++i) {
    const std::string name = LayersOn(edit.NameOf(edit.stage.weights[i]), between);
    for (const plan::Weight& weight : other.weights) {
      if (edit.NameOf(weight) != name || name == edit.NameOf(edit.stage.weights[i])) continue;
      std::swap(edit.SourceOf(i), other.sources[weight.source_begin()]);
      any = true;
    }
  }
  return any;
}

constexpr PlanMutant kMutants[] = {
    {"collective_of_other_stage", "a collective runs over the ranks of another stage",
     [](PlanEdit& e) {
       const auto other = OtherStage(e);
       return other && CollectiveOver(e, e.plan.stages[*other]->tp_group);
     }},
    {"collective_over_stages", "a collective runs over the stages' axis and not over tensor parallelism's",
     [](PlanEdit& e) {
       if (!OtherStage(e)) return false;
       e.plan.groups.emplace_back(0, static_cast<uint32_t>(e.plan.stages.size()), e.plan.tp, plan::Axis::stage);
       return CollectiveOver(e, static_cast<uint32_t>(e.plan.groups.size() - 1));
     }},
    {"sent_to_other_stage", "what the next stage waits for is sent to another",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::send);
       if (step) {
         const auto count = static_cast<uint32_t>(e.plan.stages.size());
         e.steps[*step].transfer->mutate_peer_stage((e.steps[*step].transfer->peer_stage() + 1) % count);
       }
       return step.has_value();
     }},
    {"received_from_other_stage", "a stage waits for what another than the one before it sends",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::recv);
       if (step) {
         const auto count = static_cast<uint32_t>(e.plan.stages.size());
         e.steps[*step].transfer->mutate_peer_stage((e.steps[*step].transfer->peer_stage() + 1) % count);
       }
       return step.has_value();
     }},
    {"sent_out_of_turn", "a transfer is said to be the second between its stages",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::send);
       if (step) e.steps[*step].transfer->mutate_order(1);
       return step.has_value();
     }},
    {"sent_as_half_of_a_row", "half of each row is sent",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::send);
       if (step) e.steps[*step].transfer->mutate_row_elements(e.steps[*step].transfer->row_elements() / 2);
       return step.has_value();
     }},
    {"sends_another_value", "a stage sends another value than its last layer leaves",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::send);
       const auto other = step ? e.Lookalike(e.steps[*step].operands.front().index(), *step) : std::nullopt;
       if (other) e.steps[*step].operands.front().mutate_index(*other);
       return other.has_value();
     }},
    {"sends_before_its_last_layer", "a stage sends what it had before its last layer's MLP",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::send);
       if (!step) return false;
       for (const size_t add : e.All(OpKind::add)) {
         if (e.steps[add].results.front().index() != e.steps[*step].operands.front().index()) continue;
         e.steps[*step].operands.front() = e.steps[add].operands.front();
         return true;
       }
       return false;
     }},
    {"received_is_forgotten", "a stage goes on from its own first layer and not from what it received",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::recv);
       const auto add = e.All(OpKind::add);
       if (!step || add.size() < 2) return false;
       e.steps[add[1]].operands.front() = e.steps[*step].results.front();
       return true;
     }},
    {"stages_exchanged", "the layers of two stages have each other's tensors: they run in another order",
     ExchangeLayersOfStages},
    {"positions_for_sequence", "positions and the rows of the block table bear each other's name",
     [](PlanEdit& e) { return ExchangeInputs(e, contract::kPositions, contract::kSequence); }},
    {"positions_for_slots", "positions and slots bear each other's name",
     [](PlanEdit& e) { return ExchangeInputs(e, contract::kPositions, contract::kSlots); }},
    {"tokens_for_positions", "tokens and positions bear each other's name",
     [](PlanEdit& e) { return ExchangeInputs(e, contract::kTokens, contract::kPositions); }},
    {"slots_of_classes_exchanged", "the slots of two KV classes bear each other's name",
     [](PlanEdit& e) { return ExchangeInputs(e, contract::kSlots, InputOfClass(contract::kSlots, 1)); }},
    {"tables_of_classes_exchanged", "the block tables of two KV classes bear each other's name",
     [](PlanEdit& e) { return ExchangeInputs(e, contract::kBlockTable, InputOfClass(contract::kBlockTable, 1)); }},
    {"slots_of_other_class", "a layer appends at the slots of another class",
     [](PlanEdit& e) { return InputOfClassZero(e, OpKind::kv_append, 2, contract::kSlots); }},
    {"table_of_other_class", "a layer attends through the block table of another class",
     [](PlanEdit& e) { return InputOfClassZero(e, OpKind::attention, 3, contract::kBlockTable); }},
    {"kv_class_exchanged", "one layer's append goes to a second cache of the same shape",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::kv_append);
       if (!step) return false;
       e.stage.kv_classes.push_back(e.stage.kv_classes.front());
       e.AttentionOf(*step).kv_class = static_cast<uint32_t>(e.stage.kv_classes.size() - 1);
       return true;
     }},
    {"layers_of_classes_exchanged", "two layers have each other's cache, window and inputs", ExchangeLayersOfClasses},
    {"window_longer", "the layers with a window see one token more",
     [](PlanEdit& e) {
       const auto number = WindowedClass(e);
       if (number) SetWindowOfClass(e, *number, e.stage.kv_classes[*number].window() + 1);
       return number.has_value();
     }},
    {"window_shorter", "the layers with a window see one token less",
     [](PlanEdit& e) {
       const auto number = WindowedClass(e);
       if (!number || *number > 1 || e.stage.kv_classes[*number].window() < 2) return false;
       SetWindowOfClass(e, *number, e.stage.kv_classes[*number].window() - 1);
       return true;
     }},
    {"window_forgotten", "layers with a window see all tokens",
     [](PlanEdit& e) {
       if (!WindowedClass(e) || e.stage.kv_classes.size() > 1) return false;
       SetWindowOfClass(e, 0, 0);
       return true;
     }},
    {"window_of_full_attention", "layers that see all tokens have a window",
     [](PlanEdit& e) {
       if (e.stage.kv_classes.size() > 1 || e.stage.kv_classes.front().window() != 0) return false;
       SetWindowOfClass(e, 0, 16);
       return true;
     }},
    {"windows_of_classes_exchanged", "layers with a window see all tokens and the others have the window",
     [](PlanEdit& e) {
       if (e.stage.kv_classes.size() != 2) return false;
       const uint64_t first = e.stage.kv_classes[0].window(), second = e.stage.kv_classes[1].window();
       SetWindowOfClass(e, 0, second);
       SetWindowOfClass(e, 1, first);
       return true;
     }},
    {"window_of_an_attention", "one layer sees one token more than its cache is made for",
     [](PlanEdit& e) {
       const auto step = e.OneWhere(
           OpKind::attention, [&](const Instruction& i) { return e.stage.attentions[i.step.attr()]->window > 0; });
       if (step) ++e.AttentionOf(*step).window;
       return step.has_value();
     }},
    {"window_of_an_attention_forgotten", "one layer sees all that lies in a cache with a window",
     [](PlanEdit& e) {
       const auto step = e.OneWhere(
           OpKind::attention, [&](const Instruction& i) { return e.stage.attentions[i.step.attr()]->window > 0; });
       if (step) e.AttentionOf(*step).window = 0;
       return step.has_value();
     }},
    {"ring_too_short", "a cache with a window has a block less than its tokens need",
     [](PlanEdit& e) {
       const auto number = WindowedClass(e);
       if (!number || e.stage.kv_classes[*number].sequence_blocks() < 2) return false;
       KvClass& kv_class = e.stage.kv_classes[*number];
       kv_class.mutate_sequence_blocks(kv_class.sequence_blocks() - 1);
       return true;
     }},
};

}  // namespace

std::span<const PlanMutant> LayoutMutants() { return kMutants; }

}  // namespace mrs::mutation
