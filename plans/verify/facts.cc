// Facts of the whole plan: how much it may ask for, what the runtime needs of the model, which files it reads.
#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "plans/collectives.h"
#include "plans/printable.h"
#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::DType;

Status InRange(std::string_view what, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return Status();
  if (low == high) return Refuse("{} is {}, expected {}", what, value, low);
  return Refuse("{} is {}, expected {} to {}", what, value, low, high);
}

Status CheckCounts(const plan::Plan& plan) {
  using namespace contract;
  MRS_RETURN_IF_ERROR(InRange("max_len", plan.max_len(), 1, kMaxLen));
  MRS_RETURN_IF_ERROR(InRange("max_seqs", plan.max_seqs(), 1, kMaxSeqs));
  MRS_RETURN_IF_ERROR(InRange("the number of ranks", plan.ranks()->size(), 1, kMaxRanks));
  MRS_RETURN_IF_ERROR(InRange("the number of files", plan.files()->size(), 1, kMaxRanks));
  MRS_RETURN_IF_ERROR(InRange("the number of ropes", plan.ropes()->size(), 0, 256));
  MRS_RETURN_IF_ERROR(InRange("the number of encodings", plan.encodings()->size(), 1, 256));
  MRS_RETURN_IF_ERROR(InRange("the number of stages", plan.stages()->size(), 1, kMaxLayers));
  MRS_RETURN_IF_ERROR(InRange("ep", plan.ep(), 1, 1));
  std::set<uint64_t> windows;
  for (const plan::Stage* stage : *plan.stages()) {
    MRS_RETURN_IF_ERROR(InRange("the number of KV classes", stage->kv_classes()->size(), 1, kMaxWindows));
    MRS_RETURN_IF_ERROR(InRange("the number of steps", stage->steps()->size(), 1, kMaxSteps));
    MRS_RETURN_IF_ERROR(InRange("the number of buffers", stage->buffers()->size(), 1, kMaxBuffers));
    MRS_RETURN_IF_ERROR(InRange("the number of weights", stage->weights()->size(), 1, kMaxWeights));
    MRS_RETURN_IF_ERROR(InRange("the number of buckets", stage->buckets()->size(), 1, kMaxBuckets));
    const uint64_t placement_count = uint64_t{stage->buckets()->size()} * stage->buffers()->size();
    MRS_RETURN_IF_ERROR(InRange("buckets times buffers", placement_count, 1, kMaxPlacements));
    for (const plan::KvClass* cache : *stage->kv_classes()) windows.insert(cache->window());
  }
  return InRange("the number of different windows", windows.size(), 1, kMaxWindows);
}

// An id past the vocabulary could never be chosen: as an end it would end nothing.
Status CheckSpecialTokens(const plan::Model& model) {
  const auto last = static_cast<int32_t>(model.vocab() - 1);
  MRS_RETURN_IF_ERROR(InRange("the number of model.eos ids", model.eos()->size(), 0, contract::kMaxEndTokens));
  int32_t before = -1;
  for (const int32_t eos : *model.eos()) {
    if (eos < 0 || eos > last) return Refuse("model.eos holds {}, expected token ids from 0 to {}", eos, last);
    if (eos <= before) return Refuse("model.eos holds {} after {}, expected ascending ids", eos, before);
    before = eos;
  }
  const auto one = [&](std::string_view what, int32_t id) {
    if (id >= -1 && id <= last) return Status();
    return Status(Refuse("model.{} is {}, expected a token id from 0 to {}, or -1", what, id, last));
  };
  MRS_RETURN_IF_ERROR(one("bos", model.bos()));
  return one("pad", model.pad());
}

Status CheckTemplateTokens(const flatbuffers::Vector<flatbuffers::Offset<plan::TemplateToken>>& tokens) {
  using namespace contract;
  MRS_RETURN_IF_ERROR(InRange("the number of template tokens", tokens.size(), 0, kMaxTemplateTokens));
  std::string_view before;
  for (const plan::TemplateToken* token : tokens) {
    const std::string_view name = token->name()->string_view();
    MRS_RETURN_IF_ERROR(InRange("the size of a template token's name", name.size(), 1, kMaxTemplateTokenBytes));
    MRS_RETURN_IF_ERROR(InRange(fmt::format("the size of template token '{}'", Printable(name)), token->text()->size(),
                                0, kMaxTemplateTokenBytes));
    if (name <= before) {
      return Refuse("template token '{}' follows '{}', expected each once, sorted by name", Printable(name),
                    Printable(before));
    }
    before = name;
  }
  return Status();
}

Status CheckSampling(const plan::SamplingDefaults& sampling) {
  using namespace contract;
  if (sampling.temperature() < 0)
    return Refuse("sampling.temperature is {}, expected 0 or more", sampling.temperature());
  if (!(sampling.top_p() > 0 && sampling.top_p() <= 1)) {
    return Refuse("sampling.top_p is {}, expected more than 0, at most 1", sampling.top_p());
  }
  if (!(sampling.repetition_penalty() > 0)) {
    return Refuse("sampling.repetition_penalty is {}, expected more than 0", sampling.repetition_penalty());
  }
  if (!(sampling.min_p() >= 0 && sampling.min_p() <= 1)) {
    return Refuse("sampling.min_p is {}, expected 0 to 1", sampling.min_p());
  }
  for (const auto& [what, penalty] : {std::pair{"presence_penalty", sampling.presence_penalty()},
                                      std::pair{"frequency_penalty", sampling.frequency_penalty()}}) {
    if (!(penalty >= -2 && penalty <= 2)) return Refuse("sampling.{} is {}, expected -2 to 2", what, penalty);
  }
  MRS_RETURN_IF_ERROR(InRange("sampling.max_tokens", sampling.max_tokens(), 0, kMaxAnswerTokens));
  MRS_RETURN_IF_ERROR(InRange("the number of sampling.stop texts", sampling.stop()->size(), 0, kMaxStops));
  uint64_t all_bytes = 0;
  for (const flatbuffers::String* stop : *sampling.stop()) {
    MRS_RETURN_IF_ERROR(InRange("the size of a sampling.stop text", stop->size(), 1, kMaxStopBytes));
    all_bytes += stop->size();
  }
  return InRange("the size of all sampling.stop texts", all_bytes, 0, kMaxAllStopBytes);
}

Status CheckModel(const plan::Model& model) {
  MRS_RETURN_IF_ERROR(InRange("model.layer_count", model.layer_count(), 1, contract::kMaxLayers));
  MRS_RETURN_IF_ERROR(InRange("model.hidden", model.hidden(), 1, contract::kMaxWidth));
  MRS_RETURN_IF_ERROR(InRange("model.vocab", model.vocab(), 1, contract::kMaxVocab));
  MRS_RETURN_IF_ERROR(InRange("model.vocab_padded", model.vocab_padded(), model.vocab(), contract::kMaxVocab));
  if (model.vocab_padded() % contract::kVocabChunks != 0) {
    return Refuse("model.vocab_padded is {}, expected a multiple of {}", model.vocab_padded(), contract::kVocabChunks);
  }
  MRS_RETURN_IF_ERROR(InRange("model.kv_heads", model.kv_heads(), 1, contract::kMaxWidth));
  MRS_RETURN_IF_ERROR(InRange("model.heads", model.heads(), model.kv_heads(), contract::kMaxWidth));
  if (model.heads() % model.kv_heads() != 0) {
    return Refuse("model: {} query heads do not share {} KV heads evenly", model.heads(), model.kv_heads());
  }
  MRS_RETURN_IF_ERROR(InRange("the size of model.fingerprint", model.fingerprint()->size(), 32, 32));
  MRS_RETURN_IF_ERROR(CheckSpecialTokens(model));
  if (model.has_tokenizer() != (model.tokenizer() != nullptr)) {
    return Refuse("model.has_tokenizer is {}, but a tokenizer file is {}", model.has_tokenizer(),
                  model.tokenizer() != nullptr ? "named" : "not named");
  }
  MRS_RETURN_IF_ERROR(CheckTemplateTokens(*model.template_tokens()));
  return CheckSampling(*model.sampling());
}

Status CheckNumerics(const plan::Plan& plan) {
  const plan::Numerics& numerics = *plan.numerics();
  if (numerics.chain() == plan::Chain::none) return Refuse("numerics.chain is none, expected pair2, block32 or fast");
  if (numerics.revision() != contract::kNumericsRevision) {
    return Refuse("numerics.revision is {}, this version computes revision {}", numerics.revision(),
                  contract::kNumericsRevision);
  }
  if (numerics.weight_dtype() != DType::f32 && numerics.weight_dtype() != DType::bf16) {
    return Refuse("numerics.weight_dtype is {}, expected f32 or bf16", plan::EnumNameDType(numerics.weight_dtype()));
  }
  if (numerics.chain() != plan::Chain::fast) return Status();
  if (numerics.weight_dtype() != DType::bf16) {
    return Refuse("numerics.weight_dtype is {}, but numerics.chain is fast, whose matrices are bf16",
                  plan::EnumNameDType(numerics.weight_dtype()));
  }
  for (uint32_t rank = 0; rank < plan.ranks()->size(); ++rank) {
    const plan::DeviceKind kind = plan.ranks()->Get(rank)->kind();
    if (kind == plan::DeviceKind::cuda) continue;
    return Refuse("numerics.chain is fast, which CUDA ranks alone can be, but rank {} is {}", rank,
                  plan::EnumNameDeviceKind(kind));
  }
  return Status();
}

// A name that cannot lead out of the model's folder.
bool StaysInFolder(std::string_view name) {
  if (name.empty() || name.size() > 1024 || name.front() == '/' || name.back() == '/') return false;
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '\\' || c == 0x7F) return false;
  }
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

Status CheckFile(const plan::File& file) {
  const std::string_view name = file.name()->string_view();
  if (!StaysInFolder(name)) {
    return Refuse("file '{}': expected a path inside the model's folder, without '.', '..' or control characters",
                  Printable(name.substr(0, 100)));
  }
  if (file.header_sha256()->size() != 32) {
    return Refuse("file '{}': its header hash has {} bytes, expected 32", name, file.header_sha256()->size());
  }
  if (file.header_bytes() > file.size_bytes() || file.size_bytes() > contract::kMaxArenaBytes) {
    return Refuse("file '{}': a header of {} bytes in a file of {}", name, file.header_bytes(), file.size_bytes());
  }
  return Status();
}

Status CheckFiles(const plan::Plan& plan) {
  std::set<std::string_view> seen;
  for (const plan::File* file : *plan.files()) {
    MRS_RETURN_IF_ERROR(CheckFile(*file));
    if (!seen.insert(file->name()->string_view()).second) {
      return Refuse("file '{}' is listed twice", file->name()->string_view());
    }
  }
  if (plan.model()->tokenizer() != nullptr) MRS_RETURN_IF_ERROR(CheckFile(*plan.model()->tokenizer()));
  return Status();
}

Status CheckRopes(const plan::Plan& plan) {
  for (uint32_t i = 0; i < plan.ropes()->size(); ++i) {
    const plan::Rope& rope = *plan.ropes()->Get(i);
    MRS_RETURN_IF_ERROR(
        InRange(fmt::format("the number of frequencies of rope {}", i), rope.inv_freq()->size(), 1, 4096));
    if (!(rope.attention_factor() > 0)) {
      return Refuse("rope {}: its attention factor is {}, expected more than 0", i, rope.attention_factor());
    }
  }
  return Status();
}

Status CheckNotes(const plan::Plan& plan) {
  for (uint32_t i = 1; i < plan.options()->size(); ++i) {
    const auto before = plan.options()->Get(i - 1)->name()->string_view();
    const auto name = plan.options()->Get(i)->name()->string_view();
    if (name <= before) {
      return Refuse("option '{}' follows '{}', expected each once and sorted by name", Printable(name),
                    Printable(before));
    }
  }
  for (const plan::Prediction* p : *plan.predictions()) {
    if (!(p->low() <= p->expected() && p->expected() <= p->high())) {
      return Refuse("prediction '{}': expected low <= expected <= high, got {}, {}, {}",
                    Printable(p->name()->string_view()), p->low(), p->expected(), p->high());
    }
  }
  return Status();
}

// Whoever hands on by the next one's memory is of its node.
Status CheckOneNode(const plan::Plan& plan, std::string_view value) {
  const auto ranks = View(plan.ranks());
  for (uint32_t i = 1; i < ranks.size(); ++i) {
    if (ranks[i].node() == ranks[0].node()) continue;
    return Refuse(
        "option 'collectives' is {}, by which stages hand on by each other's memory, and ranks 0 and {} are on nodes "
        "{} "
        "and {}",
        value, i, ranks[0].node(), ranks[i].node());
  }
  return Status();
}

// What carries what GPUs tell each other is an option, and memory that the plan counts: both say the same.
Status CheckCollectives(const plan::Plan& plan) {
  std::string_view value;
  for (const plan::Option* option : *plan.options()) {
    if (option->name()->string_view() == "collectives") value = option->value()->string_view();
  }
  if (value.empty()) return Status();
  const Collectives named = CollectivesNamed(value);
  if (CollectivesName(named) != value) {
    return Refuse("option 'collectives' is '{}', expected staged, nccl, ipc or ipc-in-stages",
                  Printable(value.substr(0, 100)));
  }
  const uint32_t stages = plan.stages()->size();
  const uint32_t least = HandsOnByPeers(named) && stages > 1 ? 1 : 2;  // of a stage's ranks, so that some exchange
  if (SumsByPeers(named) && (plan.tp() < least || plan.tp() > kMostPeerRanks)) {
    return Refuse("option 'collectives' is {}, which {} to {} ranks of a group can be, and tp is {}", value, least,
                  kMostPeerRanks, plan.tp());
  }
  for (uint32_t s = 0; s < stages; ++s) {
    const uint64_t bytes = plan.stages()->Get(s)->communicators_bytes();
    if (SumsByPeers(named)) {
      const auto expected = static_cast<uint64_t>(PeerBytes(named, plan.tp(), s == 0, s + 1 == stages));
      if (bytes == expected) continue;
      return Refuse(
          "option 'collectives' is {}, but stage {} counts {} bytes of communicators, expected {}: rebuild the plan "
          "with mrs-plan",
          value, s, bytes, expected);
    }
    if (named == Collectives::kNccl ? bytes > 0 : bytes == 0) continue;
    return Refuse("option 'collectives' is {}, but stage {} counts {} bytes of communicators", value, s, bytes);
  }
  if (HandsOnByPeers(named) && stages > 1) return CheckOneNode(plan, value);
  return Status();
}

}  // namespace

Status CheckFacts(const plan::Plan& plan) {
  MRS_RETURN_IF_ERROR(CheckCounts(plan));
  MRS_RETURN_IF_ERROR(CheckModel(*plan.model()));
  MRS_RETURN_IF_ERROR(CheckNumerics(plan));
  MRS_RETURN_IF_ERROR(CheckFiles(plan));
  MRS_RETURN_IF_ERROR(CheckRopes(plan));
  MRS_RETURN_IF_ERROR(CheckCollectives(plan));
  return CheckNotes(plan);
}

}  // namespace mrs::verify
