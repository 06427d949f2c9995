#include "planner/terms.h"

#include <fmt/format.h>

#include <algorithm>

namespace mrs::planner {
namespace {

std::string Str(const auto& value) { return fmt::format("{}", value); }  // floats: as many digits as tell them apart

// Lengths come first, so that no two terms have one key.
void AppendText(std::string_view text, std::string* key) {
  key->append(Str(text.size())).push_back(':');
  key->append(text);
}

}  // namespace

TermId Terms::Make(std::string_view op, std::vector<Term::Field> fields, std::vector<TermId> args) {
  std::string key;
  AppendText(op, &key);
  for (const Term::Field& field : fields) {
    AppendText(field.name, &key);
    AppendText(field.value, &key);
  }
  for (const TermId arg : args) key.append("#").append(Str(arg));
  const auto [found, added] = ids_.try_emplace(std::move(key), static_cast<TermId>(terms_.size()));
  if (added) terms_.push_back({op, std::move(fields), std::move(args)});
  return found->second;
}

TermId Terms::Input(const std::string& name, const KvWindows& windows) {
  for (const auto& [kv_class, window] : windows) {
    for (const char* of_class : {"slots", "block_table"}) {
      if (name != (kv_class == 0 ? of_class : fmt::format("{}.{}", of_class, kv_class))) continue;
      return Make("input", {{"name", of_class}, {"window", Str(window)}}, {});
    }
  }
  return Make("input", {{"name", name}}, {});
}

TermId Terms::Weight(std::string type, uint64_t rows, uint64_t k, uint64_t chunks,
                     std::span<const SourceTensor> sources) {
  std::vector<TermId> parts;
  for (const SourceTensor& s : sources) {
    parts.push_back(Make("tensor",
                         {{"name", s.tensor},
                          {"file", Str(s.file)},
                          {"offset", Str(s.offset)},
                          {"rows", Str(s.rows)},
                          {"columns", Str(s.columns)},
                          {"dtype", s.dtype},
                          {"row_begin", Str(s.row_begin)},
                          {"row_count", Str(s.row_count)},
                          {"transform", s.transform}},
                         {}));
  }
  return Make("weight", {{"type", std::move(type)}, {"rows", Str(rows)}, {"K", Str(k)}, {"chunks", Str(chunks)}},
              std::move(parts));
}

TermId Terms::NoBias() { return Make("no bias", {}, {}); }

TermId Terms::Embed(TermId ids, TermId table, uint64_t vocab) {
  return Make("embed", {{"vocab", Str(vocab)}}, {ids, table});
}

TermId Terms::RopeAngles(TermId positions, uint64_t rope) {
  return Make("rope_angles", {{"rope", Str(rope)}}, {positions});
}

TermId Terms::RmsNorm(TermId x, TermId weight, uint64_t width, float eps, std::string type) {
  return Make("rms_norm", {{"width", Str(width)}, {"eps", Str(eps)}, {"type", std::move(type)}}, {x, weight});
}

TermId Terms::LayerNorm(TermId x, TermId weight, TermId bias, uint64_t width, float eps, std::string type) {
  return Make("layer_norm", {{"width", Str(width)}, {"eps", Str(eps)}, {"type", std::move(type)}}, {x, weight, bias});
}

TermId Terms::SumSquares(TermId x, uint64_t chunk_heads, uint64_t head_dim) {
  return Make("sum_squares", {{"chunk_heads", Str(chunk_heads)}, {"head_dim", Str(head_dim)}}, {x});
}

TermId Terms::RmsScale(TermId x, TermId sum, TermId weight, uint64_t width, float eps, std::string type) {
  return Make("rms_scale", {{"width", Str(width)}, {"eps", Str(eps)}, {"type", std::move(type)}}, {x, sum, weight});
}

TermId Terms::Scale(TermId x, float factor, std::string type) {
  return Make("scale", {{"factor", Str(factor)}, {"type", std::move(type)}}, {x});
}

TermId Terms::SoftCap(TermId x, float cap) { return Make("soft_cap", {{"cap", Str(cap)}}, {x}); }

TermId Terms::PositionScale(TermId x, TermId positions, float beta, uint64_t original, std::string type) {
  return Make("position_scale", {{"beta", Str(beta)}, {"original", Str(original)}, {"type", std::move(type)}},
              {x, positions});
}

TermId Terms::Matmul(TermId x, TermId weight, TermId bias) { return Make("matmul", {}, {x, weight, bias}); }

TermId Terms::Rope(TermId x, TermId angles, uint64_t rope, uint64_t head_dim, bool interleaved, std::string type) {
  return Make(
      "rope",
      {{"rope", Str(rope)}, {"head_dim", Str(head_dim)}, {"interleaved", Str(interleaved)}, {"type", std::move(type)}},
      {x, angles});
}

TermId Terms::KvAppend(TermId k, TermId v, TermId slots, uint64_t cache, uint64_t window, uint64_t k_dim,
                       uint64_t v_dim, std::string type) {
  return Make("kv_append",
              {{"cache", Str(cache)},
               {"window", Str(window)},
               {"k_dim", Str(k_dim)},
               {"v_dim", Str(v_dim)},
               {"type", std::move(type)}},
              {k, v, slots});
}

TermId Terms::Attention(TermId q, TermId cache, TermId sequence, TermId positions, TermId block_table,
                        uint64_t head_dim, float scale, uint64_t window, float soft_cap, std::string type) {
  return Make("attention",
              {{"head_dim", Str(head_dim)},
               {"scale", Str(scale)},
               {"window", Str(window)},
               {"soft_cap", Str(soft_cap)},
               {"type", std::move(type)}},
              {q, cache, sequence, positions, block_table});
}

TermId Terms::SiluMul(TermId gate, TermId up, std::string type) {
  return Make("silu_mul", {{"type", std::move(type)}}, {gate, up});
}

TermId Terms::GeluMul(TermId gate, TermId up, bool approximate, std::string type) {
  return Make("gelu_mul", {{"approximate", Str(approximate)}, {"type", std::move(type)}}, {gate, up});
}

TermId Terms::Add(TermId a, TermId b) { return Make("add", {}, {std::min(a, b), std::max(a, b)}); }

TermId Terms::AddBias(TermId a, TermId bias) { return Make("add_bias", {}, {a, bias}); }

TermId Terms::SelectRows(TermId x, TermId rows) { return Make("select_rows", {}, {x, rows}); }

TermId Terms::TopCandidates(TermId logits, uint64_t k, uint64_t chunk_size, uint64_t vocab) {
  return Make("top_candidates", {{"k", Str(k)}, {"chunk_size", Str(chunk_size)}, {"vocab", Str(vocab)}}, {logits});
}

TermId Terms::Gathered(TermId x) { return Make("gathered", {}, {x}); }

std::pair<TermId, TermId> Terms::FirstDifferentArgs(TermId a, TermId b) const {
  const std::vector<TermId>& of_a = terms_[a].args;
  std::vector<TermId> of_b = terms_[b].args;
  // The operands of a sum have no order: those that are alike, or of one operation, belong together.
  if (terms_[a].op == "add") {
    const bool crossed = of_a[0] == of_b[1] || of_a[1] == of_b[0] ||
                         (of_a[0] != of_b[0] && of_a[1] != of_b[1] && terms_[of_a[0]].op != terms_[of_b[0]].op);
    if (crossed) std::swap(of_b[0], of_b[1]);
  }
  const size_t first = std::ranges::mismatch(of_a, of_b).in1 - of_a.begin();
  return {of_a[first], of_b[first]};
}

}  // namespace mrs::planner
