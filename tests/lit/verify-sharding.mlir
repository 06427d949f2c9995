// mrs-verify-sharding asks of every step: do all ranks together compute what the unsharded operation computes? Types carry
// shape, slice and partial state, so each operation can be judged alone, and the answer names it.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-verify-sharding | FileCheck %s

// A whole block, as the passes leave it, is accepted and not changed.
// CHECK-LABEL: func.func @accepted
// CHECK: mrs.all_reduce "l0.o_proj.all_reduce"
module attributes {mrs.tp = 2 : i64} {
  func.func @accepted(%a: !mrs.tensor<[T, 8{tp 4}, 32], bf16>) {
    %w = mrs.weight "o" {n_dims = 1 : i64, chunks = 8 : i64, sources = [{}]} : <[256, 8{tp 4}, 32], bf16>
    %y = mrs.matmul "l0.o_proj" %a, [%w] : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[256, 8{tp 4}, 32], bf16>) -> !mrs.tensor<[T, 256], f32, partial>
    %r = mrs.all_reduce "l0.o_proj.all_reduce" %y {algorithm = "doubling"} : (!mrs.tensor<[T, 256], f32, partial>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// An all-reduce left out: whoever reads the partial sum is refused.
module attributes {mrs.tp = 2 : i64} {
  func.func @missing_all_reduce(%x: !mrs.tensor<[T, 256], f32>, %y: !mrs.tensor<[T, 256], f32, partial>) {
    // expected-error@+1 {{'l0.attention_add' (mrs.add): reads a partial sum, '!mrs.tensor<[T, 256], f32, partial>', that no all-reduce has completed; run insert-collectives, or put back the mrs.all_reduce}}
    %z = mrs.add "l0.attention_add" %x, %y : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32, partial>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// The partial state cannot be talked away either: a row-parallel product is a partial sum.
module attributes {mrs.tp = 2 : i64} {
  func.func @partial_denied(%a: !mrs.tensor<[T, 512{tp 256}], bf16>) {
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 16 : i64, sources = [{}]} : <[256, 512{tp 256}], bf16>
    // expected-error@+1 {{'l0.down_proj' (mrs.matmul): its result is '!mrs.tensor<[T, 256], f32>', but a rank's sum is only a part of the whole}}
    %y = mrs.matmul "l0.down_proj" %a, [%w] : (!mrs.tensor<[T, 512{tp 256}], bf16>, !mrs.tensor<[256, 512{tp 256}], bf16>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// A sum that every rank already has would be counted once a rank.
module attributes {mrs.tp = 2 : i64} {
  func.func @summed_twice(%x: !mrs.tensor<[T, 256], f32>) {
    // expected-error@+1 {{'again' (mrs.all_reduce): sums '!mrs.tensor<[T, 256], f32>', which is no partial sum: every rank would add it again}}
    %y = mrs.all_reduce "again" %x {algorithm = "doubling"} : (!mrs.tensor<[T, 256], f32>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// A bias inside a row-parallel product would be added by every rank.
module attributes {mrs.tp = 2 : i64} {
  func.func @bias_on_every_rank(%a: !mrs.tensor<[T, 8{tp 4}, 32], bf16>) {
    %w = mrs.weight "o" {n_dims = 1 : i64, chunks = 8 : i64, sources = [{}]} : <[256, 8{tp 4}, 32], bf16>
    %b = mrs.weight "o.bias" {n_dims = 1 : i64, sources = [{}]} : <[256], f32>
    // expected-error@+1 {{'l0.o_proj' (mrs.matmul): adds its bias to a partial sum: all 2 ranks would add it; add it after the all-reduce (mrs.add_bias)}}
    %y = mrs.matmul "l0.o_proj" %a, [%w] bias [%b] : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[256, 8{tp 4}, 32], bf16>, !mrs.tensor<[256], f32>) -> !mrs.tensor<[T, 256], f32, partial>
    return
  }
}

// -----
// KV heads swapped: rank 0 would hold heads 2 and 3, but its query heads read 0 and 1.
module attributes {mrs.tp = 2 : i64} {
  func.func @swapped_kv_heads(%q: !mrs.tensor<[T, 8{tp 4}, 32], bf16>, %c: !mrs.tensor<[B, 4{tp 2 start 2 step -2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 4{tp 2 start 2 step -2}, 32], bf16>' does not hold, on every rank, what its 8 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[B, 4{tp 2 start 2 step -2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8{tp 4}, 32], bf16>
    return
  }
}

// -----
// Replicated KV heads on the wrong ranks: ranks 0 and 1 read head 0, but hold head 1.
module attributes {mrs.tp = 4 : i64} {
  func.func @wrong_replica(%q: !mrs.tensor<[T, 4{tp 1}, 32], bf16>, %c: !mrs.tensor<[B, 2{tp 1 start 1 step -1 every 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 2{tp 1 start 1 step -1 every 2}, 32], bf16>' does not hold, on every rank, what its 4 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 4{tp 1}, 32], bf16>, !mrs.tensor<[B, 2{tp 1 start 1 step -1 every 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 4{tp 1}, 32], bf16>
    return
  }
}

// -----
// A KV head on two ranks each, where each rank's query heads read one of their own: right on rank 0, wrong on rank 1.
module attributes {mrs.tp = 4 : i64} {
  func.func @replicated_where_queries_are_not(%q: !mrs.tensor<[T, 8{tp 2}, 32], bf16>, %c: !mrs.tensor<[B, 4{tp 1 every 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 4{tp 1 every 2}, 32], bf16>' does not hold, on every rank, what its 8 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8{tp 2}, 32], bf16>, !mrs.tensor<[B, 4{tp 1 every 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8{tp 2}, 32], bf16>
    return
  }
}

// -----
// Query heads in pairs of ranks, in another order than the KV heads.
module attributes {mrs.tp = 4 : i64} {
  func.func @queries_in_another_order(%q: !mrs.tensor<[T, 4{tp 1 start 3 step -1}, 32], bf16>, %c: !mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>' does not hold, on every rank, what its 4 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 4{tp 1 start 3 step -1}, 32], bf16>, !mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 4{tp 1 start 3 step -1}, 32], bf16>
    return
  }
}

// -----
// All query heads on every rank read KV heads that are not there.
module attributes {mrs.tp = 4 : i64} {
  func.func @queries_whole(%q: !mrs.tensor<[T, 4, 32], bf16>, %c: !mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>' does not hold, on every rank, what its 4 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 4, 32], bf16>, !mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 4, 32], bf16>
    return
  }
}

// -----
// What an all-reduce leaves is whole on every rank: it cannot be typed as a slice.
module attributes {mrs.tp = 2 : i64} {
  func.func @sum_typed_split(%x: !mrs.tensor<[T, 256], f32, partial>) {
    // expected-error@+1 {{'sum' (mrs.all_reduce): turns '!mrs.tensor<[T, 256], f32, partial>' into '!mrs.tensor<[T, 256{tp 128}], f32>'}}
    %y = mrs.all_reduce "sum" %x {algorithm = "doubling"} : (!mrs.tensor<[T, 256], f32, partial>) -> !mrs.tensor<[T, 256{tp 128}], f32>
    return
  }
}

// -----
// The executor writes all of an input on every rank.
module attributes {mrs.tp = 2 : i64} {
  func.func @split_input() {
    // expected-error@+1 {{'block_table' (mrs.input): is '!mrs.tensor<[S, 8{tp 4}], i32>', but the executor writes all of it on every rank}}
    %x = mrs.input "block_table" : <[S, 8{tp 4}], i32>
    return
  }
}

// -----
module attributes {mrs.tp = 2 : i64} {
  func.func @partial_input() {
    // expected-error@+1 {{'tokens' (mrs.input): is '!mrs.tensor<[T], i32, partial>', but the executor writes all of it on every rank}}
    %x = mrs.input "tokens" : <[T], i32, partial>
    return
  }
}

// -----
// Two operands of one factor must be the same slice on every rank.
module attributes {mrs.tp = 4 : i64} {
  func.func @other_slices(%g: !mrs.tensor<[T, 512{tp 128}], f32>, %u: !mrs.tensor<[T, 512{tp 128 start 384 step -128}], f32>) {
    // expected-error@+1 {{'l0.silu_mul' (mrs.silu_mul): dimension 1 of '!mrs.tensor<[T, 512{tp 128 start 384 step -128}], f32>' is another slice than its other operands hold: on rank 0}}
    %h = mrs.silu_mul "l0.silu_mul" %g, %u : (!mrs.tensor<[T, 512{tp 128}], f32>, !mrs.tensor<[T, 512{tp 128 start 384 step -128}], f32>) -> !mrs.tensor<[T, 512{tp 128}], bf16>
    return
  }
}

// -----
// A norm needs the whole row.
module attributes {mrs.tp = 2 : i64} {
  func.func @norm_of_a_part(%x: !mrs.tensor<[T, 256{tp 128}], f32>) {
    %w = mrs.weight "norm" {n_dims = 1 : i64, sources = [{}]} : <[256], f32>
    // expected-error@+1 {{'l0.norm' (mrs.rms_norm): dimension 1 of '!mrs.tensor<[T, 256{tp 128}], f32>' is split, but the operation needs all of it}}
    %y = mrs.rms_norm "l0.norm" %x, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 256{tp 128}], f32>, !mrs.tensor<[256], f32>) -> !mrs.tensor<[T, 256], bf16>
    return
  }
}

// -----
// Slices of all ranks must cover a weight; 128 rows on each of 2 ranks leave half of 512 out.
module attributes {mrs.tp = 2 : i64} {
  func.func @rows_of_nobody() {
    // expected-error@+1 {{'w' (mrs.weight): dimension 0 of '!mrs.tensor<[512{tp 128}, 256], bf16>': the slices of 2 ranks do not cover it}}
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[512{tp 128}, 256], bf16>
    return
  }
}

// -----
// Sums run over canonical chunks of K, in rank order: a reversed K would be another sum.
module attributes {mrs.tp = 2 : i64} {
  func.func @reversed_k(%a: !mrs.tensor<[T, 512{tp 256 start 256 step -256}], bf16>) {
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 16 : i64, sources = [{}]} : <[256, 512{tp 256 start 256 step -256}], bf16>
    // expected-error@+1 {{'l0.down_proj' (mrs.matmul): sums over slices that are not each rank's own, in rank order}}
    %y = mrs.matmul "l0.down_proj" %a, [%w] : (!mrs.tensor<[T, 512{tp 256 start 256 step -256}], bf16>, !mrs.tensor<[256, 512{tp 256 start 256 step -256}], bf16>) -> !mrs.tensor<[T, 256], f32, partial>
    return
  }
}

// -----
module attributes {mrs.tp = 4 : i64} {
  func.func @chunks_cut(%a: !mrs.tensor<[T, 512{tp 128}], bf16>) {
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 2 : i64, sources = [{}]} : <[256, 512{tp 128}], bf16>
    // expected-error@+1 {{'l0.down_proj' (mrs.matmul): 2 canonical chunks of K do not split over 4 ranks}}
    %y = mrs.matmul "l0.down_proj" %a, [%w] : (!mrs.tensor<[T, 512{tp 128}], bf16>, !mrs.tensor<[256, 512{tp 128}], bf16>) -> !mrs.tensor<[T, 256], f32, partial>
    return
  }
}

// -----
// What the supervisor reads must be whole.
module attributes {mrs.tp = 2 : i64} {
  func.func @split_output(%x: !mrs.tensor<[L, 2048{tp 1024}], f32>) {
    // expected-error@+1 {{output 'all_logits' is '!mrs.tensor<[L, 2048{tp 1024}], f32>', expected all of it on every rank; an mrs.all_gather is missing}}
    mrs.output "all_logits" %x : <[L, 2048{tp 1024}], f32>
    return
  }
}

// -----
// A gather brings slices together in rank order, so that is how they must lie.
module attributes {mrs.tp = 2 : i64} {
  func.func @gather_out_of_order(%x: !mrs.tensor<[L, 2048{tp 1024 start 1024 step -1024}], f32>) {
    // expected-error@+1 {{'all' (mrs.all_gather): dimension 1 of '!mrs.tensor<[L, 2048{tp 1024 start 1024 step -1024}], f32>' is not split in rank order over 2 ranks}}
    %y = mrs.all_gather "all" %x : (!mrs.tensor<[L, 2048{tp 1024 start 1024 step -1024}], f32>) -> !mrs.tensor<[L, 2048], f32>
    return
  }
}

// -----
// expected-error@+1 {{mrs.tp is 0, expected 1 to 4096 ranks}}
module attributes {mrs.tp = 0 : i64} {
  func.func @no_ranks() {
    return
  }
}
