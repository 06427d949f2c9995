#include "plans/testing/tiny_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "plans/collectives.h"
#include "plans/contract.h"
#include "plans/encoding.h"
#include "plans/sha256.h"
#include "plans/structure.h"
#include "plans/verify.h"
#include "plans/writer.h"

namespace mrs::testing {
namespace {

using namespace plan;

constexpr uint32_t kNoBuffer = UINT32_MAX;

uint64_t RoundUp(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Collects one stage. Buffers of a layer lie one after the other and reuse the place of the layer before.
class Builder {
 public:
  explicit Builder(const TinyOptions& options) : o_(options) {
    plan_.stages.push_back(std::make_unique<StageT>());
    stage_ = plan_.stages[0].get();
  }

  PlanT Build() {
    Facts();
    World();
    Buckets();
    for (const auto name : {contract::kTokens, contract::kPositions, contract::kSequence, contract::kSlots}) {
      Buffer_(std::string(name), DType::i32, Rows::tokens, 1, kNoBuffer, true);
    }
    Buffer_(std::string(contract::kBlockTable), DType::i32, Rows::sequences, 4, kNoBuffer, true);
    Buffer_(std::string(contract::kLogitRows), DType::i32, Rows::logit_rows, 1, kNoBuffer, true);
    const uint32_t x = Head();
    mark_ = ends_;
    uint32_t stream = x;
    for (uint32_t layer = 0; layer < o_.layer_count; ++layer) stream = Layer(layer, stream);
    Tail(stream);
    Finish();
    return std::move(plan_);
  }

 private:
  uint64_t hidden() const { return 32 * o_.scale; }
  uint64_t heads() const { return 4 * o_.scale * o_.head_scale; }
  uint64_t kv_heads() const { return 2 * o_.scale * o_.head_scale; }
  uint64_t ffn() const { return 64 * o_.scale; }
  uint64_t vocab() const { return 40 * o_.scale; }
  uint64_t vocab_padded() const { return 48 * o_.scale; }
  uint64_t kv_local() const { return std::max<uint64_t>(1, kv_heads() / o_.tp); }
  uint64_t head_dim() const { return o_.joined ? 32 : 8; }

  void Facts() {
    plan_.format_major = contract::kFormatMajor;
    plan_.format_minor = contract::kFormatMinor;
    plan_.producer = "by hand";
    plan_.model = std::make_unique<ModelT>();
    ModelT& m = *plan_.model;
    m.name = "tiny";
    m.architecture = "LlamaForCausalLM";
    m.fingerprint.assign(32, 7);
    m.parameter_count = 12345;
    m.hidden = static_cast<uint32_t>(hidden());
    m.layer_count = o_.layer_count;
    m.heads = static_cast<uint32_t>(heads());
    m.kv_heads = static_cast<uint32_t>(kv_heads());
    m.head_dim = static_cast<uint32_t>(head_dim());
    m.ffn = static_cast<uint32_t>(ffn());
    m.vocab = static_cast<uint32_t>(vocab());
    m.vocab_padded = static_cast<uint32_t>(vocab_padded());
    m.max_position = 128;
    m.bos = 1;
    m.eos = {2};
    m.pad = -1;
    m.chat_template = "{{ \"hi\" }}\n";
    m.template_tokens.push_back(std::make_unique<TemplateTokenT>());
    m.template_tokens[0]->name = "eos_token";
    m.template_tokens[0]->text = "</s>";
    m.sampling = std::make_unique<SamplingDefaultsT>();
    m.sampling->temperature = 1;
    m.sampling->top_p = 1;
    m.sampling->repetition_penalty = 1;
    m.has_tokenizer = true;
    m.tokenizer = File_("tokenizer.json", 5000, 5000);
    plan_.numerics = std::make_unique<NumericsT>();
    plan_.numerics->chain = Chain::pair2;
    plan_.numerics->revision = contract::kNumericsRevision;
    plan_.numerics->weight_dtype = DType::bf16;
    plan_.max_len = 100;
    plan_.max_seqs = 4;
    plan_.files.push_back(File_("model.safetensors", 0, 1000));
    auto rope = std::make_unique<RopeT>();
    for (uint64_t i = 0; i < head_dim() / 2; ++i) rope->inv_freq.push_back(std::ldexp(1.0f, -static_cast<int>(i)));
    rope->attention_factor = 1;
    rope->rule = "by hand";
    plan_.ropes.push_back(std::move(rope));
    plan_.options.push_back(std::make_unique<OptionT>());
    plan_.options[0]->name = "tp";
    plan_.options[0]->value = std::to_string(o_.tp);
    if (o_.joined && o_.tp > 1) {
      auto collectives = std::make_unique<OptionT>();
      collectives->name = "collectives";
      collectives->value = "ipc";
      plan_.options.insert(plan_.options.begin(), std::move(collectives));
      stage_->communicators_bytes = kPeerExchangeBytes;
    }
    plan_.predictions.push_back(std::make_unique<PredictionT>());
    plan_.predictions[0]->name = "weights";
    plan_.predictions[0]->unit = "bytes";
    plan_.predictions[0]->provenance = "sum of the weights";
    plan_.certificates.push_back(std::make_unique<CertificateT>());
    plan_.certificates[0]->name = "by hand";
    plan_.certificates[0]->statement = "nothing was proved";
  }

  static std::unique_ptr<FileT> File_(const char* name, uint64_t size, uint64_t header) {
    auto file = std::make_unique<FileT>();
    file->name = name;
    file->size_bytes = size;
    file->header_bytes = header;
    file->header_sha256.assign(32, 9);
    return file;
  }

  void World() {
    plan_.tp = o_.tp;
    plan_.ep = 1;
    plan_.dp = o_.dp;
    plan_.cluster = std::make_unique<ClusterT>();
    plan_.cluster->description = "one host";
    for (uint32_t dp = 0; dp < o_.dp; ++dp) {
      for (uint32_t tp = 0; tp < o_.tp; ++tp) {
        plan_.ranks.emplace_back(tp, 0, 0, dp, tp, dp, o_.fused ? DeviceKind::cuda : DeviceKind::cpu);
        plan_.cluster->memory_bytes.push_back(uint64_t{1} << 40);
      }
      plan_.groups.emplace_back(dp * o_.tp, o_.tp, 1, Axis::tp);
    }
    const auto kv = static_cast<uint32_t>(kv_local());
    const uint64_t block_bytes = uint64_t{32} * o_.layer_count * kv * 2 * head_dim() * 2;
    plan_.encodings = EncodingsFor(DType::bf16, plan_.numerics->chain);
    stage_->kv_classes.emplace_back(16, block_bytes, 0, 0, 0, 32, o_.layer_count, kv, head_dim(), head_dim(), 4,
                                    DType::bf16, KvKind::full);
    stage_->layer_end = o_.layer_count;
    stage_->kv_arena_bytes = 16 * block_bytes;
  }

  void Buckets() {
    for (uint32_t i = 0; i < o_.bucket_count; ++i) {
      const uint32_t tokens = i == 0 ? 1 : 32u << (i - 1);
      stage_->buckets.emplace_back(tokens, std::min(tokens, 4u), std::min(tokens, 4u), 0);
    }
    ends_.assign(o_.bucket_count, 0);
    places_.resize(o_.bucket_count);
  }

  uint32_t Name(const std::string& name) {
    const auto [it, is_new] = names_.try_emplace(name, static_cast<uint32_t>(plan_.names.size()));
    if (is_new) plan_.names.push_back(name);
    return it->second;
  }

  uint32_t Buffer_(const std::string& name, DType dtype, Rows rows, uint64_t width, uint32_t in_place_of = kNoBuffer,
                   bool input = false) {
    const auto index = static_cast<uint32_t>(stage_->buffers.size());
    stage_->buffers.emplace_back(width, Name(name), dtype, rows, input);
    const uint64_t size = dtype == DType::u8 ? 1 : dtype == DType::bf16 ? 2 : 4;
    for (size_t b = 0; b < ends_.size(); ++b) {
      const Bucket& bucket = stage_->buckets[b];
      const uint64_t row_count = rows == Rows::tokens      ? bucket.tokens()
                                 : rows == Rows::sequences ? bucket.sequences()
                                                           : bucket.logit_rows();
      if (in_place_of != kNoBuffer) {
        places_[b].push_back(places_[b][in_place_of]);
        continue;
      }
      places_[b].push_back(ends_[b]);
      ends_[b] = RoundUp(ends_[b] + row_count * width * size, 64);
      stage_->buckets[b].mutate_arena_bytes(std::max(bucket.arena_bytes(), ends_[b]));
    }
    return index;
  }

  // A slice of `total`, cut over tp, or whole. `every` neighbours share a part.
  Slice Cut(uint64_t total, bool cut, uint64_t every = 1) const {
    if (!cut) return Slice(0, 0, total, 1, Axis::none);
    const uint64_t part = total * every / o_.tp;
    return Slice(0, static_cast<int64_t>(part), part, static_cast<uint32_t>(every), Axis::tp);
  }

  // Where a tensor lies in the file; tied tensors share their place.
  uint64_t TensorPlace(const std::string& tensor, uint64_t elements) {
    const auto [it, is_new] = tensors_.try_emplace(tensor, file_end_);
    if (is_new) file_end_ += elements * 2;
    return it->second;
  }

  void AddWeight(const std::string& name, uint64_t bytes, uint64_t n, uint64_t chunk_k, uint64_t chunks,
                 uint64_t chunks_global, DType dtype, uint32_t encoding) {
    const auto source = static_cast<uint32_t>(stage_->sources.size());
    stage_->weights.emplace_back(stage_->weight_arena_bytes, bytes, n, chunk_k, static_cast<uint32_t>(chunks),
                                 static_cast<uint32_t>(chunks_global), source, 1, Name(name), encoding, dtype);
    stage_->weight_arena_bytes += RoundUp(bytes, 64);
  }

  Ref Matrix(const std::string& name, const std::string& tensor, uint64_t rows, uint64_t columns, uint64_t chunks,
             bool cut_rows, bool cut_columns, uint64_t padded_rows = 0, uint64_t every = 1) {
    const Slice row_slice = Cut(padded_rows == 0 ? rows : padded_rows, cut_rows, every);
    const Slice column_slice = Cut(columns, cut_columns);
    const uint64_t chunk_k = columns / chunks;
    const uint64_t local_chunks = column_slice.size() / chunk_k;
    const uint64_t bytes = RoundUp(row_slice.size(), 16) * local_chunks * RoundUp(chunk_k, 32) * 2;
    AddWeight(name, bytes, row_slice.size(), chunk_k, local_chunks, chunks, DType::bf16, kMatrixEncoding);
    stage_->sources.emplace_back(row_slice, column_slice, 0, rows, rows, columns, TensorPlace(tensor, rows * columns),
                                 0, Name(tensor), 0, DType::bf16, Transform::none);
    return Ref(static_cast<uint32_t>(stage_->weights.size() - 1), RefSpace::weight);
  }

  Ref Vector(const std::string& name, uint64_t n, bool cut = false) {
    const Slice slice = Cut(n, cut);
    AddWeight(name, slice.size() * 4, slice.size(), 0, 0, 0, DType::f32, kVectorEncoding);
    stage_->sources.emplace_back(slice, Slice(0, 0, 1, 1, Axis::none), 0, n, n, 1, TensorPlace(name, n), 0,
                                 Name(name + ".tensor"), 0, DType::bf16, Transform::none);
    return Ref(static_cast<uint32_t>(stage_->weights.size() - 1), RefSpace::weight);
  }

  void Step_(OpKind op, const std::string& name, std::vector<Ref> operands, const std::vector<uint32_t>& results,
             size_t attr = 0, int layer = -1, Variant variant = Variant::always) {
    const auto index = static_cast<uint32_t>(stage_->steps.size());
    const auto ref_begin = static_cast<uint32_t>(stage_->refs.size());
    const auto dep_begin = static_cast<uint32_t>(stage_->deps.size());
    for (uint32_t before = index; before-- > 0;) {  // the last step that runs whenever this one does
      if (stage_->steps[before].variant() != Variant::always && stage_->steps[before].variant() != variant) continue;
      stage_->deps.push_back(before);
      break;
    }
    stage_->refs.insert(stage_->refs.end(), operands.begin(), operands.end());
    for (const uint32_t result : results) stage_->refs.emplace_back(result, RefSpace::buffer);
    stage_->steps.emplace_back(Name(name), ref_begin, static_cast<uint32_t>(attr), dep_begin,
                               static_cast<uint16_t>(stage_->deps.size() - dep_begin),
                               static_cast<uint16_t>(operands.size()), static_cast<uint16_t>(results.size()),
                               static_cast<int16_t>(layer), op, variant);
  }

  void NextIsJoined() { stage_->joined.push_back(static_cast<uint32_t>(stage_->steps.size())); }

  static Ref Of(uint32_t buffer) { return Ref(buffer, RefSpace::buffer); }
  Ref Input(std::string_view name) const { return Of(names_.at(std::string(name))); }  // inputs are named first

  uint32_t Norm(const std::string& name, uint32_t x, Rows rows, DType out, uint64_t head_count, uint64_t width,
                int layer) {
    const Ref weight = Vector(name, width);
    const uint32_t y = Buffer_(name + ".out", out, rows, head_count * width);
    NormAttrT attr;
    attr.heads = head_count;
    attr.width = width;
    attr.eps = 1e-5f;
    stage_->norms.push_back(std::make_unique<NormAttrT>(attr));
    Step_(OpKind::rms_norm, name, {Of(x), weight}, {y}, stage_->norms.size() - 1, layer);
    return y;
  }

  // In place. The same buffer where there is one rank.
  uint32_t AllReduce(const std::string& name, uint32_t x, uint64_t width, CollectiveAlgorithm algorithm, int layer) {
    if (o_.tp == 1) return x;
    stage_->collectives.emplace_back(width, 0, always_order_++, DType::f32, Rows::tokens, algorithm);
    const uint32_t y = Buffer_(name + ".out", DType::f32, Rows::tokens, width, x);
    Step_(OpKind::all_reduce, name, {Of(x)}, {y}, stage_->collectives.size() - 1, layer);
    return y;
  }

  uint32_t Head() {
    cos_sin_ = Buffer_("cos_sin", DType::f32, Rows::tokens, head_dim());
    Step_(OpKind::rope_angles, "rope_angles", {Input(contract::kPositions)}, {cos_sin_});
    const Ref table = Matrix("embed", "embed.tensor", vocab(), hidden(), 1, true, false, vocab_padded());
    const uint32_t x = Buffer_("embedded", DType::f32, Rows::tokens, hidden());
    stage_->embeds.emplace_back(Cut(vocab_padded(), true), vocab());
    Step_(OpKind::embed, "embed", {Input(contract::kTokens), table}, {x});
    return AllReduce("embed_sum", x, hidden(), CollectiveAlgorithm::doubling, -1);
  }

  uint32_t Layer(uint32_t index, uint32_t x) {
    ends_ = mark_;
    const int layer = static_cast<int>(index);
    const std::string l = "l" + std::to_string(index) + ".";
    const uint64_t q_width = heads() * head_dim() / o_.tp;
    const uint64_t kv_width = kv_local() * head_dim();
    const uint64_t every = std::max<uint64_t>(1, o_.tp / kv_heads());
    const Ref none(0, RefSpace::none);

    const uint32_t h = Norm(l + "attn_norm", x, Rows::tokens, DType::bf16, 1, hidden(), layer);
    const Ref wq = Matrix(l + "q", l + "q.tensor", heads() * head_dim(), hidden(), 16, true, false);
    const Ref bq = Vector(l + "q_bias", heads() * head_dim(), true);
    const Ref wk = Matrix(l + "k", l + "k.tensor", kv_heads() * head_dim(), hidden(), 16, true, false, 0, every);
    const Ref wv = Matrix(l + "v", l + "v.tensor", kv_heads() * head_dim(), hidden(), 16, true, false, 0, every);
    const uint32_t q = Buffer_(l + "q.out", DType::f32, Rows::tokens, q_width);
    const uint32_t k = Buffer_(l + "k.out", DType::f32, Rows::tokens, kv_width);
    const uint32_t v = Buffer_(l + "v.out", DType::f32, Rows::tokens, kv_width);
    Step_(OpKind::matmul, l + "qkv", {Of(h), wq, bq, wk, none, wv, none}, {q, k, v}, 0, layer);
    uint32_t qn = q, kn = k;
    if (o_.joined) {
      NextIsJoined();  // rope_append
    } else {
      qn = Norm(l + "q_norm", q, Rows::tokens, DType::f32, heads() / o_.tp, head_dim(), layer);
      kn = Norm(l + "k_norm", k, Rows::tokens, DType::f32, kv_local(), head_dim(), layer);
    }
    const uint32_t qr = o_.fused ? RopeAppend_(l, qn, kn, v, index) : Rope_(l + "q_rope", qn, heads() / o_.tp, layer);
    const uint32_t kr = o_.fused ? 0 : Rope_(l + "k_rope", kn, kv_local(), layer);
    AttentionAttrT attr;
    attr.heads = heads() / o_.tp;
    attr.kv_heads = kv_local();
    attr.head_dim = head_dim();
    attr.scale = 0.35f;
    attr.kv_layer = index;
    stage_->attentions.push_back(std::make_unique<AttentionAttrT>(attr));
    if (!o_.fused) {
      Step_(OpKind::kv_append, l + "kv_append", {Of(kr), Of(v), Input(contract::kSlots)}, {}, index, layer);
    }
    const uint32_t a = Buffer_(l + "attn.out", DType::bf16, Rows::tokens, q_width);
    Step_(OpKind::attention, l + "attn",
          {Of(qr), Input(contract::kSequence), Input(contract::kPositions), Input(contract::kBlockTable)}, {a}, index,
          layer);
    const Ref wo =
        Matrix(l + "o", l + "o.tensor", hidden(), heads() * head_dim(), std::min<uint64_t>(16, heads()), false, true);
    uint32_t o = Buffer_(l + "o.out", DType::f32, Rows::tokens, hidden());
    Step_(OpKind::matmul, l + "o", {Of(a), wo, none}, {o}, 0, layer);
    o = AllReduce(l + "o_sum", o, hidden(), CollectiveAlgorithm::halving_doubling, layer);
    uint32_t ob = o;
    if (o_.joined) {
      NextIsJoined();  // add_norm
    } else {
      ob = Buffer_(l + "o_biased", DType::f32, Rows::tokens, hidden(), o);
      Step_(OpKind::add_bias, l + "o_bias", {Of(o), Vector(l + "o_bias", hidden())}, {ob}, 0, layer);
    }
    const uint32_t x1 = Buffer_(l + "x1", DType::f32, Rows::tokens, hidden(), x);
    if (!o_.fused) Step_(OpKind::add, l + "attn_add", {Of(x), Of(ob)}, {x1}, 0, layer);

    const uint32_t h2 = o_.fused ? AddNorm_(l, x, ob, x1, layer)
                                 : Norm(l + "ffn_norm", x1, Rows::tokens, DType::bf16, 1, hidden(), layer);
    const Ref wg = Matrix(l + "gate", l + "gate.tensor", ffn(), hidden(), 16, true, false);
    const Ref wu = Matrix(l + "up", l + "up.tensor", ffn(), hidden(), 16, true, false);
    const uint32_t g = Buffer_(l + "gate.out", DType::f32, Rows::tokens, ffn() / o_.tp);
    const uint32_t u = Buffer_(l + "up.out", DType::f32, Rows::tokens, ffn() / o_.tp);
    const uint32_t m = Buffer_(l + "silu.out", DType::bf16, Rows::tokens, ffn() / o_.tp);
    if (o_.fused) {
      Step_(OpKind::matmul_silu_mul, l + "gated", {Of(h2), wg, none, wu, none}, {g, u, m}, 0, layer);
    } else {
      Step_(OpKind::matmul, l + "gate_up", {Of(h2), wg, none, wu, none}, {g, u}, 0, layer);
      Step_(OpKind::silu_mul, l + "silu", {Of(g), Of(u)}, {m}, 0, layer);
    }
    const Ref wd = Matrix(l + "down", l + "down.tensor", hidden(), ffn(), 16, false, true);
    uint32_t d = Buffer_(l + "down.out", DType::f32, Rows::tokens, hidden());
    Step_(OpKind::matmul, l + "down", {Of(m), wd, none}, {d}, 0, layer);
    d = AllReduce(l + "down_sum", d, hidden(), CollectiveAlgorithm::gather_add, layer);
    const uint32_t x2 = Buffer_(l + "x2", DType::f32, Rows::tokens, hidden(), x1);
    Step_(OpKind::add, l + "ffn_add", {Of(x1), Of(d)}, {x2}, 0, layer);
    return x2;
  }

  uint32_t Rope_(const std::string& name, uint32_t x, uint64_t head_count, int layer) {
    const uint32_t y = Buffer_(name + ".out", DType::bf16, Rows::tokens, head_count * head_dim());
    HeadsAttrT attr;
    attr.heads = head_count;
    attr.head_dim = head_dim();
    stage_->heads.push_back(std::make_unique<HeadsAttrT>(attr));
    Step_(OpKind::rope, name, {Of(x), Of(cos_sin_)}, {y}, stage_->heads.size() - 1, layer);
    return y;
  }

  uint32_t RopeAppend_(const std::string& l, uint32_t q, uint32_t k, uint32_t v, uint32_t layer) {
    const uint32_t y = Buffer_(l + "q_rope.out", DType::bf16, Rows::tokens, heads() / o_.tp * head_dim());
    stage_->rope_appends.emplace_back(heads() / o_.tp, kv_local(), head_dim(), 0, 0, layer, 0, false);
    Step_(OpKind::rope_append, l + "rope_append", {Of(q), Of(k), Of(v), Of(cos_sin_), Input(contract::kSlots)}, {y},
          stage_->rope_appends.size() - 1, static_cast<int>(layer));
    return y;
  }

  uint32_t AddNorm_(const std::string& l, uint32_t a, uint32_t b, uint32_t sum, int layer) {
    const Ref weight = Vector(l + "ffn_norm", hidden());
    const uint32_t y = Buffer_(l + "ffn_norm.out", DType::bf16, Rows::tokens, hidden());
    NormAttrT attr;
    attr.heads = 1;
    attr.width = hidden();
    attr.eps = 1e-5f;
    stage_->norms.push_back(std::make_unique<NormAttrT>(attr));
    Step_(OpKind::add_rms_norm, l + "add_norm", {Of(a), Of(b), weight}, {sum, y}, stage_->norms.size() - 1, layer);
    return y;
  }

  void Tail(uint32_t x) {
    ends_ = mark_;
    const Ref none(0, RefSpace::none);
    const uint32_t xs = Buffer_("selected", DType::f32, Rows::logit_rows, hidden());
    Step_(OpKind::select_rows, "select", {Of(x), Input(contract::kLogitRows)}, {xs});
    const uint32_t hs = Norm("norm", xs, Rows::logit_rows, DType::bf16, 1, hidden(), -1);
    const Ref head = Matrix("lm_head", "embed.tensor", vocab(), hidden(), 16, true, false, vocab_padded());
    const uint64_t local = vocab_padded() / o_.tp;
    const uint32_t logits = Buffer_("logits", DType::f32, Rows::logit_rows, local);
    Step_(OpKind::matmul, "lm_head", {Of(hs), head, none}, {logits});
    const uint32_t chunks = contract::kVocabChunks / o_.tp;
    stage_->candidates.emplace_back(Cut(vocab_padded(), true), vocab(), vocab_padded() / contract::kVocabChunks, chunks,
                                    8);
    const uint64_t record = 8 * 8 + 8 * chunks;
    const uint32_t records = Buffer_("records", DType::u8, Rows::logit_rows, record);
    Step_(OpKind::top_candidates, "candidates", {Of(logits)}, {records}, 0, -1, Variant::candidates);
    if (o_.tp == 1) return;
    Gather("gather_records", records, DType::u8, record, Variant::candidates);
    Gather("gather_logits", logits, DType::f32, local, Variant::all_logits);
  }

  void Gather(const std::string& name, uint32_t x, DType dtype, uint64_t width, Variant variant) {
    stage_->collectives.emplace_back(width, 0, always_order_, dtype, Rows::logit_rows, CollectiveAlgorithm::gather);
    const uint32_t y = Buffer_(name + ".out", dtype, Rows::logit_rows, width * o_.tp);
    Step_(OpKind::all_gather, name, {Of(x)}, {y}, stage_->collectives.size() - 1, -1, variant);
  }

  // The first result of the last step of a variant.
  uint32_t ResultOf(Variant variant) const {
    for (size_t i = stage_->steps.size(); i-- > 0;) {
      const plan::Step& step = stage_->steps[i];
      if (step.variant() != Variant::always && step.variant() != variant) continue;
      return stage_->refs[step.operand_begin() + step.operand_count()].index();
    }
    return 0;
  }

  void Finish() {
    stage_->candidates_buffer = ResultOf(Variant::candidates);
    stage_->logits_buffer = ResultOf(Variant::all_logits);
    plan_.files[0]->size_bytes = file_end_;
    for (const auto& of_bucket : places_) {
      stage_->placements.insert(stage_->placements.end(), of_bucket.begin(), of_bucket.end());
    }
    for (const Bucket& bucket : stage_->buckets) {
      stage_->activation_arena_bytes = std::max(stage_->activation_arena_bytes, bucket.arena_bytes());
    }
    if (o_.fused) stage_->workspace_bytes = stage_->graphs_bytes = uint64_t{1} << 20;
    plan_.predictions[0]->low = plan_.predictions[0]->expected = plan_.predictions[0]->high =
        static_cast<int64_t>(stage_->weight_arena_bytes);
  }

  TinyOptions o_;
  PlanT plan_;
  StageT* stage_;
  std::map<std::string, uint32_t> names_;
  std::map<std::string, uint64_t> tensors_;
  uint64_t file_end_ = 1000;
  std::vector<uint64_t> ends_;                 // of each bucket's arena so far
  std::vector<uint64_t> mark_;                 // where a layer's buffers start
  std::vector<std::vector<uint64_t>> places_;  // [bucket][buffer]
  uint32_t always_order_ = 0;
  uint32_t cos_sin_ = 0;
};

template <typename Entries>
uint32_t IndexNamed(const PlanT& plan, const Entries& entries, std::string_view name) {
  for (uint32_t i = 0; i < entries.size(); ++i) {
    if (plan.names[entries[i].name()] == name) return i;
  }
  MRS_CHECK(!"nothing of that name");
  return 0;
}

}  // namespace

PlanT TinyPlan(const TinyOptions& options) { return Builder(options).Build(); }

uint32_t StepNamed(const PlanT& plan, std::string_view name) { return IndexNamed(plan, plan.stages[0]->steps, name); }
uint32_t BufferNamed(const PlanT& plan, std::string_view name) {
  return IndexNamed(plan, plan.stages[0]->buffers, name);
}
uint32_t WeightNamed(const PlanT& plan, std::string_view name) {
  return IndexNamed(plan, plan.stages[0]->weights, name);
}

Step& StepOf(PlanT& plan, std::string_view name) { return plan.stages[0]->steps[StepNamed(plan, name)]; }
Buffer& BufferOf(PlanT& plan, std::string_view name) { return plan.stages[0]->buffers[BufferNamed(plan, name)]; }
Weight& WeightOf(PlanT& plan, std::string_view name) { return plan.stages[0]->weights[WeightNamed(plan, name)]; }
WeightSource& SourceOf(PlanT& plan, std::string_view weight) {
  return plan.stages[0]->sources[WeightOf(plan, weight).source_begin()];
}
Ref& RefOf(PlanT& plan, std::string_view step, uint32_t ref) {
  return plan.stages[0]->refs[StepOf(plan, step).operand_begin() + ref];
}
Collective& CollectiveOf(PlanT& plan, std::string_view step) {
  return plan.stages[0]->collectives[StepOf(plan, step).attr()];
}
uint64_t& PlaceOf(PlanT& plan, std::string_view buffer, uint32_t bucket) {
  return plan.stages[0]->placements[bucket * plan.stages[0]->buffers.size() + BufferNamed(plan, buffer)];
}
uint32_t& DepOf(PlanT& plan, std::string_view step) { return plan.stages[0]->deps[StepOf(plan, step).dep_begin()]; }

void Reseal(std::string* file) {
  const auto body = std::as_bytes(std::span(*file)).first(file->size() - contract::kTrailerBytes);
  const Sha256Digest digest = Sha256(body);
  std::copy(digest.begin(), digest.end(), file->end() - static_cast<std::ptrdiff_t>(digest.size()));
}

std::string Refusal(const PlanT& plan) {
  const std::string bytes = PackPlan(plan);
  const auto sealed = CheckStructure(std::as_bytes(std::span(bytes)));
  if (!sealed) return sealed.message();
  const Status status = VerifyPlan(*sealed->plan);
  return status.ok() ? "" : status.message();
}

}  // namespace mrs::testing
