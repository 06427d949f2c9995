// A graph of one layer that has every operation, and each of its facts changed alone: it is another term, or refused.
#include "planner/graph_terms.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "mlir/Parser/Parser.h"
#include "planner/compiler.h"

namespace mrs::planner {
namespace {

// Not a model that anybody made: both MLP kinds, both norms of q and k, and two layers' attention, one with a window.
constexpr const char* kGraph = R"(
!ids = !mrs.tensor<[T], i32>
!table = !mrs.tensor<[S, 2], i32>
!rows = !mrs.tensor<[L], i32>
!x = !mrs.tensor<[T, 32], f32>
!norm = !mrs.tensor<[32], f32>
!heads = !mrs.tensor<[T, 12, 8], f32>
!heads_norm = !mrs.tensor<[12, 8], f32>
!q_matrix = !mrs.tensor<[12, 8, 32], f32>
!o_matrix = !mrs.tensor<[32, 12, 8], f32>
!sum = !mrs.tensor<[T], f32>
!angles = !mrs.tensor<[T, 8], f32>
!cache = !mrs.tensor<[B, 12, 8], f32>
!ffn = !mrs.tensor<[T, 64], f32>
!up_matrix = !mrs.tensor<[64, 32], f32>
!down_matrix = !mrs.tensor<[32, 64], f32>
!vocab = !mrs.tensor<[48, 32], f32>
!last = !mrs.tensor<[L, 32], f32>
!logits = !mrs.tensor<[L, 48], f32>
module {
  func.func @forward() {
    %tokens = mrs.input "tokens" : !ids
    %positions = mrs.input "positions" : !ids
    %sequence = mrs.input "sequence" : !ids
    %slots = mrs.input "slots" : !ids
    %blocks = mrs.input "block_table" : !table
    %slots1 = mrs.input "slots.1" : !ids
    %blocks1 = mrs.input "block_table.1" : !table
    %wanted = mrs.input "logit_rows" : !rows
    %embed_w = mrs.weight "embed.weight" {n_dims = 1 : i64, sources = [{columns = 32 : i64, dtype = "f32", file = 0 : i64, offset = 0 : i64, rows = 40 : i64, tensor = "embed"}]} : !vocab
    %norm_w = mrs.weight "norm.weight" {n_dims = 1 : i64, sources = [{columns = 1 : i64, dtype = "f32", file = 0 : i64, offset = 64 : i64, rows = 32 : i64, tensor = "norm", transform = "add_one"}]} : !norm
    %norm_b = mrs.weight "norm.bias" {n_dims = 1 : i64, sources = [{columns = 1 : i64, dtype = "f32", file = 0 : i64, offset = 96 : i64, rows = 32 : i64, tensor = "norm.b"}]} : !norm
    %heads_w = mrs.weight "q_norm.weight" {n_dims = 2 : i64, sources = [{columns = 1 : i64, dtype = "f32", file = 0 : i64, offset = 128 : i64, rows = 96 : i64, tensor = "q_norm"}]} : !heads_norm
    %q_w = mrs.weight "q_proj.weight" {n_dims = 2 : i64, sources = [{columns = 32 : i64, dtype = "f32", file = 0 : i64, offset = 192 : i64, row_begin = 0 : i64, row_count = 96 : i64, rows = 192 : i64, tensor = "qk"}]} : !q_matrix
    %k_w = mrs.weight "k_proj.weight" {n_dims = 2 : i64, sources = [{columns = 32 : i64, dtype = "f32", file = 0 : i64, offset = 192 : i64, row_begin = 96 : i64, row_count = 96 : i64, rows = 192 : i64, tensor = "qk"}]} : !q_matrix
    %o_w = mrs.weight "o_proj.weight" {chunks = 4 : i64, n_dims = 1 : i64, sources = [{columns = 96 : i64, dtype = "f32", file = 0 : i64, offset = 256 : i64, rows = 32 : i64, tensor = "o"}]} : !o_matrix
    %up_w = mrs.weight "up_proj.weight" {n_dims = 1 : i64, sources = [{columns = 32 : i64, dtype = "f32", file = 0 : i64, offset = 320 : i64, rows = 64 : i64, tensor = "up"}]} : !up_matrix
    %down_w = mrs.weight "down_proj.weight" {chunks = 16 : i64, n_dims = 1 : i64, sources = [{columns = 64 : i64, dtype = "f32", file = 0 : i64, offset = 384 : i64, rows = 32 : i64, tensor = "down"}]} : !down_matrix
    %e = mrs.embed "embed" %tokens, %embed_w {vocab_valid = 40 : i64} : (!ids, !vocab) -> !x
    %x = mrs.scale "embed.scale" %e {factor = 2.0 : f32} : (!x) -> !x
    %a = mrs.rope_angles "angles" %positions {rope = 0 : i64} : (!ids) -> !angles
    %n = mrs.layer_norm "input_norm" %x, %norm_w, %norm_b {eps = 1.0e-05 : f32} : (!x, !norm, !norm) -> !x
    %q0 = mrs.matmul "q_proj" %n, [%q_w] : (!x, !q_matrix) -> !heads
    %k0 = mrs.matmul "k_proj" %n, [%k_w] : (!x, !q_matrix) -> !heads
    %qs = mrs.sum_squares "q_norm.sum" %q0 {chunks = 4 : i64} : (!heads) -> !sum
    %q1 = mrs.rms_scale "q_norm" %q0, %qs, %heads_w {eps = 1.0e-05 : f32, width = 96 : i64} : (!heads, !sum, !heads_norm) -> !heads
    %q2 = mrs.rope "q_rope" %q1, %a {rope = 0 : i64} : (!heads, !angles) -> !heads
    %k1 = mrs.rope "k_rope" %k0, %a {interleaved = true, rope = 0 : i64} : (!heads, !angles) -> !heads
    %q = mrs.position_scale "q_scale" %q2, %positions {beta = 0.1 : f32, original = 16 : i64} : (!heads, !ids) -> !heads
    %c0 = mrs.kv_append "l0.append" %k1, %k0, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!heads, !heads, !ids) -> !cache
    %y0 = mrs.attention "l0.attention" %q, %c0, %sequence, %positions, %blocks {scale = 0.5 : f32} : (!heads, !cache, !ids, !ids, !table) -> !heads
    %c1 = mrs.kv_append "l1.append" %y0, %k0, %slots1 {kv_class = 1 : i64, kv_layer = 0 : i64, window = 24 : i64} : (!heads, !heads, !ids) -> !cache
    %y1 = mrs.attention "l1.attention" %q, %c1, %sequence, %positions, %blocks1 {scale = 0.5 : f32, soft_cap = 50.0 : f32, window = 24 : i64} : (!heads, !cache, !ids, !ids, !table) -> !heads
    %o = mrs.matmul "o_proj" %y1, [%o_w] : (!heads, !o_matrix) -> !x
    %r = mrs.add "attention_add" %x, %o : (!x, !x) -> !x
    %g = mrs.matmul "gate_proj" %r, [%up_w] : (!x, !up_matrix) -> !ffn
    %m = mrs.gelu_mul "gelu_mul" %g, %g {approximate = true} : (!ffn, !ffn) -> !ffn
    %d = mrs.matmul "down_proj" %m, [%down_w] : (!ffn, !down_matrix) -> !x
    %z = mrs.select_rows "logit_rows" %d, %wanted : (!x, !rows) -> !last
    %l0 = mrs.matmul "lm_head" %z, [%embed_w] : (!last, !vocab) -> !logits
    %l = mrs.soft_cap "logits.cap" %l0 {cap = 30.0 : f32} : (!logits) -> !logits
    %best = mrs.top_candidates "top_candidates" %l {variant = "candidates", vocab_valid = 40 : i64} : (!logits) -> !mrs.tensor<[L, 16], !mrs.candidates<24>>
    mrs.output "candidates" %best : !mrs.tensor<[L, 16], !mrs.candidates<24>>
    mrs.output "all_logits" %l {variant = "all_logits"} : !logits
    return
  }
}
)";

// The graph with each `from` made `to`: what both outputs are (terms of one table), or why it is refused.
struct Read {
  std::vector<TermId> outputs;
  std::string refusal;
};
using Edits = std::vector<std::pair<std::string, std::string>>;

class GraphTerms : public ::testing::Test {
 protected:
  std::string Edited(const Edits& edits) {
    std::string text = kGraph;
    for (const auto& [from, to] : edits) {
      const size_t at = text.find(from);
      if (at == std::string::npos || text.find(from, at + 1) != std::string::npos)
        ADD_FAILURE() << "not once: " << from;
      text.replace(at, from.size(), to);
    }
    return text;
  }
  Read Outcome(const Edits& edits) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(Edited(edits), &compiler_.context());
    if (!module) return {{}, "mrs-opt: " + compiler_.Failure().message};
    const Result<UnshardedModel> model = ReadUnsharded(*module);
    if (!model) return {{}, model.message()};
    return {{model->candidates, model->all_logits}, ""};
  }
  // Where the edited graph first leaves the other: "soft_cap: cap is 31, expected 30".
  std::string Difference(const Edits& edits) {
    auto one = mlir::parseSourceString<mlir::ModuleOp>(kGraph, &compiler_.context());
    auto other = mlir::parseSourceString<mlir::ModuleOp>(Edited(edits), &compiler_.context());
    if (!one || !other) return "mrs-opt: " + compiler_.Failure().message;
    const Result<UnshardedModel> was = ReadUnsharded(*one), is = ReadUnsharded(*other);
    if (!was) return was.message();
    if (!is) return is.message();
    return Difference(is->terms, is->all_logits, was->terms, was->all_logits);
  }
  static std::string Difference(const Terms& is, TermId a, const Terms& was, TermId b) {
    const Term &x = is[a], &y = was[b];
    if (x.op != y.op) return fmt::format("{}, expected {}", x.op, y.op);
    for (size_t i = 0; i < x.fields.size(); ++i) {
      if (x.fields[i] == y.fields[i]) continue;
      return fmt::format("{}: {} is {}, expected {}", x.op, x.fields[i].name, x.fields[i].value, y.fields[i].value);
    }
    for (size_t i = 0; i < x.args.size(); ++i) {
      const std::string below = Difference(is, x.args[i], was, y.args[i]);
      if (!below.empty()) return below;
    }
    return "";
  }

  Compiler compiler_;
};

TEST_F(GraphTerms, ReadsEveryOperation) {
  const Read read = Outcome({});
  EXPECT_EQ(read.refusal, "");
  EXPECT_EQ(Difference({}), "");
}

TEST_F(GraphTerms, EveryFactOfAnOperationIsInItsTerm) {
  EXPECT_EQ(Difference({{"cap = 30.0", "cap = 31.0"}}), "soft_cap: cap is 31, expected 30");
  EXPECT_EQ(Difference({{"approximate = true", "approximate = false"}}),
            "gelu_mul: approximate is false, expected true");
  EXPECT_EQ(Difference({{"mrs.gelu_mul \"gelu_mul\" %g, %g {approximate = true}", "mrs.silu_mul \"silu_mul\" %g, %g"}}),
            "silu_mul, expected gelu_mul");
  EXPECT_EQ(Difference({{"factor = 2.0", "factor = 2.5"}}), "scale: factor is 2.5, expected 2");
  EXPECT_EQ(Difference({{"beta = 0.1", "beta = 0.2"}}), "position_scale: beta is 0.2, expected 0.1");
  EXPECT_EQ(Difference({{"original = 16", "original = 32"}}), "position_scale: original is 32, expected 16");
  EXPECT_EQ(Difference({{"%norm_b {eps = 1.0e-05", "%norm_b {eps = 1.0e-06"}}),
            "layer_norm: eps is 1e-06, expected 1e-05");
  EXPECT_EQ(Difference({{"%heads_w {eps = 1.0e-05", "%heads_w {eps = 1.0e-06"}}),
            "rms_scale: eps is 1e-06, expected 1e-05");
  EXPECT_EQ(Difference({{"soft_cap = 50.0 : f32, ", ""}}), "attention: soft_cap is 0, expected 50");
  EXPECT_EQ(Difference({{"interleaved = true, ", ""}}), "rope: interleaved is false, expected true");
  EXPECT_EQ(Difference({{"%q2, %positions", "%q2, %sequence"}}), "input: name is sequence, expected positions");
}

TEST_F(GraphTerms, EveryFactOfASourceIsInItsTerm) {
  EXPECT_EQ(Difference({{", transform = \"add_one\"", ""}}), "tensor: transform is none, expected add_one");
  EXPECT_EQ(Difference({{"row_begin = 96 : i64, row_count = 96", "row_begin = 0 : i64, row_count = 96"}}),
            "tensor: row_begin is 0, expected 96");
  EXPECT_EQ(Difference({{"row_begin = 96 : i64, row_count = 96", "row_begin = 96 : i64, row_count = 64"}}),
            "tensor: row_count is 64, expected 96");
  EXPECT_EQ(Difference({{"row_begin = 0 : i64, row_count = 96 : i64, ", ""}}), "tensor: row_count is 192, expected 96");
}

// One number of a class is as good as another; its window is what it is.
TEST_F(GraphTerms, AClassIsItsWindowAndAWindowIsSaidTwice) {
  const Edits longer = {
      {"kv_class = 1 : i64, kv_layer = 0 : i64, window = 24", "kv_class = 1 : i64, kv_layer = 0 : i64, window = 25"},
      {"soft_cap = 50.0 : f32, window = 24", "soft_cap = 50.0 : f32, window = 25"}};
  EXPECT_EQ(Difference(longer), "attention: window is 25, expected 24");
  EXPECT_EQ(Difference({{"kv_class = 1 : i64, kv_layer = 0", "kv_class = 1 : i64, kv_layer = 3"}}), "");
  EXPECT_EQ(Difference({{"kv_class = 1 : i64, kv_layer = 0", "kv_class = 2 : i64, kv_layer = 0"},
                        {"\"slots.1\"", "\"slots.2\""},
                        {"\"block_table.1\"", "\"block_table.2\""}}),
            "");
  EXPECT_EQ(Outcome({longer[0]}).refusal,
            "erasure: 'l1.attention' (mrs.attention) of the unsharded graph: its window is 24, that of its cache 25");
  EXPECT_EQ(Outcome({longer[1]}).refusal,
            "erasure: 'l1.attention' (mrs.attention) of the unsharded graph: its window is 25, that of its cache 24");
}

TEST_F(GraphTerms, RefusesClassesThatAreNotTheirWindows) {
  EXPECT_EQ(Outcome({{", window = 24 : i64} : (!heads, !heads, !ids)", "} : (!heads, !heads, !ids)"}}).refusal,
            "erasure: 'l1.append' (mrs.kv_append) of the unsharded graph: KV class 1 has window 0, KV class 0 has "
            "window 0; each class has one, its own");
  EXPECT_EQ(Outcome({{"kv_class = 1", "kv_class = 0"}}).refusal,
            "erasure: 'l1.append' (mrs.kv_append) of the unsharded graph: KV class 0 has window 24, KV class 0 has "
            "window 0; each class has one, its own");
  EXPECT_EQ(Outcome({{"%k0, %slots1", "%k0, %slots"}}).refusal,
            "erasure: 'l1.append' (mrs.kv_append) of the unsharded graph: its slots are not of the KV class that it "
            "appends to");
  EXPECT_EQ(Outcome({{"%positions, %blocks1", "%positions, %blocks"}}).refusal,
            "erasure: 'l1.attention' (mrs.attention) of the unsharded graph: its block table is not of the KV class "
            "that it reads");
}

TEST_F(GraphTerms, RefusesACacheOfTwoLayers) {
  EXPECT_EQ(
      Outcome({{"kv_class = 1 : i64, kv_layer = 0 : i64, window = 24 : i64", "kv_class = 0 : i64, kv_layer = 0 : i64"},
               {"soft_cap = 50.0 : f32, window = 24", "soft_cap = 50.0 : f32, window = 0"},
               {"%k0, %slots1", "%k0, %slots"},
               {"%positions, %blocks1", "%positions, %blocks"}})
          .refusal,
      "erasure: 'l1.append' (mrs.kv_append) of the unsharded graph: another operation appends to this cache, too");
}

TEST_F(GraphTerms, HoldsTheGraphToTheRuleOfCanonicalChunks) {
  EXPECT_EQ(Outcome({{"chunks = 16", "chunks = 8"}}).refusal,
            "erasure: 'down_proj' (mrs.matmul) of the unsharded graph: K is summed in 8 canonical chunks, the rule "
            "gives 16");
  EXPECT_EQ(Outcome({{"{chunks = 4 : i64, n_dims", "{chunks = 2 : i64, n_dims"}}).refusal,
            "erasure: 'o_proj' (mrs.matmul) of the unsharded graph: K is summed in 2 canonical chunks, the rule gives "
            "4");
}

TEST_F(GraphTerms, RefusesASourceThatSaysMoreThanIsKnown) {
  const std::string said =
      "erasure: 'q_proj.weight' (mrs.weight) of the unsharded graph: a source is {columns, dtype, file, offset, rows, "
      "tensor}, with {row_begin, row_count} of those rows and transform \"add_one\" where there are such";
  EXPECT_EQ(Outcome({{"row_begin = 0 : i64, row_count = 96 : i64", "row_begin = 0 : i64"}}).refusal, said);
  EXPECT_EQ(Outcome({{"row_begin = 0 : i64, row_count = 96", "row_begin = 128 : i64, row_count = 96"}}).refusal, said);
  EXPECT_EQ(Outcome({{"row_begin = 0 : i64,", "row_begin = 0 : i64, row_step = 2 : i64,"}}).refusal, said);
  EXPECT_EQ(
      Outcome({{"offset = 192 : i64, row_begin = 0", "offset = 192 : i64, transform = \"add_two\", row_begin = 0"}})
          .refusal,
      said);
}

}  // namespace
}  // namespace mrs::planner
