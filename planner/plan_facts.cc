#include "planner/plan_facts.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "llvm/ADT/StringExtras.h"
#include "mlir/IR/Builders.h"

namespace mrs::planner {
namespace {

// One list of fields serves both directions: an archive either collects attributes or looks them up.
class Writer {
 public:
  explicit Writer(mlir::MLIRContext* context) : builder_(context) {}
  template <typename T>
  void Int(llvm::StringRef name, T& value) {
    Add(name, builder_.getI64IntegerAttr(static_cast<int64_t>(value)));
  }
  void Bool(llvm::StringRef name, bool& value) { Add(name, builder_.getBoolAttr(value)); }
  void Float(llvm::StringRef name, float& value) { Add(name, builder_.getF32FloatAttr(value)); }
  void Text(llvm::StringRef name, std::string& value) { Add(name, builder_.getStringAttr(value)); }
  void Floats(llvm::StringRef name, std::vector<float>& values) { Add(name, builder_.getDenseF32ArrayAttr(values)); }
  void Ints(llvm::StringRef name, std::vector<int32_t>& values) { Add(name, builder_.getDenseI32ArrayAttr(values)); }
  template <typename Fields>
  void Group(llvm::StringRef name, Fields fields) {
    Writer inner(builder_.getContext());
    fields(inner);
    Add(name, inner.Dictionary());
  }
  template <typename T, typename Fields>
  void List(llvm::StringRef name, std::vector<T>& values, Fields fields) {
    llvm::SmallVector<mlir::Attribute> items;
    for (T& value : values) {
      Writer inner(builder_.getContext());
      fields(inner, value);
      items.push_back(inner.Dictionary());
    }
    Add(name, builder_.getArrayAttr(items));
  }
  mlir::DictionaryAttr Dictionary() { return builder_.getDictionaryAttr(attributes_); }

 private:
  void Add(llvm::StringRef name, mlir::Attribute attribute) {
    attributes_.push_back(builder_.getNamedAttr(name, attribute));
  }
  mlir::Builder builder_;
  llvm::SmallVector<mlir::NamedAttribute> attributes_;
};

class Reader {
 public:
  Reader(mlir::DictionaryAttr attributes, std::string where, std::string* error)
      : attributes_(attributes), where_(std::move(where)), error_(error) {}
  template <typename T>
  void Int(llvm::StringRef name, T& value) {
    auto attribute = Get<mlir::IntegerAttr>(name, "an integer");
    if (!attribute) return;
    const llvm::APInt wide = attribute.getValue();
    const bool fits = wide.getSignificantBits() <= 64 && std::in_range<T>(wide.getSExtValue());
    if (fits)
      value = static_cast<T>(wide.getSExtValue());
    else
      Fail(name, "an integer in range");
  }
  void Bool(llvm::StringRef name, bool& value) {
    if (auto attribute = Get<mlir::BoolAttr>(name, "true or false")) value = attribute.getValue();
  }
  void Float(llvm::StringRef name, float& value) {
    auto attribute = Get<mlir::FloatAttr>(name, "an f32");
    if (attribute && attribute.getType().isF32())
      value = attribute.getValue().convertToFloat();
    else if (attribute)
      Fail(name, "an f32");
  }
  void Text(llvm::StringRef name, std::string& value) {
    if (auto attribute = Get<mlir::StringAttr>(name, "a string")) value = attribute.getValue().str();
  }
  void Floats(llvm::StringRef name, std::vector<float>& values) {
    if (auto attribute = Get<mlir::DenseF32ArrayAttr>(name, "array<f32: ...>")) values = attribute.asArrayRef().vec();
  }
  void Ints(llvm::StringRef name, std::vector<int32_t>& values) {
    if (auto attribute = Get<mlir::DenseI32ArrayAttr>(name, "array<i32: ...>")) values = attribute.asArrayRef().vec();
  }
  template <typename Fields>
  void Group(llvm::StringRef name, Fields fields) {
    auto attribute = Get<mlir::DictionaryAttr>(name, "a dictionary");
    if (!attribute) return;
    Reader inner(attribute, where_ + name.str() + ".", error_);
    fields(inner);
  }
  template <typename T, typename Fields>
  void List(llvm::StringRef name, std::vector<T>& values, Fields fields) {
    auto attribute = Get<mlir::ArrayAttr>(name, "a list of dictionaries");
    if (!attribute) return;
    for (mlir::Attribute item : attribute) {
      auto dictionary = mlir::dyn_cast<mlir::DictionaryAttr>(item);
      if (!dictionary) return Fail(name, "a list of dictionaries");
      Reader inner(dictionary, where_ + name.str() + "[].", error_);
      fields(inner, values.emplace_back());
    }
  }

 private:
  template <typename T>
  T Get(llvm::StringRef name, const char* expected) {
    auto attribute = mlir::dyn_cast_or_null<T>(attributes_.get(name));
    if (!attribute) Fail(name, expected);
    return attribute;
  }
  void Fail(llvm::StringRef name, const char* expected) {
    if (error_->empty()) *error_ = fmt::format("module attribute '{}{}': expected {}", where_, name.str(), expected);
  }
  mlir::DictionaryAttr attributes_;
  std::string where_;
  std::string* error_;
};

template <typename Archive>
void FileFields(Archive& a, CheckpointFile& file) {
  a.Text("name", file.name);
  a.Int("size", file.size_bytes);
  a.Int("header_bytes", file.header_bytes);
  std::string hex = llvm::toHex(file.header_sha256, /*LowerCase=*/true);
  a.Text("header_sha256", hex);
  if (llvm::all_of(hex, llvm::isHexDigit)) file.header_sha256 = llvm::fromHex(hex);
}

// A module may be anybody's: far above any model known.
constexpr int64_t kMaxLayers = 4096;

template <typename Archive>
void ModelFields(Archive& a, ModelSpec& model) {
  a.Text("name", model.name);
  a.Text("architecture", model.architecture);
  a.Int("hidden", model.hidden);
  // Sizes of the first layer; the graph has those of each.
  auto layers = static_cast<int64_t>(model.layers.size());
  LayerSpec first = model.layers.empty() ? LayerSpec() : model.layers.front();
  a.Int("layers", layers);
  a.Int("heads", first.heads);
  a.Int("kv_heads", first.kv_heads);
  a.Int("head_dim", first.head_dim);
  a.Int("ffn", first.ffn);
  if (model.layers.empty()) model.layers.assign(std::clamp<int64_t>(layers, 1, kMaxLayers), first);
  a.Int("vocab", model.vocab);
  a.Int("max_position", model.max_position);
  a.Int("bos", model.bos);
  a.Ints("eos", model.eos);
  a.Int("pad", model.pad);
  a.Text("chat_template", model.chat_template);
  a.List("template_tokens", model.template_tokens, [](auto& t, std::pair<std::string, std::string>& token) {
    t.Text("name", token.first);
    t.Text("text", token.second);
  });
  a.List("ropes", model.ropes, [](auto& r, RopeSpec& rope) {
    r.Floats("inv_freq", rope.inv_freq);
    r.Float("attention_factor", rope.attention_factor);
    r.Text("rule", rope.rule);
  });
  a.Group("sampling", [&](auto& s) {
    s.Float("temperature", model.sampling.temperature);
    s.Float("top_p", model.sampling.top_p);
    s.Int("top_k", model.sampling.top_k);
    s.Float("repetition_penalty", model.sampling.repetition_penalty);
    s.Float("min_p", model.sampling.min_p);
    s.Float("presence_penalty", model.sampling.presence_penalty);
    s.Float("frequency_penalty", model.sampling.frequency_penalty);
    s.Int("max_tokens", model.sampling.max_tokens);
    s.List("stop", model.sampling.stop, [](auto& t, std::string& text) { t.Text("text", text); });
  });
}

template <typename Archive>
void Fields(Archive& a, PlanFacts& facts) {
  a.Group("mrs.model", [&](auto& m) { ModelFields(m, facts.model); });
  a.Text("mrs.fingerprint", facts.model_fingerprint);
  a.Int("mrs.parameters", facts.parameter_count);
  a.Int("mrs.vocab_padded", facts.vocab_padded);
  a.List("mrs.files", facts.files, [](auto& f, CheckpointFile& file) { FileFields(f, file); });
  std::vector<CheckpointFile> tokenizer;  // none or one
  if (facts.model.tokenizer) tokenizer.push_back(*facts.model.tokenizer);
  a.List("mrs.tokenizer", tokenizer, [](auto& f, CheckpointFile& file) { FileFields(f, file); });
  if (!tokenizer.empty()) facts.model.tokenizer = tokenizer.front();
  a.Text("mrs.chain", facts.chain);
  a.Text("mrs.reduction", facts.reduction);
  a.Text("mrs.weight_dtype", facts.weight_dtype);
  a.Int("mrs.max_len", facts.max_len);
  a.Int("mrs.max_seqs", facts.max_seqs);
  a.List("mrs.ranks", facts.ranks, [](auto& r, RankPlace& rank) {
    r.Text("kind", rank.kind);
    r.Int("node", rank.node);
    r.Int("device", rank.device);
    r.Int("memory", rank.memory);
  });
  a.Text("mrs.collectives", facts.collectives);
  a.Text("mrs.cluster", facts.cluster);
  a.List("mrs.options", facts.options, [](auto& o, std::pair<std::string, std::string>& option) {
    o.Text("name", option.first);
    o.Text("value", option.second);
  });
}

}  // namespace

void WriteFacts(const PlanFacts& facts, mlir::ModuleOp module) {
  PlanFacts copy = facts;
  Writer writer(module.getContext());
  Fields(writer, copy);
  for (mlir::NamedAttribute attribute : writer.Dictionary()) module->setAttr(attribute.getName(), attribute.getValue());
}

Result<PlanFacts> ReadFacts(mlir::ModuleOp module) {
  PlanFacts facts;
  std::string error;
  Reader reader(module->getAttrDictionary(), "", &error);
  Fields(reader, facts);
  auto one_of = [&](const char* name, const std::string& value, std::initializer_list<const char*> allowed) {
    if (!error.empty() || llvm::is_contained(allowed, value)) return;
    error = fmt::format("module attribute '{}' is \"{}\": expected one of {}", name, value, fmt::join(allowed, ", "));
  };
  one_of("mrs.chain", facts.chain, {"pair2", "block32", "fast"});
  one_of("mrs.reduction", facts.reduction, {"canonical", "rank_order"});
  one_of("mrs.weight_dtype", facts.weight_dtype, {"f32", "bf16"});
  one_of("mrs.collectives", facts.collectives, {"staged", "nccl", "ipc", "ipc-in-stages"});
  for (const RankPlace& rank : facts.ranks) {
    one_of("mrs.ranks[].kind", rank.kind, {"cpu", "cuda"});
    if (error.empty() && !(std::in_range<uint32_t>(rank.node) && std::in_range<uint32_t>(rank.device))) {
      error = "module attributes mrs.ranks[].node and mrs.ranks[].device: expected 32-bit numbers";
    }
    if (error.empty() && rank.memory < 0) error = "module attribute mrs.ranks[].memory: expected bytes";
  }
  const bool hex = facts.model_fingerprint.size() == 64 && llvm::all_of(facts.model_fingerprint, llvm::isHexDigit);
  if (error.empty() && !hex) error = "module attribute 'mrs.fingerprint': expected 64 hex digits";
  for (const int64_t number : {facts.max_len, facts.max_seqs, facts.vocab_padded}) {
    if (error.empty() && !std::in_range<uint32_t>(number)) {
      error = "module attributes mrs.max_len, mrs.max_seqs and mrs.vocab_padded: expected 32-bit counts";
    }
  }
  if (!error.empty()) return Refuse("{}; take the module of `mrs-plan build MODEL --ir-out FILE` as a start", error);
  return facts;
}

}  // namespace mrs::planner
