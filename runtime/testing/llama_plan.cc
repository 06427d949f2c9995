#include "runtime/testing/llama_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <set>

#include "plans/contract.h"
#include "plans/encoding.h"
#include "plans/sha256.h"

namespace mrs::testing {
namespace {

using namespace plan;

uint64_t RoundUp(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
uint64_t SizeOf(DType dtype) { return dtype == DType::f32 || dtype == DType::i32 ? 4 : dtype == DType::u8 ? 1 : 2; }

// The bits of a value in the file's type, which holds it exactly.
void Append(std::string* file, float value, DType dtype) {
  const auto bits = std::bit_cast<uint32_t>(value);
  uint32_t out = bits;
  if (dtype == DType::bf16) out = bits >> 16;
  if (dtype == DType::f16) {
    const uint32_t exponent = (bits >> 23) & 0xFF;
    out = value == 0 ? 0 : (bits >> 31) << 15 | (exponent - 112) << 10 | ((bits >> 13) & 0x3FF);
  }
  file->append(reinterpret_cast<const char*>(&out), SizeOf(dtype));
}

class Builder {
 public:
  explicit Builder(const TestModelConfig& config, const std::string& directory) : c_(config) {
    model_.config = config;
    model_.directory = directory;
    model_.file = directory + "/model.safetensors";
    random_.seed(config.seed);
  }

  TestModel Build() {
    MakeFacts();
    for (uint32_t stage = 0; stage < c_.stages; ++stage) MakeStage(stage);
    PlanT& tree = model_.tree;
    const std::string header = Header();
    std::ofstream(model_.file, std::ios::binary) << header << data_;
    model_.header_bytes = header.size();
    for (auto& [name, tensor] : model_.tensors) tensor.file_offset += header.size();
    for (const auto& stage : tree.stages) {
      for (WeightSource& source : stage->sources) source.mutate_file_offset(source.file_offset() + header.size());
    }
    tree.files.push_back(std::make_unique<FileT>());
    tree.files[0]->name = "model.safetensors";
    tree.files[0]->size_bytes = header.size() + data_.size();
    tree.files[0]->header_bytes = header.size();
    const Sha256Digest digest = Sha256(std::as_bytes(std::span(header)));
    tree.files[0]->header_sha256.assign(digest.begin(), digest.end());
    Repack(&model_);
    return std::move(model_);
  }

 private:
  // What safetensors puts before the data: the length of the JSON, and the JSON.
  std::string Header() const {
    const char* dtype = c_.file_dtype == DType::f32 ? "F32" : c_.file_dtype == DType::bf16 ? "BF16" : "F16";
    std::string json = "{";
    for (const auto& [name, tensor] : model_.tensors) {
      const std::string shape =
          tensor.columns == 1 ? fmt::format("{}", tensor.rows) : fmt::format("{},{}", tensor.rows, tensor.columns);
      json += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", json.size() > 1 ? "," : "",
                          name, dtype, shape, tensor.file_offset,
                          tensor.file_offset + tensor.values.size() * SizeOf(c_.file_dtype));
    }
    json += "}";
    std::string length(8, '\0');
    for (size_t i = 0; i < length.size(); ++i) length[i] = static_cast<char>(json.size() >> (8 * i));
    return length + json;
  }

  uint32_t Name(std::string_view name) {
    model_.tree.names.emplace_back(name);
    return static_cast<uint32_t>(model_.tree.names.size() - 1);
  }

  // Split over the ranks where `split`; `every` ranks share a part.
  Slice Part(bool split, uint64_t size, uint32_t every = 1) const {
    if (!split) return Slice(0, 0, size, 1, Axis::none);
    const uint64_t local = size * every / c_.tp;
    return Slice(0, static_cast<int64_t>(local), local, every, Axis::tp);
  }

  // Random numbers of 8 bits, the same for every number of ranks.
  void AddTensor(const std::string& name, uint64_t rows, uint64_t columns) {
    if (model_.tensors.contains(name)) return;
    TestTensor tensor{rows, columns, data_.size(), {}};
    std::uniform_int_distribution<int> number(-127, 127);
    for (uint64_t i = 0; i < rows * columns; ++i) {
      const float value = columns == 1 ? 1.0F + static_cast<float>(number(random_) / 2) / 128
                                       : static_cast<float>(number(random_)) / 512;
      Append(&data_, value, c_.file_dtype);
      tensor.values.push_back(value);
    }
    model_.tensors[name] = std::move(tensor);
  }

  // The next weight of the arena, filled from one tensor.
  Ref AddWeight(const std::string& name, uint64_t bytes, uint64_t n, uint64_t chunk_k, uint32_t chunk_count,
                uint32_t chunk_count_global, uint32_t encoding, const Slice& rows, const Slice& columns) {
    const TestTensor& tensor = model_.tensors[name];
    const uint32_t label = Name(name);
    stage_->weights.emplace_back(stage_->weight_arena_bytes, bytes, n, chunk_k, chunk_count, chunk_count_global,
                                 static_cast<uint32_t>(stage_->sources.size()), 1, label, encoding,
                                 encoding == kMatrixEncoding ? c_.dtype : DType::f32);
    stage_->sources.emplace_back(rows, columns, 0, tensor.rows, tensor.rows, tensor.columns, tensor.file_offset, 0,
                                 label, 0, c_.file_dtype, Transform::none);
    stage_->weight_arena_bytes = RoundUp(stage_->weight_arena_bytes + bytes, contract::kArenaAlignment);
    return Ref(static_cast<uint32_t>(stage_->weights.size() - 1), RefSpace::weight);
  }

  Ref Vector(const std::string& name, uint64_t size, bool split, uint32_t every = 1) {
    AddTensor(name, size, 1);
    const Slice rows = Part(split, size, every);
    return AddWeight(name, rows.size() * 4, rows.size(), 0, 0, 0, kVectorEncoding, rows, Part(false, 1));
  }

  // [rows, columns]; rows split (column-parallel), or columns split in chunk_count canonical chunks (row-parallel).
  Ref Matrix(const std::string& name, uint64_t rows, uint64_t padded_rows, uint64_t columns, bool split_rows,
             bool split_columns, uint32_t chunk_count = 1, uint32_t every = 1) {
    AddTensor(name, rows, columns);
    const Slice row_slice = Part(split_rows, padded_rows, every);
    const Slice column_slice = Part(split_columns, columns);
    const uint64_t chunk_k = columns / chunk_count;
    const auto chunks = static_cast<uint32_t>(column_slice.size() / chunk_k);
    const uint64_t elements = RoundUp(row_slice.size(), 16) * RoundUp(chunk_k, 32) * chunks;
    return AddWeight(name, elements * SizeOf(c_.dtype), row_slice.size(), chunk_k, chunks, chunk_count, kMatrixEncoding,
                     row_slice, column_slice);
  }

  Ref AddBuffer(const std::string& name, Rows rows, uint64_t width, DType dtype, bool input = false) {
    stage_->buffers.emplace_back(width, Name(name), dtype, rows, input);
    return Ref(static_cast<uint32_t>(stage_->buffers.size() - 1), RefSpace::buffer);
  }

  // Every step depends on the one before it that it can run with: no overlap at all.
  void AddStep(const std::string& name, OpKind op, std::vector<Ref> operands, std::vector<Ref> results,
               uint32_t attr = 0, Variant variant = Variant::always) {
    const auto index = static_cast<uint32_t>(stage_->steps.size());
    const auto dep_begin = static_cast<uint32_t>(stage_->deps.size());
    for (uint32_t before = index; before-- > 0;) {
      const Variant other = stage_->steps[before].variant();
      if (other != Variant::always && other != variant) continue;
      stage_->deps.push_back(before);
      break;
    }
    stage_->steps.emplace_back(Name(name), static_cast<uint32_t>(stage_->refs.size()), attr, dep_begin,
                               static_cast<uint16_t>(stage_->deps.size() - dep_begin),
                               static_cast<uint16_t>(operands.size()), static_cast<uint16_t>(results.size()), layer_,
                               op, variant);
    stage_->refs.insert(stage_->refs.end(), operands.begin(), operands.end());
    stage_->refs.insert(stage_->refs.end(), results.begin(), results.end());
  }

  // The collective of `x`, or x itself where there is one rank.
  Ref Collect(const std::string& name, OpKind op, Ref x, Variant variant = Variant::always) {
    if (c_.tp == 1) return x;
    const Buffer from = stage_->buffers[x.index()];
    const bool gather = op == OpKind::all_gather;
    const Ref y = AddBuffer(name, from.rows(), from.width() * (gather ? c_.tp : 1), from.dtype());
    const auto attr = static_cast<uint32_t>(stage_->collectives.size());
    // The variants' own collectives come last, each as the next one in its program.
    const uint32_t order = variant == Variant::always ? always_collectives_++ : always_collectives_;
    stage_->collectives.emplace_back(from.width(), stage_->tp_group, order, from.dtype(), from.rows(),
                                     gather ? CollectiveAlgorithm::gather : c_.sum);
    AddStep(name, op, {x}, {y}, attr, variant);
    return y;
  }

  Ref Norm(const std::string& name, Ref x, const std::string& weight, uint64_t heads, uint64_t width, Rows rows,
           DType dtype) {
    const Ref y = AddBuffer(name, rows, heads * width, dtype);
    NormAttrT attr;
    attr.heads = heads;
    attr.width = width;
    attr.eps = kTestEps;
    stage_->norms.push_back(std::make_unique<NormAttrT>(attr));
    AddStep(name, OpKind::rms_norm, {x, Vector(weight, width, false)}, {y},
            static_cast<uint32_t>(stage_->norms.size() - 1));
    return y;
  }

  Ref Rotate(const std::string& name, Ref x, Ref cos_sin, uint64_t heads) {
    const Ref y = AddBuffer(name, Rows::tokens, heads * c_.head_dim, c_.dtype);
    HeadsAttrT attr;
    attr.heads = heads;
    attr.head_dim = c_.head_dim;
    stage_->heads.push_back(std::make_unique<HeadsAttrT>(attr));
    AddStep(name, OpKind::rope, {x, cos_sin}, {y}, static_cast<uint32_t>(stage_->heads.size() - 1));
    return y;
  }

  void MakeFacts();
  void MakeStage(uint32_t stage);
  void MakeCaches();
  void MakeInputs(bool first, bool last);
  Ref Embed();
  void Answer(Ref x);
  Ref Layer(uint32_t layer, Ref x, Ref cos_sin);
  void PlaceBuffers();

  const TestModelConfig c_;
  TestModel model_;
  StageT* stage_ = nullptr;
  std::string data_;  // of the checkpoint; offsets count from its start until the header is known
  std::mt19937_64 random_;
  int16_t layer_ = -1;
  uint32_t always_collectives_ = 0;
  Ref tokens_, positions_, sequence_, logit_rows_;
  std::vector<Ref> slots_, block_tables_;  // of the stage's KV classes
};

void Builder::MakeFacts() {
  PlanT& tree = model_.tree;
  tree.format_major = contract::kFormatMajor;
  tree.format_minor = contract::kFormatMinor;
  tree.producer = "test";
  tree.model = std::make_unique<ModelT>();
  tree.model->name = "test";
  tree.model->architecture = "LlamaForCausalLM";
  tree.model->fingerprint.resize(32);
  tree.model->hidden = c_.hidden;
  tree.model->layer_count = c_.layers;
  tree.model->heads = c_.heads;
  tree.model->kv_heads = c_.kv_heads;
  tree.model->head_dim = c_.head_dim;
  tree.model->ffn = c_.ffn;
  tree.model->vocab = c_.vocab;
  tree.model->vocab_padded = static_cast<uint32_t>(RoundUp(c_.vocab, contract::kVocabChunks));
  tree.model->max_position = c_.max_len;
  tree.model->bos = -1;
  tree.model->pad = -1;
  tree.model->sampling = std::make_unique<SamplingDefaultsT>();
  tree.model->sampling->top_p = 1;
  tree.model->sampling->repetition_penalty = 1;
  tree.numerics = std::make_unique<NumericsT>();
  tree.numerics->chain = c_.chain;
  tree.numerics->revision = contract::kNumericsRevision;
  tree.numerics->reduction = c_.sum == CollectiveAlgorithm::rank_order ? Reduction::rank_order : Reduction::canonical;
  tree.numerics->weight_dtype = c_.dtype;
  tree.cluster = std::make_unique<ClusterT>();
  tree.cluster->fingerprint.resize(32);
  tree.max_len = c_.max_len;
  tree.max_seqs = c_.max_seqs;
  tree.tp = c_.tp;
  tree.ep = 1;
  tree.dp = 1;
  for (uint32_t rank = 0; rank < c_.stages * c_.tp; ++rank) {
    tree.ranks.emplace_back(rank % c_.tp, 0, rank / c_.tp, 0, rank, 0, DeviceKind::cpu);
  }
  for (uint32_t stage = 0; stage < c_.stages; ++stage) tree.groups.emplace_back(stage * c_.tp, c_.tp, 1, Axis::tp);
  tree.ropes.push_back(std::make_unique<RopeT>());
  for (uint32_t i = 0; i < c_.head_dim / 2; ++i) {
    model_.inv_freq.push_back(1.0F / std::pow(100.0F, 2.0F * static_cast<float>(i) / static_cast<float>(c_.head_dim)));
  }
  tree.ropes[0]->inv_freq = model_.inv_freq;
  tree.ropes[0]->attention_factor = 1;
  tree.ropes[0]->rule = "theta 100";

  tree.encodings = EncodingsFor(c_.dtype, c_.chain);
}

void Builder::MakeStage(uint32_t stage) {
  model_.tree.stages.push_back(std::make_unique<StageT>());
  stage_ = model_.tree.stages.back().get();
  always_collectives_ = 0;
  const bool first = stage == 0;
  const bool last = stage + 1 == c_.stages;
  stage_->tp_group = stage;
  stage_->layer_begin = c_.layers / c_.stages * stage;
  stage_->layer_end = stage_->layer_begin + c_.layers / c_.stages;
  stage_->candidates_buffer = contract::kNone;
  stage_->logits_buffer = contract::kNone;
  MakeCaches();
  MakeInputs(first, last);

  Ref x = first ? Embed() : AddBuffer("received", Rows::tokens, c_.hidden, DType::f32);
  if (!first) {
    stage_->transfers.emplace_back(c_.hidden, stage - 1, 0, DType::f32, Rows::tokens);
    AddStep("recv", OpKind::recv, {}, {x}, 0);
  }
  const Ref cos_sin = AddBuffer("cos_sin", Rows::tokens, c_.head_dim, DType::f32);
  AddStep("rope_angles", OpKind::rope_angles, {positions_}, {cos_sin});
  for (uint32_t layer = stage_->layer_begin; layer < stage_->layer_end; ++layer) {
    layer_ = static_cast<int16_t>(layer);
    x = Layer(layer, x, cos_sin);
  }
  layer_ = -1;
  if (last) {
    Answer(x);
  } else {
    stage_->transfers.emplace_back(c_.hidden, stage + 1, 0, DType::f32, Rows::tokens);
    AddStep("send", OpKind::send, {x}, {}, static_cast<uint32_t>(stage_->transfers.size() - 1));
  }
  PlaceBuffers();
}

// One class for each window of the stage's layers.
void Builder::MakeCaches() {
  const uint32_t kv_local = std::max<uint32_t>(1, c_.kv_heads / c_.tp);
  for (const uint32_t window : std::set<uint32_t>{0, c_.window}) {
    uint32_t layers = 0;
    for (uint32_t layer = stage_->layer_begin; layer < stage_->layer_end; ++layer) {
      layers += WindowOf(c_, layer) == window;
    }
    if (layers == 0) continue;
    const uint64_t of_sequence = contract::SequenceBlocks(c_.max_len, window, c_.max_tokens);
    const uint64_t blocks = c_.max_seqs * of_sequence;
    const uint64_t block_bytes = uint64_t{layers} * 2 * kv_local * c_.head_dim * 32 * SizeOf(c_.dtype);
    stage_->kv_classes.emplace_back(blocks, block_bytes, window, 0, 0, 32, layers, kv_local, c_.head_dim, c_.head_dim,
                                    of_sequence, c_.dtype, window == 0 ? KvKind::full : KvKind::window);
    stage_->kv_arena_bytes += blocks * block_bytes;
  }
}

// Those that the stage uses.
void Builder::MakeInputs(bool first, bool last) {
  if (first) tokens_ = AddBuffer(std::string(contract::kTokens), Rows::tokens, 1, DType::i32, true);
  positions_ = AddBuffer(std::string(contract::kPositions), Rows::tokens, 1, DType::i32, true);
  sequence_ = AddBuffer(std::string(contract::kSequence), Rows::tokens, 1, DType::i32, true);
  slots_.clear();
  block_tables_.clear();
  for (uint32_t kv = 0; kv < stage_->kv_classes.size(); ++kv) {
    slots_.push_back(AddBuffer(contract::KvInputName(contract::kSlots, kv), Rows::tokens, 1, DType::i32, true));
    block_tables_.push_back(AddBuffer(contract::KvInputName(contract::kBlockTable, kv), Rows::sequences,
                                      (c_.max_len + 31) / 32, DType::i32, true));
  }
  if (last) logit_rows_ = AddBuffer(std::string(contract::kLogitRows), Rows::logit_rows, 1, DType::i32, true);
}

Ref Builder::Embed() {
  const uint64_t vocab = model_.tree.model->vocab_padded;
  const Ref table = Matrix("embed", c_.vocab, vocab, c_.hidden, c_.tp > 1, false);
  const Ref x = AddBuffer("embed", Rows::tokens, c_.hidden, DType::f32);
  stage_->embeds.emplace_back(Part(c_.tp > 1, vocab), c_.vocab);
  AddStep("embed", OpKind::embed, {tokens_, table}, {x});
  return Collect("embed.all_reduce", OpKind::all_reduce, x);
}

void Builder::Answer(Ref x) {
  const uint64_t vocab = model_.tree.model->vocab_padded;
  const Slice vocab_part = Part(c_.tp > 1, vocab);
  const Ref last = AddBuffer("last", Rows::logit_rows, c_.hidden, DType::f32);
  AddStep("select", OpKind::select_rows, {x, logit_rows_}, {last});
  const Ref h = Norm("norm", last, "norm", 1, c_.hidden, Rows::logit_rows, c_.dtype);
  const Ref logits = AddBuffer("logits", Rows::logit_rows, vocab_part.size(), DType::f32);
  AddStep("lm_head", OpKind::matmul,
          {h, Matrix("lm_head", c_.vocab, vocab, c_.hidden, c_.tp > 1, false), Ref(0, RefSpace::none)}, {logits});

  constexpr uint32_t kCandidates = 8;
  const uint32_t chunk_count = contract::kVocabChunks / c_.tp;
  const Ref records = AddBuffer("candidates", Rows::logit_rows, kCandidates * 8 + chunk_count * 8, DType::u8);
  stage_->candidates.emplace_back(vocab_part, c_.vocab, vocab / contract::kVocabChunks, chunk_count, kCandidates);
  AddStep("candidates", OpKind::top_candidates, {logits}, {records}, 0, Variant::candidates);
  stage_->candidates_buffer =
      Collect("candidates.all_gather", OpKind::all_gather, records, Variant::candidates).index();
  stage_->logits_buffer = Collect("logits.all_gather", OpKind::all_gather, logits, Variant::all_logits).index();
}

Ref Builder::Layer(uint32_t layer, Ref x, Ref cos_sin) {
  const std::string l = fmt::format("l{}.", layer);
  const bool split = c_.tp > 1;
  const Ref none(0, RefSpace::none);
  const uint64_t heads = c_.heads / c_.tp;
  const uint64_t kv_heads = std::max<uint64_t>(1, c_.kv_heads / c_.tp);
  const uint32_t every = std::max<uint32_t>(1, c_.tp / c_.kv_heads);
  const uint64_t q_size = uint64_t{c_.heads} * c_.head_dim;
  const uint64_t kv_size = uint64_t{c_.kv_heads} * c_.head_dim;
  const auto chunks_of = [](uint64_t k, uint64_t block) {
    return static_cast<uint32_t>(std::min<uint64_t>(16, (k / block) & (~(k / block) + 1)));
  };

  const Ref h = Norm(l + "input_norm", x, l + "input_norm", 1, c_.hidden, Rows::tokens, c_.dtype);
  Ref q = AddBuffer(l + "q", Rows::tokens, heads * c_.head_dim, DType::f32);
  Ref k = AddBuffer(l + "k", Rows::tokens, kv_heads * c_.head_dim, DType::f32);
  const Ref v = AddBuffer(l + "v", Rows::tokens, kv_heads * c_.head_dim, DType::f32);
  AddStep(l + "qkv", OpKind::matmul,
          {h, Matrix(l + "q", q_size, q_size, c_.hidden, split, false),
           c_.bias ? Vector(l + "q.bias", q_size, split) : none,
           Matrix(l + "k", kv_size, kv_size, c_.hidden, split, false, 1, every),
           c_.bias ? Vector(l + "k.bias", kv_size, split, every) : none,
           Matrix(l + "v", kv_size, kv_size, c_.hidden, split, false, 1, every),
           c_.bias ? Vector(l + "v.bias", kv_size, split, every) : none},
          {q, k, v});
  if (c_.qk_norm) {
    q = Norm(l + "q_norm", q, l + "q_norm", heads, c_.head_dim, Rows::tokens, DType::f32);
    k = Norm(l + "k_norm", k, l + "k_norm", kv_heads, c_.head_dim, Rows::tokens, DType::f32);
  }
  q = Rotate(l + "q_rope", q, cos_sin, heads);
  k = Rotate(l + "k_rope", k, cos_sin, kv_heads);
  const auto attr = static_cast<uint32_t>(stage_->attentions.size());
  AttentionAttrT attention;
  attention.heads = heads;
  attention.kv_heads = kv_heads;
  attention.head_dim = c_.head_dim;
  attention.scale = 1.0F / std::sqrt(static_cast<float>(c_.head_dim));
  attention.window = WindowOf(c_, layer);
  for (uint32_t kv = 0; kv < stage_->kv_classes.size(); ++kv) {
    if (stage_->kv_classes[kv].window() == attention.window) attention.kv_class = kv;
  }
  for (uint32_t before = stage_->layer_begin; before < layer; ++before) {
    attention.kv_layer += WindowOf(c_, before) == attention.window;
  }
  stage_->attentions.push_back(std::make_unique<AttentionAttrT>(attention));
  AddStep(l + "kv_append", OpKind::kv_append, {k, v, slots_[attention.kv_class]}, {}, attr);
  const Ref mixed = AddBuffer(l + "attention", Rows::tokens, heads * c_.head_dim, c_.dtype);
  AddStep(l + "attention", OpKind::attention, {q, sequence_, positions_, block_tables_[attention.kv_class]}, {mixed},
          attr);
  Ref o = AddBuffer(l + "o", Rows::tokens, c_.hidden, DType::f32);
  AddStep(l + "o", OpKind::matmul,
          {mixed, Matrix(l + "o", c_.hidden, c_.hidden, q_size, false, split, chunks_of(q_size, c_.head_dim)), none},
          {o});
  o = Collect(l + "o.all_reduce", OpKind::all_reduce, o);
  if (c_.bias) {
    const Ref biased = AddBuffer(l + "o_bias", Rows::tokens, c_.hidden, DType::f32);
    AddStep(l + "o_bias", OpKind::add_bias, {o, Vector(l + "o.bias", c_.hidden, false)}, {biased});
    o = biased;
  }
  const Ref middle = AddBuffer(l + "attention_residual", Rows::tokens, c_.hidden, DType::f32);
  AddStep(l + "attention_residual", OpKind::add, {x, o}, {middle});

  const Ref h2 = Norm(l + "post_norm", middle, l + "post_norm", 1, c_.hidden, Rows::tokens, c_.dtype);
  const uint64_t ffn = c_.ffn / c_.tp;
  const Ref gate = AddBuffer(l + "gate", Rows::tokens, ffn, DType::f32);
  const Ref up = AddBuffer(l + "up", Rows::tokens, ffn, DType::f32);
  AddStep(l + "gate_up", OpKind::matmul,
          {h2, Matrix(l + "gate", c_.ffn, c_.ffn, c_.hidden, split, false), none,
           Matrix(l + "up", c_.ffn, c_.ffn, c_.hidden, split, false), none},
          {gate, up});
  const Ref act = AddBuffer(l + "act", Rows::tokens, ffn, c_.dtype);
  AddStep(l + "silu_mul", OpKind::silu_mul, {gate, up}, {act});
  Ref down = AddBuffer(l + "down", Rows::tokens, c_.hidden, DType::f32);
  AddStep(l + "down", OpKind::matmul,
          {act, Matrix(l + "down", c_.hidden, c_.hidden, c_.ffn, false, split, chunks_of(c_.ffn, 1)), none}, {down});
  down = Collect(l + "down.all_reduce", OpKind::all_reduce, down);
  const Ref out = AddBuffer(l + "residual", Rows::tokens, c_.hidden, DType::f32);
  AddStep(l + "residual", OpKind::add, {middle, down}, {out});
  return out;
}

void Builder::PlaceBuffers() {
  const uint32_t token_counts[] = {4, c_.max_tokens};
  for (const uint32_t tokens : token_counts) {
    const uint32_t sequences = std::min(tokens, c_.max_seqs);
    uint64_t offset = 0;
    for (const Buffer& buffer : stage_->buffers) {
      const uint32_t rows_of[] = {1, tokens, sequences, tokens};
      stage_->placements.push_back(offset);
      offset += rows_of[static_cast<size_t>(buffer.rows())] * buffer.width() * SizeOf(buffer.dtype());
      offset = RoundUp(offset, contract::kArenaAlignment);
    }
    stage_->buckets.emplace_back(tokens, sequences, tokens, offset);
    stage_->activation_arena_bytes = offset;
  }
}

}  // namespace

TestModel MakeTestModel(const TestModelConfig& config, const std::string& directory) {
  return Builder(config, directory).Build();
}

void Repack(TestModel* model) {
  flatbuffers::FlatBufferBuilder builder;
  plan::FinishPlanBuffer(builder, plan::Plan::Pack(builder, &model->tree));
  model->bytes.assign(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
}

}  // namespace mrs::testing
