// mrs-insert-collectives: every partial sum is completed by an all-reduce before anything reads it; a split value that an
// output reads, or an operation that needs all of it, is gathered.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-insert-collectives | FileCheck %s

// CHECK-LABEL: func.func @partial_sum
// CHECK: %[[Y:.*]] = mrs.matmul "l0.o_proj" {{.*}} -> !mrs.tensor<[T, 256], f32, partial{tp}>
// CHECK: %[[R:.*]] = mrs.all_reduce "l0.o_proj.all_reduce" %[[Y]] {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
// CHECK: mrs.add "l0.attention_add" %{{.*}}, %[[R]]
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @partial_sum(%residual: !mrs.tensor<[T, 256], f32>, %a: !mrs.tensor<[T, 8{tp 4}, 32], bf16>) {
    %w = mrs.weight "o" {n_dims = 1 : i64, chunks = 8 : i64, sources = [{}]} : <[256, 8{tp 4}, 32], bf16>
    %y = mrs.matmul "l0.o_proj" %a, [%w] : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[256, 8{tp 4}, 32], bf16>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    %z = mrs.add "l0.attention_add" %residual, %y : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// The control that is not invariant: sums in rank order. It exists so that a test can show the bits change with it.
// CHECK-LABEL: func.func @rank_order
// CHECK: mrs.all_reduce "embed_tokens.all_reduce" %{{.*}} {algorithm = "rank_order", axis = "tp"}
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.reduction = "rank_order"} {
  func.func @rank_order(%ids: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "embed.weight" {n_dims = 1 : i64, sources = [{}]} : <[2048{tp 1024}, 256], bf16>
    %x = mrs.embed "embed_tokens" %ids, %w {vocab_valid = 2003 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[2048{tp 1024}, 256], bf16>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    return
  }
}

// -----
// The logits are split over the vocabulary. top_candidates works on a rank's own part; its records are gathered for the
// candidates, and the logits for all_logits: each collective runs only in the variant that reads it.
// CHECK-LABEL: func.func @outputs
// CHECK: %[[LOGITS:.*]] = mrs.matmul "lm_head"
// CHECK: %[[ALL:.*]] = mrs.all_gather "lm_head.all_gather" %[[LOGITS]] {axis = "tp", variant = "all_logits"}
// CHECK-SAME: -> !mrs.tensor<[L, 2048], f32>
// CHECK: %[[BEST:.*]] = mrs.top_candidates "top_candidates" %[[LOGITS]]
// CHECK: %[[RECORDS:.*]] = mrs.all_gather "top_candidates.all_gather" %[[BEST]] {axis = "tp", variant = "candidates"}
// CHECK-SAME: -> !mrs.tensor<[L, 16], !mrs.candidates<24>>
// CHECK: mrs.output "candidates" %[[RECORDS]]
// CHECK: mrs.output "all_logits" %[[ALL]]
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @outputs(%x: !mrs.tensor<[L, 256], bf16>) {
    %w = mrs.weight "lm_head.weight" {n_dims = 1 : i64, sources = [{}]} : <[2048{tp 1024}, 256], bf16>
    %logits = mrs.matmul "lm_head" %x, [%w] : (!mrs.tensor<[L, 256], bf16>, !mrs.tensor<[2048{tp 1024}, 256], bf16>) -> !mrs.tensor<[L, 2048{tp 1024}], f32>
    %best = mrs.top_candidates "top_candidates" %logits {variant = "candidates", vocab_valid = 2003 : i64} : (!mrs.tensor<[L, 2048{tp 1024}], f32>) -> !mrs.tensor<[L, 16{tp 8}], !mrs.candidates<24>>
    mrs.output "candidates" %best : <[L, 16{tp 8}], !mrs.candidates<24>>
    mrs.output "all_logits" %logits : <[L, 2048{tp 1024}], f32>
    return
  }
}

// -----
// A norm over a split dimension needs all of it: the value is gathered first, for steps of both variants.
// CHECK-LABEL: func.func @needed_whole
// CHECK: %[[SUM:.*]] = mrs.add "sum"
// CHECK: %[[ALL:.*]] = mrs.all_gather "sum.all_gather" %[[SUM]] {axis = "tp"} : (!mrs.tensor<[T, 256{tp 128}], f32>) -> !mrs.tensor<[T, 256], f32>
// CHECK: mrs.rms_norm "norm" %[[ALL]]
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @needed_whole(%a: !mrs.tensor<[T, 256{tp 128}], f32>) {
    %x = mrs.add "sum" %a, %a : (!mrs.tensor<[T, 256{tp 128}], f32>, !mrs.tensor<[T, 256{tp 128}], f32>) -> !mrs.tensor<[T, 256{tp 128}], f32>
    %w = mrs.weight "norm.weight" {n_dims = 1 : i64, sources = [{}]} : <[256], f32>
    %y = mrs.rms_norm "norm" %x, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 256{tp 128}], f32>, !mrs.tensor<[256], f32>) -> !mrs.tensor<[T, 256], bf16>
    return
  }
}

// -----
// A collective inserted for one user leaves the others their slice: silu_mul works on each rank's part.
// CHECK-LABEL: func.func @others_keep_their_slice
// CHECK: %[[SUM:.*]] = mrs.add "sum"
// CHECK: %[[ALL:.*]] = mrs.all_gather "sum.all_gather" %[[SUM]]
// CHECK: mrs.rms_norm "norm" %[[ALL]]
// CHECK: mrs.silu_mul "silu_mul" %[[SUM]], %[[SUM]]
// CHECK: mrs.output "all_logits" %[[ALL]]
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @others_keep_their_slice(%a: !mrs.tensor<[L, 256{tp 128}], f32>) {
    %x = mrs.add "sum" %a, %a : (!mrs.tensor<[L, 256{tp 128}], f32>, !mrs.tensor<[L, 256{tp 128}], f32>) -> !mrs.tensor<[L, 256{tp 128}], f32>
    %w = mrs.weight "norm.weight" {n_dims = 1 : i64, sources = [{}]} : <[256], f32>
    %y = mrs.rms_norm "norm" %x, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[L, 256{tp 128}], f32>, !mrs.tensor<[256], f32>) -> !mrs.tensor<[L, 256], bf16>
    %z = mrs.silu_mul "silu_mul" %x, %x : (!mrs.tensor<[L, 256{tp 128}], f32>, !mrs.tensor<[L, 256{tp 128}], f32>) -> !mrs.tensor<[L, 256{tp 128}], f32>
    mrs.output "all_logits" %x : <[L, 256{tp 128}], f32>
    return
  }
}

// -----
// Nobody needs all of it: nothing is gathered.
// CHECK-LABEL: func.func @nobody_needs_it_whole
// CHECK-NOT: mrs.all_gather
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @nobody_needs_it_whole(%a: !mrs.tensor<[T, 256{tp 128}], f32>) {
    %x = mrs.add "sum" %a, %a : (!mrs.tensor<[T, 256{tp 128}], f32>, !mrs.tensor<[T, 256{tp 128}], f32>) -> !mrs.tensor<[T, 256{tp 128}], f32>
    %z = mrs.silu_mul "silu_mul" %x, %x : (!mrs.tensor<[T, 256{tp 128}], f32>, !mrs.tensor<[T, 256{tp 128}], f32>) -> !mrs.tensor<[T, 256{tp 128}], f32>
    return
  }
}

// -----
// A sum that is completed already is not completed again, and a gather that is there keeps its slice.
// CHECK-LABEL: func.func @collectives_that_are_there
// CHECK: %[[Y:.*]] = mrs.embed
// CHECK-NEXT: mrs.all_reduce "mine" %[[Y]]
// CHECK-NOT: mrs.all_reduce
// CHECK: mrs.all_gather "all" %arg1
// CHECK-NOT: mrs.all_gather
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @collectives_that_are_there(%ids: !mrs.tensor<[T], i32>, %l: !mrs.tensor<[L, 2048{tp 1024}], f32>) {
    %w = mrs.weight "embed.weight" {n_dims = 1 : i64, sources = [{}]} : <[2048{tp 1024}, 256], bf16>
    %x = mrs.embed "embed_tokens" %ids, %w {vocab_valid = 2003 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[2048{tp 1024}, 256], bf16>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    %r = mrs.all_reduce "mine" %x {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
    %all = mrs.all_gather "all" %l {axis = "tp"} : (!mrs.tensor<[L, 2048{tp 1024}], f32>) -> !mrs.tensor<[L, 2048], f32>
    mrs.output "all_logits" %all : <[L, 2048], f32>
    return
  }
}

// -----
// One rank: nothing to complete, nothing to gather.
// CHECK-LABEL: func.func @one_rank
// CHECK-NOT: mrs.all_
module {
  func.func @one_rank(%x: !mrs.tensor<[L, 256], bf16>) {
    %w = mrs.weight "lm_head.weight" {n_dims = 1 : i64, sources = [{}]} : <[2048, 256], bf16>
    %logits = mrs.matmul "lm_head" %x, [%w] : (!mrs.tensor<[L, 256], bf16>, !mrs.tensor<[2048, 256], bf16>) -> !mrs.tensor<[L, 2048], f32>
    mrs.output "all_logits" %logits : <[L, 2048], f32>
    return
  }
}

// -----
// A sum that is partial over two axes is completed along each, and a value that both split is gathered along each.
// CHECK-LABEL: func.func @two_axes
// CHECK: %[[Y:.*]] = mrs.matmul "y"
// CHECK: %[[TP:.*]] = mrs.all_reduce "y.all_reduce" %[[Y]] {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[L, 64], f32, partial{tp, ep}>) -> !mrs.tensor<[L, 64], f32, partial{ep}>
// CHECK: %[[ALL:.*]] = mrs.all_reduce "y.all_reduce.ep" %[[TP]] {algorithm = "doubling", axis = "ep"} : (!mrs.tensor<[L, 64], f32, partial{ep}>) -> !mrs.tensor<[L, 64], f32>
// CHECK: mrs.output "candidates" %[[ALL]]
// CHECK: %[[Z:.*]] = mrs.matmul "z"
// CHECK: %[[G:.*]] = mrs.all_gather "z.all_gather" %[[Z]] {axis = "tp", variant = "all_logits"} : (!mrs.tensor<[L, 8{tp 4}, 32{ep 16}], f32>) -> !mrs.tensor<[L, 8, 32{ep 16}], f32>
// CHECK: %[[H:.*]] = mrs.all_gather "z.all_gather.ep" %[[G]] {axis = "ep", variant = "all_logits"} : (!mrs.tensor<[L, 8, 32{ep 16}], f32>) -> !mrs.tensor<[L, 8, 32], f32>
// CHECK: mrs.output "all_logits" %[[H]]
module attributes {mrs.mesh = {ep = 2 : i64, tp = 2 : i64}} {
  func.func @two_axes(%x: !mrs.tensor<[L, 8{tp 4}, 32{ep 16}], bf16>, %v: !mrs.tensor<[L, 256], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, chunks = 8 : i64, sources = [{}]} : <[64, 8{tp 4}, 32{ep 16}], bf16>
    %y = mrs.matmul "y" %x, [%w] : (!mrs.tensor<[L, 8{tp 4}, 32{ep 16}], bf16>, !mrs.tensor<[64, 8{tp 4}, 32{ep 16}], bf16>) -> !mrs.tensor<[L, 64], f32, partial{tp, ep}>
    mrs.output "candidates" %y : <[L, 64], f32, partial{tp, ep}>
    %u = mrs.weight "u" {n_dims = 2 : i64, sources = [{}]} : <[8{tp 4}, 32{ep 16}, 256], bf16>
    %z = mrs.matmul "z" %v, [%u] : (!mrs.tensor<[L, 256], bf16>, !mrs.tensor<[8{tp 4}, 32{ep 16}, 256], bf16>) -> !mrs.tensor<[L, 8{tp 4}, 32{ep 16}], f32>
    mrs.output "all_logits" %z : <[L, 8{tp 4}, 32{ep 16}], f32>
    return
  }
}

// -----
// What is inserted is of the layer of what it completes.
// CHECK-LABEL: func.func @layer
// CHECK: mrs.all_reduce "x.all_reduce" %{{.*}} {algorithm = "doubling", axis = "tp", layer = 3 : i64}
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @layer(%ids: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[2048{tp 1024}, 256], bf16>
    %x = mrs.embed "x" %ids, %w {layer = 3 : i64, vocab_valid = 2003 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[2048{tp 1024}, 256], bf16>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    return
  }
}
