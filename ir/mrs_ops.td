// The operations. Shapes are global; each definition says how its dimensions may be split (sharding_rule.h).
#ifndef MRS_IR_OPS_TD
#define MRS_IR_OPS_TD

include "ir/mrs_dialect.td"
include "ir/mrs_interfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Mrs_KCut<string name> {
  string cpp_name = name;
}
def Mrs_KWhole : Mrs_KCut<"kWhole">;        // the residual stream, and what no product reads
def Mrs_KHeads : Mrs_KCut<"kHeads">;        // what attention leaves
def Mrs_KAnywhere : Mrs_KCut<"kAnywhere">;  // what a gated product leaves

// The rule of what verify_sharding.cc knows by name.
defvar ByName = "by name";

// Every operation has a name that errors, plans and logs use, and may carry what passes decide:
//   layer    which of the model's layers it is of; absent: of none
//   variant  "candidates" or "all_logits": only in that variant; absent: always
//   step     its place in the program (schedule)
//   offsets  per bucket, the offset of each result in the activation arena (memory)
//
// None can be defined without `rule`, how ranks may split it, and `k_cut`, where K may be cut of a product that reads
// its result.
class Mrs_Op<string mnemonic, string rule, Mrs_KCut k_cut, list<Trait> traits = []>
    : Op<Mrs_Dialect, mnemonic, !listconcat([Mrs_RuledOp], traits)> {
  let hasVerifier = 1;
  let extraClassDeclaration = "  static constexpr ::std::string_view kShardingRule = \"" # rule # "\";\n" #
                              "  static constexpr ::mrs::ir::KCut kKCut = ::mrs::ir::KCut::" # k_cut.cpp_name # ";\n";
}

def Mrs_InputOp : Mrs_Op<"input", ByName, Mrs_KWhole> {
  let summary = "a value the executor writes before the first step";
  let arguments = (ins StrAttr:$name);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name attr-dict `:` type($result)";
}

def Mrs_WeightOp : Mrs_Op<"weight", ByName, Mrs_KWhole> {
  let summary = "a matrix or vector of the checkpoint";
  let description = [{
    `sources` says which bytes fill it: one dictionary {tensor, file, offset, rows, columns, dtype}, of one tensor. Where
    the weight is some rows of a fused tensor: {row_begin, row_count}, too; `transform` "add_one": w + 1 is what is stored.
    `n_dims` counts the leading dimensions that are rows (outputs); the others are columns (K); 0 columns: a vector.
    `chunks` is C, the number of canonical chunks of K (1: one chain over K). Rows past the tensor's are padding: zeros.
    `local` is what localization adds: this rank's rows, columns and packed shape.
  }];
  let arguments = (ins
    StrAttr:$name,
    ArrayAttr:$sources,
    I64Attr:$n_dims,
    DefaultValuedAttr<I64Attr, "1">:$chunks,
    OptionalAttr<DictionaryAttr>:$local
  );
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name attr-dict `:` type($result)";
}

def Mrs_EmbedOp : Mrs_Op<"embed", "t, v h -> t h", Mrs_KWhole> {
  let summary = "rows of the embedding table; ids outside this rank's rows give zeros, so a split table gives partial sums";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$ids, Mrs_TensorType:$table, I64Attr:$vocab_valid);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $ids `,` $table attr-dict `:` functional-type(operands, results)";
}

def Mrs_RopeAnglesOp : Mrs_Op<"rope_angles", "t -> t a", Mrs_KWhole> {
  let summary = "cosines and sines of every token's position, for all layers";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$positions, I64Attr:$rope);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $positions attr-dict `:` functional-type(operands, results)";
}

def Mrs_RmsNormOp : Mrs_Op<"rms_norm", "t h* !d, !d -> t h* !d", Mrs_KWhole> {
  let summary = "x * (1 / sqrt(mean(x^2) + eps)) * weight over the last dimension";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, Mrs_TensorType:$weight, F32Attr:$eps);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x `,` $weight attr-dict `:` functional-type(operands, results)";
}

def Mrs_LayerNormOp : Mrs_Op<"layer_norm", "t h* !d, !d, !d -> t h* !d", Mrs_KWhole> {
  let summary = "(x - mean(x)) * (1 / sqrt(mean((x - mean(x))^2) + eps)) * weight + bias over the last dimension";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, Mrs_TensorType:$weight, Mrs_TensorType:$bias, F32Attr:$eps);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x `,` $weight `,` $bias attr-dict `:` functional-type(operands, results)";
}

// The two halves of an RMS norm over all heads of q or k, which tensor parallelism splits: the sum of squares is completed
// by an all-reduce, in canonical chunks of heads, before every rank scales its own.
def Mrs_SumSquaresOp : Mrs_Op<"sum_squares", "t h !d -> t", Mrs_KWhole> {
  let summary = "the sum of x^2 over all heads, in `chunks` canonical chunks of heads";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, I64Attr:$chunks);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x attr-dict `:` functional-type(operands, results)";
}

def Mrs_RmsScaleOp : Mrs_Op<"rms_scale", "t h !d, t, h !d -> t h !d", Mrs_KWhole> {
  let summary = "x * (1 / sqrt(sum / width + eps)) * weight; `width` elements went into the sum";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, Mrs_TensorType:$sum, Mrs_TensorType:$weight, I64Attr:$width,
                       F32Attr:$eps);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x `,` $sum `,` $weight attr-dict `:` functional-type(operands, results)";
}

def Mrs_ScaleOp : Mrs_Op<"scale", "t h* -> t h*", Mrs_KWhole> {
  let summary = "x * factor: embedding, residual and logit multipliers; by 1, what no norm rounds to a matrix' input";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, F32Attr:$factor);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x attr-dict `:` functional-type(operands, results)";
}

def Mrs_SoftCapOp : Mrs_Op<"soft_cap", "t h* -> t h*", Mrs_KWhole> {
  let summary = "cap * tanh(x / cap)";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, F32Attr:$cap);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x attr-dict `:` functional-type(operands, results)";
}

def Mrs_PositionScaleOp : Mrs_Op<"position_scale", "t h*, t -> t h*", Mrs_KWhole> {
  let summary = "x * (1 + beta * log(1 + floor(position / original))): queries far past the trained length";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, Mrs_TensorType:$positions, F32Attr:$beta, I64Attr:$original);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x `,` $positions attr-dict `:` functional-type(operands, results)";
}

def Mrs_MatmulOp : Mrs_Op<"matmul", "t k*, {n* k*}, {n*} -> {t n*}", Mrs_KWhole, [AttrSizedOperandSegments]> {
  let summary = "one or several matrices times the same rows: y_i = x w_i^T (+ b_i)";
  let description = [{
    x [T, k...], w_i [n..., k...], b_i [n...] -> y_i [T, n...] f32. Where k is split the result is a partial sum; then it
    takes no bias. Fusion joins sibling matmuls into one with several weights.
  }];
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, Variadic<Mrs_TensorType>:$weights, Variadic<Mrs_TensorType>:$biases);
  let results = (outs Variadic<Mrs_TensorType>:$results);
  let assemblyFormat =
    "$name $x `,` `[` $weights `]` (`bias` `[` $biases^ `]`)? attr-dict `:` functional-type(operands, results)";
}

def Mrs_RopeOp : Mrs_Op<"rope", "t h !d, t !a -> t h !d", Mrs_KWhole> {
  let summary = "rotates the first dimensions of every head by the token's angles";
  let description = "Pairs are (i, i + half); interleaved: (2i, 2i + 1).";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, Mrs_TensorType:$cos_sin, I64Attr:$rope,
                       DefaultValuedAttr<BoolAttr, "false">:$interleaved);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x `,` $cos_sin attr-dict `:` functional-type(operands, results)";
}

def Mrs_KvAppendOp : Mrs_Op<"kv_append", "t g !d, t g !d, t -> c g !d", Mrs_KWhole> {
  let summary = "writes K and V rows to their slots; the result is the layer's cache";
  let description = "`window`: of the class, as in attention; what no token can see any longer is written over.";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$k, Mrs_TensorType:$v, Mrs_TensorType:$slots, I64Attr:$kv_class,
                       I64Attr:$kv_layer, DefaultValuedAttr<I64Attr, "0">:$window);
  let results = (outs Mrs_TensorType:$cache);
  let assemblyFormat = "$name $k `,` $v `,` $slots attr-dict `:` functional-type(operands, results)";
}

def Mrs_AttentionOp : Mrs_Op<"attention", "t h !d, c h/ !d, t, t, s p -> t h !d", Mrs_KHeads> {
  let summary = "causal attention over the paged cache; a query head reads KV head h * kv_heads / heads";
  let description = [{
    `window` w: a token sees itself and the w - 1 before it; 0: all. `soft_cap` c: scores s become c * tanh(s / c); 0: none.
  }];
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$q, Mrs_TensorType:$cache, Mrs_TensorType:$sequence,
                       Mrs_TensorType:$positions, Mrs_TensorType:$block_table, F32Attr:$scale,
                       DefaultValuedAttr<I64Attr, "0">:$window, DefaultValuedAttr<F32Attr, "0.0f">:$soft_cap);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = [{
    $name $q `,` $cache `,` $sequence `,` $positions `,` $block_table attr-dict `:` functional-type(operands, results)
  }];
}

// Several operations as one, for devices on which a launch costs more than the work of some (mrs-fuse-steps). Each has
// the bits of those that it stands for, in their order.
def Mrs_AddRmsNormOp : Mrs_Op<"add_rms_norm", "t !d, t !d, !d -> t !d, t !d", Mrs_KWhole> {
  let summary = "sum = a + b, and the rms_norm of that";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$a, Mrs_TensorType:$b, Mrs_TensorType:$weight, F32Attr:$eps);
  let results = (outs Mrs_TensorType:$sum, Mrs_TensorType:$result);
  let assemblyFormat = "$name $a `,` $b `,` $weight attr-dict `:` functional-type(operands, results)";
}

def Mrs_RopeAppendOp : Mrs_Op<"rope_append", "t h !d, t g !d, t g !d, t !a, t -> t h !d, c g !d", Mrs_KWhole> {
  let summary = "rope of q, and kv_append of the rope of k, in the cache's type, and of v";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$q, Mrs_TensorType:$k, Mrs_TensorType:$v, Mrs_TensorType:$cos_sin,
                       Mrs_TensorType:$slots, I64Attr:$rope, BoolAttr:$interleaved, I64Attr:$kv_class,
                       I64Attr:$kv_layer, DefaultValuedAttr<I64Attr, "0">:$window);
  let results = (outs Mrs_TensorType:$result, Mrs_TensorType:$cache);
  let assemblyFormat = [{
    $name $q `,` $k `,` $v `,` $cos_sin `,` $slots attr-dict `:` functional-type(operands, results)
  }];
}

def Mrs_GatedMatmulOp : Mrs_Op<"gated_matmul", "t !k*, {f !k*}, {f} -> t f, t f, t f", Mrs_KAnywhere,
                              [AttrSizedOperandSegments]> {
  let summary = "matmul of gate's and up's matrix, and the silu_mul or gelu_mul of both products";
  let description = [{
    Two weights, and a bias for each or none. `activation`: "silu", "gelu" or "gelu_tanh" (approximate). Gate and up are
    memory that it may use, and that nobody else reads: of many rows a device may leave its sums there.
  }];
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, Variadic<Mrs_TensorType>:$weights,
                       Variadic<Mrs_TensorType>:$biases, StrAttr:$activation);
  let results = (outs Mrs_TensorType:$gate, Mrs_TensorType:$up, Mrs_TensorType:$result);
  let assemblyFormat =
    "$name $x `,` `[` $weights `]` (`bias` `[` $biases^ `]`)? attr-dict `:` functional-type(operands, results)";
}

def Mrs_SiluMulOp : Mrs_Op<"silu_mul", "t f, t f -> t f", Mrs_KAnywhere> {
  let summary = "silu(gate) * up";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$gate, Mrs_TensorType:$up);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $gate `,` $up attr-dict `:` functional-type(operands, results)";
}

def Mrs_GeluMulOp : Mrs_Op<"gelu_mul", "t f, t f -> t f", Mrs_KAnywhere> {
  let summary = "gelu(gate) * up; `approximate`: by tanh, else by erf";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$gate, Mrs_TensorType:$up, BoolAttr:$approximate);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $gate `,` $up attr-dict `:` functional-type(operands, results)";
}

def Mrs_AddOp : Mrs_Op<"add", "t h*, t h* -> t h*", Mrs_KWhole> {
  let summary = "a + b";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$a, Mrs_TensorType:$b);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $a `,` $b attr-dict `:` functional-type(operands, results)";
}

def Mrs_AddBiasOp : Mrs_Op<"add_bias", "t h*, h* -> t h*", Mrs_KWhole> {
  let summary = "a + one vector, added to every row: the bias of a row-parallel product, after its all-reduce";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$a, Mrs_TensorType:$bias);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $a `,` $bias attr-dict `:` functional-type(operands, results)";
}

def Mrs_SelectRowsOp : Mrs_Op<"select_rows", "t h, l -> l h", Mrs_KWhole> {
  let summary = "the rows that want logits";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, Mrs_TensorType:$rows);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x `,` $rows attr-dict `:` functional-type(operands, results)";
}

def Mrs_TopCandidatesOp : Mrs_Op<"top_candidates", "l v -> l v/", Mrs_KWhole> {
  let summary = "the k best logits of this rank and its log-sum-exp partial per vocabulary chunk";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$logits, I64Attr:$vocab_valid);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $logits attr-dict `:` functional-type(operands, results)";
}

def Mrs_AllReduceOp : Mrs_Op<"all_reduce", ByName, Mrs_KWhole> {
  let summary = "sums the partial values of the ranks along an axis in the canonical tree";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, StrAttr:$axis, StrAttr:$algorithm, OptionalAttr<I64Attr>:$order);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x attr-dict `:` functional-type(operands, results)";
}

def Mrs_AllGatherOp : Mrs_Op<"all_gather", ByName, Mrs_KWhole> {
  let summary = "brings together the slices along an axis, one rank's rows after the other's, for an output to read";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, StrAttr:$axis, OptionalAttr<I64Attr>:$order);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name $x attr-dict `:` functional-type(operands, results)";
}

def Mrs_SendOp : Mrs_Op<"send", ByName, Mrs_KWhole> {
  let summary = "to each rank's peer, the rank of the same coordinates in stage `peer`";
  let arguments = (ins StrAttr:$name, Mrs_TensorType:$x, I64Attr:$peer, OptionalAttr<I64Attr>:$order);
  let assemblyFormat = "$name $x attr-dict `:` type($x)";
}

def Mrs_RecvOp : Mrs_Op<"recv", ByName, Mrs_KWhole> {
  let summary = "from each rank's peer, the rank of the same coordinates in stage `peer`";
  let arguments = (ins StrAttr:$name, I64Attr:$peer, OptionalAttr<I64Attr>:$order);
  let results = (outs Mrs_TensorType:$result);
  let assemblyFormat = "$name attr-dict `:` type($result)";
}

def Mrs_OutputOp : Mrs_Op<"output", ByName, Mrs_KWhole> {
  let summary = "what a variant of the program leaves for the supervisor, whole on every rank";
  let arguments = (ins StrAttr:$variant, Mrs_TensorType:$x);
  let assemblyFormat = "$variant $x attr-dict `:` type($x)";
}

#endif
