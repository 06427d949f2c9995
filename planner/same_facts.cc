#include "planner/same_facts.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "plans/printable.h"

namespace mrs::planner {
namespace {

std::string Str(const auto& value) { return fmt::format("{}", value); }
std::string Joined(const auto& list) { return fmt::format("{}", fmt::join(list, ", ")); }

// nullopt: there is none, or it is of a kind that no fact has.
std::optional<std::string> Text(mlir::Attribute fact) {
  if (auto flag = mlir::dyn_cast_or_null<mlir::BoolAttr>(fact)) return fmt::format("{}", flag.getValue());
  if (auto number = mlir::dyn_cast_or_null<mlir::IntegerAttr>(fact)) {
    llvm::SmallString<32> digits;
    number.getValue().toString(digits, 10, /*Signed=*/true);
    return digits.str().str();
  }
  if (auto real = mlir::dyn_cast_or_null<mlir::FloatAttr>(fact); real && real.getType().isF32()) {
    return fmt::format("{}", real.getValue().convertToFloat());
  }
  if (auto text = mlir::dyn_cast_or_null<mlir::StringAttr>(fact)) return text.str();
  if (auto ints = mlir::dyn_cast_or_null<mlir::DenseI32ArrayAttr>(fact)) {
    return Joined(ints.asArrayRef());
  }
  if (auto reals = mlir::dyn_cast_or_null<mlir::DenseF32ArrayAttr>(fact)) {
    return Joined(reals.asArrayRef());
  }
  return std::nullopt;
}

// Facts of a graph by name, each held against what the plan says; both as text.
class ExpectedFacts {
 public:
  // `facts` null: none. `error` keeps the first difference; it begins with `where`.
  ExpectedFacts(mlir::DictionaryAttr facts, std::string where, std::string* error);
  // A fact that was neither compared nor left out is an error, too: a new one cannot be forgotten.
  ~ExpectedFacts();

  void Same(const std::string& name, const std::string& said);
  void LeaveOut(const std::string& name) { seen_.insert(name); }
  ExpectedFacts Group(const std::string& name);
  // A list of dictionaries, one for each of `count` things.
  void Each(const std::string& name, size_t count, llvm::function_ref<void(ExpectedFacts&, uint32_t)> same);

 private:
  ExpectedFacts(mlir::DictionaryAttr facts, std::string where, std::string within, std::string* error);
  void Fail(const std::string& name, std::string_view what);

  mlir::DictionaryAttr facts_;
  std::string where_;
  std::string within_;  // "mrs.model."
  std::string* error_;
  std::set<std::string> seen_;
};

ExpectedFacts::ExpectedFacts(mlir::DictionaryAttr facts, std::string where, std::string* error)
    : ExpectedFacts(facts, std::move(where), "", error) {}

ExpectedFacts::ExpectedFacts(mlir::DictionaryAttr facts, std::string where, std::string within, std::string* error)
    : facts_(facts), where_(std::move(where)), within_(std::move(within)), error_(error) {}

ExpectedFacts::~ExpectedFacts() {
  if (!facts_) return;
  for (const mlir::NamedAttribute fact : facts_) {
    if (!seen_.contains(fact.getName().str())) Fail(fact.getName().str(), "is not compared with anything");
  }
}

void ExpectedFacts::Same(const std::string& name, const std::string& said) {
  seen_.insert(name);
  const std::optional<std::string> fact = Text(facts_ ? facts_.get(name) : nullptr);
  if (fact == said) return;
  if (!fact) return Fail(name, fmt::format("is \"{}\", which the graph does not say", Printable(said.substr(0, 60))));
  const std::string& expected = *fact;
  // Of long texts the part where they begin to differ.
  size_t at = std::ranges::mismatch(expected, said).in1 - expected.begin();
  at -= std::min<size_t>(at, 20);
  const auto part = [&](const std::string& text) { return Printable(text.substr(std::min(at, text.size()), 60)); };
  Fail(name, fmt::format("is \"{}\", expected \"{}\"", part(said), part(expected)));
}

ExpectedFacts ExpectedFacts::Group(const std::string& name) {
  seen_.insert(name);
  return ExpectedFacts(facts_ ? facts_.getAs<mlir::DictionaryAttr>(name) : nullptr, where_, within_ + name + ".",
                       error_);
}

void ExpectedFacts::Each(const std::string& name, size_t count,
                         llvm::function_ref<void(ExpectedFacts&, uint32_t)> same) {
  seen_.insert(name);
  const auto list = facts_ ? facts_.getAs<mlir::ArrayAttr>(name) : nullptr;
  const size_t expected = list ? list.size() : 0;
  if (expected != count) return Fail(name, fmt::format("has {} entries, expected {}", count, expected));
  for (uint32_t i = 0; i < count; ++i) {
    ExpectedFacts entry(mlir::dyn_cast<mlir::DictionaryAttr>(list[i]), where_,
                        fmt::format("{}{}[{}].", within_, name, i), error_);
    same(entry, i);
  }
}

void ExpectedFacts::Fail(const std::string& name, std::string_view what) {
  if (error_->empty()) *error_ = fmt::format("{}'{}{}' {}", where_, within_, name, what);
}

void SameFile(ExpectedFacts& facts, const plan::File& file) {
  facts.Same("name", file.name()->str());
  facts.Same("size", Str(file.size_bytes()));
  facts.Same("header_bytes", Str(file.header_bytes()));
  const auto& hash = *file.header_sha256();
  facts.Same("header_sha256", llvm::toHex(llvm::ArrayRef(hash.data(), hash.size()), /*LowerCase=*/true));
}

void SameModel(ExpectedFacts model, const plan::Plan& plan) {
  const plan::Model& m = *plan.model();
  model.Same("name", m.name()->str());
  model.Same("architecture", m.architecture()->str());
  model.Same("hidden", Str(m.hidden()));
  model.Same("layers", Str(m.layer_count()));
  model.Same("heads", Str(m.heads()));
  model.Same("kv_heads", Str(m.kv_heads()));
  model.Same("head_dim", Str(m.head_dim()));
  model.Same("ffn", Str(m.ffn()));
  model.Same("vocab", Str(m.vocab()));
  model.Same("max_position", Str(m.max_position()));
  model.Same("bos", Str(m.bos()));
  model.Same("eos", Joined(*m.eos()));
  model.Same("pad", Str(m.pad()));
  model.Same("chat_template", m.chat_template()->str());
  model.Each("template_tokens", m.template_tokens()->size(), [&](ExpectedFacts& token, uint32_t i) {
    token.Same("name", m.template_tokens()->Get(i)->name()->str());
    token.Same("text", m.template_tokens()->Get(i)->text()->str());
  });
  model.Each("ropes", plan.ropes()->size(), [&](ExpectedFacts& rope, uint32_t i) {
    const plan::Rope& r = *plan.ropes()->Get(i);
    rope.Same("inv_freq", Joined(*r.inv_freq()));
    rope.Same("attention_factor", Str(r.attention_factor()));
    rope.Same("rule", r.rule()->str());
  });
  const plan::SamplingDefaults& s = *m.sampling();
  ExpectedFacts sampling = model.Group("sampling");
  sampling.Same("temperature", Str(s.temperature()));
  sampling.Same("top_p", Str(s.top_p()));
  sampling.Same("top_k", Str(s.top_k()));
  sampling.Same("repetition_penalty", Str(s.repetition_penalty()));
  sampling.Same("min_p", Str(s.min_p()));
  sampling.Same("presence_penalty", Str(s.presence_penalty()));
  sampling.Same("frequency_penalty", Str(s.frequency_penalty()));
  sampling.Same("max_tokens", Str(s.max_tokens()));
  sampling.Each("stop", s.stop()->size(),
                [&](ExpectedFacts& stop, uint32_t i) { stop.Same("text", s.stop()->Get(i)->str()); });
}

void SameLayout(ExpectedFacts layout, const plan::Plan& plan) {
  ExpectedFacts mesh = layout.Group("mesh");
  mesh.Same("tp", Str(plan.tp()));
  if (plan.stages()->size() > 1) mesh.Same("stage", Str(plan.stages()->size()));
  layout.Each("stages", plan.stages()->size(), [&](ExpectedFacts& stage, uint32_t i) {
    stage.Same("layer_begin", Str(plan.stages()->Get(i)->layer_begin()));
    stage.Same("layer_end", Str(plan.stages()->Get(i)->layer_end()));
    stage.LeaveOut("device");  // mrs.ranks says where it is
  });
  layout.LeaveOut("buckets");
}

}  // namespace

Status CheckSameFacts(mlir::DictionaryAttr expected, const plan::Plan& plan) {
  std::string error;
  {
    ExpectedFacts facts(expected, "erasure: fact ", &error);
    SameModel(facts.Group("mrs.model"), plan);
    const auto& id = *plan.model()->fingerprint();
    facts.Same("mrs.fingerprint", llvm::toHex(llvm::ArrayRef(id.data(), id.size()), /*LowerCase=*/true));
    facts.Same("mrs.parameters", Str(plan.model()->parameter_count()));
    facts.Same("mrs.vocab_padded", Str(plan.model()->vocab_padded()));
    facts.Each("mrs.files", plan.files()->size(),
               [&](ExpectedFacts& f, uint32_t i) { SameFile(f, *plan.files()->Get(i)); });
    facts.Each("mrs.tokenizer", plan.model()->tokenizer() != nullptr,
               [&](ExpectedFacts& f, uint32_t) { SameFile(f, *plan.model()->tokenizer()); });
    facts.Same("mrs.chain", plan::EnumNameChain(plan.numerics()->chain()));
    facts.Same("mrs.reduction", plan::EnumNameReduction(plan.numerics()->reduction()));
    facts.Same("mrs.weight_dtype", plan::EnumNameDType(plan.numerics()->weight_dtype()));
    SameLayout(facts.Group("mrs.layout"), plan);
    facts.Same("mrs.max_len", Str(plan.max_len()));
    facts.Same("mrs.max_seqs", Str(plan.max_seqs()));
    // What was asked for, by its own account: a plan that does another thing than its options say is nobody's.
    facts.Each("mrs.options", plan.options()->size(), [&](ExpectedFacts& option, uint32_t i) {
      option.Same("name", plan.options()->Get(i)->name()->str());
      option.Same("value", plan.options()->Get(i)->value()->str());
    });
    facts.Each("mrs.ranks", plan.ranks()->size(), [&](ExpectedFacts& f, uint32_t i) {
      const plan::Rank& rank = *plan.ranks()->Get(i);
      const auto& memory = *plan.cluster()->memory_bytes();
      f.Same("kind", plan::EnumNameDeviceKind(rank.kind()));
      f.Same("node", Str(rank.node()));
      f.Same("device", Str(rank.device()));
      f.Same("memory", i < memory.size() ? Str(memory.Get(i)) : "not said");
    });
    // Of the cluster, not of the model.
    facts.LeaveOut("mrs.cluster");
    facts.LeaveOut("mrs.collectives");
  }
  return error.empty() ? Status() : Status(Error{ErrorKind::kRefused, error});
}

}  // namespace mrs::planner
