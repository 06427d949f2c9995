// Mutants of numbers: attributes of steps, and what the plan says of the model.
#include <algorithm>

#include "tests/mutation/plan_mutants.h"

namespace mrs::mutation {
namespace {

using plan::OpKind;

bool OtherEps(PlanEdit& edit, std::string_view part) {
  const auto step = edit.One(OpKind::rms_norm, part);
  if (!step) return false;
  edit.NormOf(*step).eps *= 2;
  return true;
}

// Another rope beside the model's, for the steps that are told to use it.
uint32_t AddRope(PlanEdit& edit) {
  auto rope = std::make_unique<plan::RopeT>(*edit.plan.ropes.front());
  for (float& frequency : rope->inv_freq) frequency *= 0.5f;
  edit.plan.ropes.push_back(std::move(rope));
  return static_cast<uint32_t>(edit.plan.ropes.size() - 1);
}

constexpr PlanMutant kMutants[] = {
    {"eps_of_a_norm", "one norm of a layer has twice its eps", [](PlanEdit& e) { return OtherEps(e, "post_norm"); }},
    {"eps_of_final_norm", "the final norm has twice its eps", [](PlanEdit& e) { return OtherEps(e, "final_norm"); }},
    {"eps_of_qk_norm", "a norm of K has twice its eps", [](PlanEdit& e) { return OtherEps(e, "k_norm"); }},
    {"eps_everywhere", "all norms have eps 1e-3",
     [](PlanEdit& e) {
       for (auto& norm : e.stage.norms) norm->eps = 1e-3f;
       return !e.stage.norms.empty();
     }},
    {"scale_of_an_attention", "one layer's attention has twice its scale",
     [](PlanEdit& e) {
       e.AttentionOf(*e.One(OpKind::attention)).scale *= 2;
       return true;
     }},
    {"scale_of_append", "attention has the scale that its append bears, 1",
     [](PlanEdit& e) {
       for (const size_t step : e.All(OpKind::attention)) e.AttentionOf(step).scale = 1.0f;
       return true;
     }},
    {"inv_freq_of_one", "one frequency of the rope is another",
     [](PlanEdit& e) {
       auto& frequencies = e.plan.ropes.front()->inv_freq;
       frequencies[e.Draw(frequencies.size())] *= 1.25f;
       return true;
     }},
    {"inv_freq_reversed", "the rope's frequencies in reverse",
     [](PlanEdit& e) {
       std::ranges::reverse(e.plan.ropes.front()->inv_freq);
       return true;
     }},
    {"inv_freq_of_other_theta", "the rope's frequencies are of a larger theta",
     [](PlanEdit& e) {
       float factor = 1;
       for (float& frequency : e.plan.ropes.front()->inv_freq) frequency *= (factor *= 0.9f);
       return true;
     }},
    {"attention_factor", "the rope's attention factor is 1.25 times what it was",
     [](PlanEdit& e) {
       e.plan.ropes.front()->attention_factor *= 1.25f;
       return true;
     }},
    {"angles_of_other_rope", "angles are of another rope than the model's",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::rope_angles);
       if (step) e.steps[*step].step.mutate_attr(AddRope(e));
       return step.has_value();
     }},
    {"rope_of_a_layer_is_other", "one rotation names another rope than its angles are of",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::rope);
       if (step) e.HeadsOf(*step).rope = AddRope(e);
       return step.has_value();
     }},
    {"rope_over_two_heads", "a rotation takes two heads for one of twice the width",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::rope, "q_rope");
       if (!step || e.HeadsOf(*step).heads % 2 != 0) return false;
       e.HeadsOf(*step).heads /= 2;
       e.HeadsOf(*step).head_dim *= 2;
       return true;
     }},
    {"chain", "the order of sums is the other one, against the options",
     [](PlanEdit& e) {
       auto& chain = e.plan.numerics->chain;
       chain = chain == plan::Chain::pair2 ? plan::Chain::block32 : plan::Chain::pair2;
       return true;
     }},
    {"reduction", "sums go in rank order, against the options",
     [](PlanEdit& e) {
       e.plan.numerics->reduction = plan::Reduction::rank_order;
       bool any = false;
       for (Instruction& instruction : e.steps) {
         if (instruction.step.op() != OpKind::all_reduce) continue;
         instruction.collective->mutate_algorithm(plan::CollectiveAlgorithm::rank_order);
         any = true;
       }
       return any;
     }},
    {"vocab_valid_of_embedding", "the embedding takes padding rows for tokens",
     [](PlanEdit& e) {
       if (e.stage.embeds.empty()) return false;
       e.stage.embeds.front().mutate_vocab_valid(e.plan.model->vocab_padded);
       return e.plan.model->vocab_padded != e.plan.model->vocab;
     }},
    {"vocab_valid_of_candidates", "padding rows may be candidates",
     [](PlanEdit& e) {
       if (e.stage.candidates.empty()) return false;
       e.stage.candidates.front().mutate_vocab_valid(e.plan.model->vocab_padded);
       return e.plan.model->vocab_padded != e.plan.model->vocab;
     }},
    {"candidates_reversed", "candidates of the last rank are called the first's",
     [](PlanEdit& e) {
       if (e.stage.candidates.empty()) return false;
       plan::Slice& vocab = e.stage.candidates.front().mutable_vocab();
       if (e.plan.tp == 1) return false;
       vocab.mutate_start(vocab.step() * (e.plan.tp - 1));
       vocab.mutate_step(-vocab.step());
       return true;
     }},
    {"candidates_shifted", "candidates are called the tokens 16 further on",
     [](PlanEdit& e) {
       if (e.stage.candidates.empty()) return false;
       plan::Slice& vocab = e.stage.candidates.front().mutable_vocab();
       vocab.mutate_start(vocab.start() + 16);
       return true;
     }},
    {"candidates_of_other_chunks", "log-sum-exp is taken over chunks of half the length",
     [](PlanEdit& e) {
       if (e.stage.candidates.empty()) return false;
       plan::TopCandidatesAttr& attr = e.stage.candidates.front();
       attr.mutate_chunk_size(attr.chunk_size() / 2);
       return true;
     }},
    {"ranks_exchanged", "two ranks have each other's coordinate",
     [](PlanEdit& e) {
       if (e.plan.tp == 1) return false;
       e.plan.ranks[0].mutate_tp(1);
       e.plan.ranks[1].mutate_tp(0);
       return true;
     }},
    {"eos_dropped", "an end token is forgotten",
     [](PlanEdit& e) {
       if (e.plan.model->eos.empty()) return false;
       e.plan.model->eos.pop_back();
       return true;
     }},
    {"eos_other", "an end token is another",
     [](PlanEdit& e) {
       if (e.plan.model->eos.empty()) return false;
       e.plan.model->eos.front() += 7;
       return true;
     }},
    {"eos_added", "a token ends answers that should not",
     [](PlanEdit& e) {
       e.plan.model->eos.push_back(17);
       return true;
     }},
    {"bos_other", "prompts begin with another token",
     [](PlanEdit& e) {
       e.plan.model->bos += 3;
       return true;
     }},
    {"pad_other", "the padding token is another",
     [](PlanEdit& e) {
       e.plan.model->pad += 3;
       return true;
     }},
    {"temperature", "the default temperature is another",
     [](PlanEdit& e) {
       e.plan.model->sampling->temperature += 0.25f;
       return true;
     }},
    {"top_p", "the default top_p is another",
     [](PlanEdit& e) {
       e.plan.model->sampling->top_p *= 0.5f;
       return true;
     }},
    {"top_k", "the default top_k is another",
     [](PlanEdit& e) {
       e.plan.model->sampling->top_k += 5;
       return true;
     }},
    {"repetition_penalty", "the default repetition penalty is another",
     [](PlanEdit& e) {
       e.plan.model->sampling->repetition_penalty *= 1.5f;
       return true;
     }},
    {"chat_template", "the chat template is another",
     [](PlanEdit& e) {
       e.plan.model->chat_template += " ";
       return true;
     }},
    {"template_token_text", "the text of a special token that templates see is another",
     [](PlanEdit& e) {
       if (e.plan.model->template_tokens.empty()) return false;
       e.plan.model->template_tokens.back()->text += "!";
       return true;
     }},
    {"template_token_name", "templates see a special token under another name",
     [](PlanEdit& e) {
       if (e.plan.model->template_tokens.empty()) return false;
       e.plan.model->template_tokens.back()->name += "s";
       return true;
     }},
    {"template_token_forgotten", "templates do not see a special token",
     [](PlanEdit& e) {
       if (e.plan.model->template_tokens.empty()) return false;
       e.plan.model->template_tokens.pop_back();
       return true;
     }},
    {"min_p", "the default min_p is another",
     [](PlanEdit& e) {
       e.plan.model->sampling->min_p += 0.125f;
       return true;
     }},
    {"presence_penalty", "the default presence penalty is another",
     [](PlanEdit& e) {
       e.plan.model->sampling->presence_penalty += 0.5f;
       return true;
     }},
    {"frequency_penalty", "the default frequency penalty is another",
     [](PlanEdit& e) {
       e.plan.model->sampling->frequency_penalty += 0.5f;
       return true;
     }},
    {"max_tokens", "the default length of an answer is another",
     [](PlanEdit& e) {
       e.plan.model->sampling->max_tokens += 1;
       return true;
     }},
    {"default_stop", "a text ends answers that the model's makers did not name",
     [](PlanEdit& e) {
       e.plan.model->sampling->stop.push_back("the");
       return true;
     }},
    {"max_position", "the model is said to have been made for twice the positions",
     [](PlanEdit& e) {
       e.plan.model->max_position *= 2;
       return true;
     }},
    {"architecture", "the model is called another architecture",
     [](PlanEdit& e) {
       e.plan.model->architecture += "2";
       return true;
     }},
    {"fingerprint", "the model's fingerprint is another",
     [](PlanEdit& e) {
       e.plan.model->fingerprint.front() ^= 1;
       return true;
     }},
    {"parameter_count", "the model is said to have one parameter more",
     [](PlanEdit& e) {
       ++e.plan.model->parameter_count;
       return true;
     }},
    {"ffn", "the model's FFN is said to be wider",
     [](PlanEdit& e) {
       e.plan.model->ffn += 16;
       return true;
     }},
    {"max_seqs", "one sequence more than the options say",
     [](PlanEdit& e) {
       ++e.plan.max_seqs;
       return true;
     }},
    {"header_hash", "a file's header hash is another",
     [](PlanEdit& e) {
       e.plan.files.front()->header_sha256.front() ^= 1;
       return true;
     }},
    {"tokenizer_hash", "the tokenizer's hash is another",
     [](PlanEdit& e) {
       if (!e.plan.model->tokenizer) return false;
       e.plan.model->tokenizer->header_sha256.front() ^= 1;
       return true;
     }},
};

}  // namespace

std::span<const PlanMutant> FactMutants() { return kMutants; }

std::vector<PlanMutant> Mutants() {
  std::vector<PlanMutant> all;
  for (const auto part :
       {ProgramMutants(), BlockMutants(), FusedMutants(), LayoutMutants(), WeightMutants(), FactMutants()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace mrs::mutation
