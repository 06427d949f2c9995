// What each operation checks of itself: sizes by its factor map, element types, attributes. Errors name the operation.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics

func.func @input() {
  // expected-error@+1 {{'tokens' (mrs.input): an input is '!mrs.tensor<[T], f32>', expected i32 elements}}
  %x = mrs.input "tokens" : <[T], f32>
  return
}

// -----
func.func @weight_without_sources() {
  // expected-error@+1 {{'w' (mrs.weight): no sources}}
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = []} : <[16, 64], bf16>
  return
}

// -----
func.func @weight_of_tokens() {
  // expected-error@+1 {{'w' (mrs.weight): a weight has no symbolic dimension: '!mrs.tensor<[T, 64], bf16>'}}
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[T, 64], bf16>
  return
}

// -----
func.func @weight_n_dims() {
  // expected-error@+1 {{'w' (mrs.weight): n_dims 3 of '!mrs.tensor<[16, 64], bf16>'}}
  %w = mrs.weight "w" {n_dims = 3 : i64, sources = [{}]} : <[16, 64], bf16>
  return
}

// -----
func.func @weight_chunks() {
  // expected-error@+1 {{'w' (mrs.weight): 3 chunks do not fit K = 63 (a power of two up to 16 that divides it)}}
  %w = mrs.weight "w" {n_dims = 1 : i64, chunks = 3 : i64, sources = [{}]} : <[16, 63], bf16>
  return
}

// -----
func.func @matmul_of_rows_without_columns(%x: !mrs.tensor<[T], f32>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[16], f32>
  // expected-error@+1 {{'y' (mrs.matmul): x has no columns: '!mrs.tensor<[T], f32>'}}
  %y = mrs.matmul "y" %x, [%w] : (!mrs.tensor<[T], f32>, !mrs.tensor<[16], f32>) -> !mrs.tensor<[T, 16], f32>
  return
}

// -----
func.func @weight_partial() {
  // expected-error@+1 {{'w' (mrs.weight): a weight is no partial sum}}
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[16, 64], bf16, partial{tp}>
  return
}

// -----
func.func @weight_vector() {
  // expected-error@+1 {{'w' (mrs.weight): vectors are f32, not '!mrs.tensor<[16], bf16>'}}
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[16], bf16>
  return
}

// -----
func.func @embed(%ids: !mrs.tensor<[T], i32>, %table: !mrs.tensor<[100, 64], bf16>) {
  // expected-error@+1 {{'embed' (mrs.embed): dimension 1 of '!mrs.tensor<[T, 32], f32>' has size 32, expected 64}}
  %x = mrs.embed "embed" %ids, %table {vocab_valid = 100 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[100, 64], bf16>) -> !mrs.tensor<[T, 32], f32>
  return
}

// -----
func.func @rope_angles(%p: !mrs.tensor<[T], f32>) {
  // expected-error@+1 {{'angles' (mrs.rope_angles): positions is '!mrs.tensor<[T], f32>', expected i32 elements}}
  %x = mrs.rope_angles "angles" %p {rope = 0 : i64} : (!mrs.tensor<[T], f32>) -> !mrs.tensor<[T, 32], f32>
  return
}

// -----
func.func @rms_norm(%x: !mrs.tensor<[T, 64], f32>, %w: !mrs.tensor<[32], f32>) {
  // expected-error@+1 {{'norm' (mrs.rms_norm): dimension 0 of '!mrs.tensor<[32], f32>' has size 32, expected 64}}
  %y = mrs.rms_norm "norm" %x, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[32], f32>) -> !mrs.tensor<[T, 64], bf16>
  return
}

// -----
func.func @rms_norm_eps(%x: !mrs.tensor<[T, 64], f32>, %w: !mrs.tensor<[64], f32>) {
  // expected-error@+1 {{'norm' (mrs.rms_norm): eps must be positive and finite}}
  %y = mrs.rms_norm "norm" %x, %w {eps = 0.0 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> !mrs.tensor<[T, 64], bf16>
  return
}

// -----
func.func @matmul(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[16, 32], bf16>
  // expected-error@+1 {{'product' (mrs.matmul): dimension 1 of '!mrs.tensor<[16, 32], bf16>' has size 32, expected 64}}
  %y = mrs.matmul "product" %x, [%w] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[16, 32], bf16>) -> !mrs.tensor<[T, 16], f32>
  return
}

// -----
func.func @matmul_types(%x: !mrs.tensor<[T, 64], f32>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[16, 64], bf16>
  // expected-error@+1 {{'product' (mrs.matmul): a weight is '!mrs.tensor<[16, 64], bf16>', expected the element type of its other operand}}
  %y = mrs.matmul "product" %x, [%w] : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[16, 64], bf16>) -> !mrs.tensor<[T, 16], f32>
  return
}

// -----
func.func @matmul_of_no_weight(%x: !mrs.tensor<[T, 64], bf16>, %w: !mrs.tensor<[16, 64], bf16>) {
  // expected-error@+1 {{'product' (mrs.matmul): a weight must be an mrs.weight whose columns are x's dimensions after the first}}
  %y = mrs.matmul "product" %x, [%w] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[16, 64], bf16>) -> !mrs.tensor<[T, 16], f32>
  return
}

// -----
func.func @matmul_results(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[16, 64], bf16>
  // expected-error@+1 {{'product' (mrs.matmul): one result a weight, and a bias for each or none}}
  %y:2 = mrs.matmul "product" %x, [%w] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[16, 64], bf16>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>)
  return
}

// -----
func.func @rope(%x: !mrs.tensor<[T, 256], f32>, %angles: !mrs.tensor<[T, 32], f32>) {
  // expected-error@+1 {{'rope' (mrs.rope): a value of 2 dimensions ('!mrs.tensor<[T, 256], f32>') does not fit 't h !d'}}
  %y = mrs.rope "rope" %x, %angles {rope = 0 : i64} : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 8, 32], bf16>
  return
}

// -----
func.func @kv_append(%k: !mrs.tensor<[T, 4, 32], bf16>, %v: !mrs.tensor<[T, 2, 32], f32>, %slots: !mrs.tensor<[T], i32>) {
  // expected-error@+1 {{'cache' (mrs.kv_append): dimension 1 of '!mrs.tensor<[T, 2, 32], f32>' has size 2, expected 4}}
  %c = mrs.kv_append "cache" %k, %v, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 4, 32], bf16>, !mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 4, 32], bf16>
  return
}

// -----
// Query heads come in groups, one a KV head.
func.func @attention(%q: !mrs.tensor<[T, 8, 32], bf16>, %c: !mrs.tensor<[B, 3, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
  // expected-error@+1 {{'attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 3, 32], bf16>' has size 3, which does not divide 8}}
  %y = mrs.attention "attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8, 32], bf16>, !mrs.tensor<[B, 3, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8, 32], bf16>
  return
}

// -----
func.func @silu_mul(%gate: !mrs.tensor<[T, 64], f32>, %up: !mrs.tensor<[T, 32], f32>) {
  // expected-error@+1 {{'silu_mul' (mrs.silu_mul): dimension 1 of '!mrs.tensor<[T, 32], f32>' has size 32, expected 64}}
  %y = mrs.silu_mul "silu_mul" %gate, %up : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 64], bf16>
  return
}

// -----
func.func @add(%a: !mrs.tensor<[T, 64], f32>, %b: !mrs.tensor<[T, 64], bf16>) {
  // expected-error@+1 {{'add' (mrs.add): b is '!mrs.tensor<[T, 64], bf16>', expected f32 elements}}
  %y = mrs.add "add" %a, %b : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], bf16>) -> !mrs.tensor<[T, 64], f32>
  return
}

// -----
func.func @add_bias(%a: !mrs.tensor<[T, 64], f32>, %b: !mrs.tensor<[63], f32>) {
  // expected-error@+1 {{'bias' (mrs.add_bias): dimension 0 of '!mrs.tensor<[63], f32>' has size 63, expected 64}}
  %y = mrs.add_bias "bias" %a, %b : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[63], f32>) -> !mrs.tensor<[T, 64], f32>
  return
}

// -----
func.func @select_rows(%x: !mrs.tensor<[T, 64], f32>, %rows: !mrs.tensor<[L], i32>) {
  // expected-error@+1 {{'rows' (mrs.select_rows): dimension 0 of '!mrs.tensor<[T, 64], f32>' has size T, expected L}}
  %y = mrs.select_rows "rows" %x, %rows : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[L], i32>) -> !mrs.tensor<[T, 64], f32>
  return
}

// -----
func.func @top_candidates(%x: !mrs.tensor<[L, 64], f32>) {
  // expected-error@+1 {{'best' (mrs.top_candidates): the result holds candidates<1> to candidates<64>, not '!mrs.tensor<[L, 16], !mrs.candidates<65>>'}}
  %y = mrs.top_candidates "best" %x {vocab_valid = 64 : i64} : (!mrs.tensor<[L, 64], f32>) -> !mrs.tensor<[L, 16], !mrs.candidates<65>>
  return
}

// -----
func.func @all_reduce(%x: !mrs.tensor<[T, 64], f32, partial{tp}>) {
  // expected-error@+1 {{'sum' (mrs.all_reduce): unknown algorithm 'fastest'; there are doubling, halving_doubling, gather_add and rank_order}}
  %y = mrs.all_reduce "sum" %x {algorithm = "fastest", axis = "tp"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
  return
}

// -----
func.func @all_gather(%x: !mrs.tensor<[T, 64{tp 32}], f32>) {
  // expected-error@+1 {{'all' (mrs.all_gather): changes '!mrs.tensor<[T, 64{tp 32}], f32>' to '!mrs.tensor<[T, 128], f32>'}}
  %y = mrs.all_gather "all" %x {axis = "tp"} : (!mrs.tensor<[T, 64{tp 32}], f32>) -> !mrs.tensor<[T, 128], f32>
  return
}

// -----
func.func @output() {
  mrs.output "candidates" : <[L, 16], !mrs.candidates<24>> // expected-error {{expected SSA operand}}
  return
}

// -----
func.func @layer_norm(%x: !mrs.tensor<[T, 64], f32>, %w: !mrs.tensor<[64], f32>, %b: !mrs.tensor<[32], f32>) {
  // expected-error@+1 {{'norm' (mrs.layer_norm): dimension 0 of '!mrs.tensor<[32], f32>' has size 32, expected 64}}
  %y = mrs.layer_norm "norm" %x, %w, %b {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>, !mrs.tensor<[32], f32>) -> !mrs.tensor<[T, 64], bf16>
  return
}

// -----
func.func @layer_norm_eps(%x: !mrs.tensor<[T, 64], f32>, %w: !mrs.tensor<[64], f32>) {
  // expected-error@+1 {{'norm' (mrs.layer_norm): eps must be positive and finite}}
  %y = mrs.layer_norm "norm" %x, %w, %w {eps = -1.0 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>, !mrs.tensor<[64], f32>) -> !mrs.tensor<[T, 64], bf16>
  return
}

// -----
// The order of the sum is the model's: 12 heads are summed in 4 chunks, on any number of ranks.
func.func @sum_squares_chunks(%x: !mrs.tensor<[T, 12, 32], f32>) {
  // expected-error@+1 {{'sum' (mrs.sum_squares): sums in 2 canonical chunks, expected 4 for 12 heads}}
  %y = mrs.sum_squares "sum" %x {chunks = 2 : i64} : (!mrs.tensor<[T, 12, 32], f32>) -> !mrs.tensor<[T], f32>
  return
}

// -----
func.func @sum_squares_of_bf16(%x: !mrs.tensor<[T, 12, 32], bf16>) {
  // expected-error@+1 {{'sum' (mrs.sum_squares): x is '!mrs.tensor<[T, 12, 32], bf16>', expected f32 elements}}
  %y = mrs.sum_squares "sum" %x {chunks = 4 : i64} : (!mrs.tensor<[T, 12, 32], bf16>) -> !mrs.tensor<[T], f32>
  return
}

// -----
// `width` is of the whole sum, not of a rank's part.
func.func @rms_scale_width(%x: !mrs.tensor<[T, 8{tp 4}, 32], f32>, %s: !mrs.tensor<[T], f32>, %w: !mrs.tensor<[8{tp 4}, 32], f32>) {
  // expected-error@+1 {{'scale' (mrs.rms_scale): width is 128, expected the 256 elements of x}}
  %y = mrs.rms_scale "scale" %x, %s, %w {width = 128 : i64, eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 8{tp 4}, 32], f32>, !mrs.tensor<[T], f32>, !mrs.tensor<[8{tp 4}, 32], f32>) -> !mrs.tensor<[T, 8{tp 4}, 32], f32>
  return
}

// -----
func.func @rms_scale_weight(%x: !mrs.tensor<[T, 8, 32], f32>, %s: !mrs.tensor<[T], f32>, %w: !mrs.tensor<[4, 32], f32>) {
  // expected-error@+1 {{'scale' (mrs.rms_scale): dimension 0 of '!mrs.tensor<[4, 32], f32>' has size 4, expected 8}}
  %y = mrs.rms_scale "scale" %x, %s, %w {width = 256 : i64, eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 8, 32], f32>, !mrs.tensor<[T], f32>, !mrs.tensor<[4, 32], f32>) -> !mrs.tensor<[T, 8, 32], f32>
  return
}

// -----
func.func @scale(%x: !mrs.tensor<[T, 64], f32>) {
  // expected-error@+1 {{'multiplier' (mrs.scale): factor must be positive and finite}}
  %y = mrs.scale "multiplier" %x {factor = 0.0 : f32} : (!mrs.tensor<[T, 64], f32>) -> !mrs.tensor<[T, 64], f32>
  return
}

// -----
func.func @soft_cap(%x: !mrs.tensor<[L, 64], f32>) {
  // expected-error@+1 {{'cap' (mrs.soft_cap): cap must be positive and finite}}
  %y = mrs.soft_cap "cap" %x {cap = 0x7F800000 : f32} : (!mrs.tensor<[L, 64], f32>) -> !mrs.tensor<[L, 64], f32>
  return
}

// -----
func.func @position_scale(%x: !mrs.tensor<[T, 8, 32], bf16>, %p: !mrs.tensor<[T], i32>) {
  // expected-error@+1 {{'far' (mrs.position_scale): original is 0, expected at least 1}}
  %y = mrs.position_scale "far" %x, %p {beta = 1.0e-01 : f32, original = 0 : i64} : (!mrs.tensor<[T, 8, 32], bf16>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 8, 32], bf16>
  return
}

// -----
func.func @position_scale_type(%x: !mrs.tensor<[T, 8, 32], bf16>, %p: !mrs.tensor<[T], i32>) {
  // expected-error@+1 {{'far' (mrs.position_scale): the result is '!mrs.tensor<[T, 8, 32], f32>', expected the element type of its other operand}}
  %y = mrs.position_scale "far" %x, %p {beta = 1.0e-01 : f32, original = 8192 : i64} : (!mrs.tensor<[T, 8, 32], bf16>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 8, 32], f32>
  return
}

// -----
func.func @gelu_mul(%gate: !mrs.tensor<[T, 64], f32>, %up: !mrs.tensor<[T, 32], f32>) {
  // expected-error@+1 {{'gelu_mul' (mrs.gelu_mul): dimension 1 of '!mrs.tensor<[T, 32], f32>' has size 32, expected 64}}
  %y = mrs.gelu_mul "gelu_mul" %gate, %up {approximate = true} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 64], bf16>
  return
}

// -----
func.func @attention_window(%q: !mrs.tensor<[T, 8, 32], bf16>, %c: !mrs.tensor<[B, 4, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
  // expected-error@+1 {{'attention' (mrs.attention): window is -1, expected at least 0}}
  %y = mrs.attention "attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32, window = -1 : i64} : (!mrs.tensor<[T, 8, 32], bf16>, !mrs.tensor<[B, 4, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8, 32], bf16>
  return
}

// -----
func.func @attention_soft_cap(%q: !mrs.tensor<[T, 8, 32], bf16>, %c: !mrs.tensor<[B, 4, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
  // expected-error@+1 {{'attention' (mrs.attention): soft_cap must be positive and finite}}
  %y = mrs.attention "attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32, soft_cap = -50.0 : f32} : (!mrs.tensor<[T, 8, 32], bf16>, !mrs.tensor<[B, 4, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8, 32], bf16>
  return
}

// -----
func.func @all_reduce_axis(%x: !mrs.tensor<[T, 64], f32, partial{tp}>) {
  // expected-error@+1 {{'sum' (mrs.all_reduce): runs over the axis 'stage'; collectives run over tp, ep or dp}}
  %y = mrs.all_reduce "sum" %x {algorithm = "doubling", axis = "stage"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
  return
}

// -----
func.func @all_gather_axis(%x: !mrs.tensor<[T, 64{tp 32}], f32>) {
  // expected-error@+1 {{'all' (mrs.all_gather): runs over the axis 'pp'; collectives run over tp, ep or dp}}
  %y = mrs.all_gather "all" %x {axis = "pp"} : (!mrs.tensor<[T, 64{tp 32}], f32>) -> !mrs.tensor<[T, 64], f32>
  return
}

// -----
func.func @send(%x: !mrs.tensor<[T], i32>) {
  // expected-error@+1 {{'send' (mrs.send): x is '!mrs.tensor<[T], i32>', expected f32 or bf16 elements}}
  mrs.send "send" %x {peer = 1 : i64} : <[T], i32>
  return
}

// -----
func.func @recv() {
  // expected-error@+1 {{'recv' (mrs.recv): peer is -1, expected at least 0}}
  %x = mrs.recv "recv" {peer = -1 : i64} : <[T, 64], f32>
  return
}

// -----
func.func @gated_by_what(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  // expected-error@+1 {{'g' (mrs.gated_matmul): unknown activation 'relu'; there are silu, gelu and gelu_tanh}}
  %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "relu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], bf16>)
  return
}

// -----
func.func @gated_one(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  // expected-error@+1 {{'g' (mrs.gated_matmul): takes gate's weight and up's, and a bias for each or none}}
  %h:3 = mrs.gated_matmul "g" %x, [%w] {activation = "silu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], bf16>)
  return
}

// -----
func.func @gated_one_bias(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  %b = mrs.weight "b" {n_dims = 1 : i64, sources = [{}]} : <[32], f32>
  // expected-error@+1 {{'g' (mrs.gated_matmul): takes gate's weight and up's, and a bias for each or none}}
  %h:3 = mrs.gated_matmul "g" %x, [%w, %v] bias [%b] {activation = "silu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32], f32>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], bf16>)
  return
}

// -----
func.func @gated_widths(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[48, 64], bf16>
  // expected-error@+1 {{'g' (mrs.gated_matmul): dimension 0 of '!mrs.tensor<[48, 64], bf16>' has size 48, expected 32}}
  %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[48, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], bf16>)
  return
}

// -----
func.func @gated_types(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  // expected-error@+1 {{'g' (mrs.gated_matmul): a result is '!mrs.tensor<[T, 32], bf16>', expected f32 elements}}
  %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], bf16>, !mrs.tensor<[T, 32], bf16>)
  return
}

// -----
func.func @gated_result(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  // expected-error@+1 {{'g' (mrs.gated_matmul): the result is '!mrs.tensor<[T, 32], i32>', expected f32 or bf16 elements}}
  %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], i32>)
  return
}

// -----
func.func @gated_weights(%x: !mrs.tensor<[T, 64], bf16>) {
  %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
  %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], f32>
  // expected-error@+1 {{'g' (mrs.gated_matmul): a weight is '!mrs.tensor<[32, 64], f32>', expected the element type of its other operand}}
  %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], f32>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], bf16>)
  return
}
