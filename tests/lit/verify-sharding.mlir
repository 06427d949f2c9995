// mrs-verify-sharding asks of every step: do all ranks together compute what the unsharded operation computes? Types carry
// shape, slice and partial state, so each operation can be judged alone, and the answer names it.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-verify-sharding | FileCheck %s

// A whole block, as the passes leave it, is accepted and not changed.
// CHECK-LABEL: func.func @accepted
// CHECK: mrs.all_reduce "l0.o_proj.all_reduce"
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @accepted(%a: !mrs.tensor<[T, 8{tp 4}, 32], bf16>) {
    %w = mrs.weight "o" {n_dims = 1 : i64, chunks = 8 : i64, sources = [{}]} : <[256, 8{tp 4}, 32], bf16>
    %y = mrs.matmul "l0.o_proj" %a, [%w] : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[256, 8{tp 4}, 32], bf16>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    %r = mrs.all_reduce "l0.o_proj.all_reduce" %y {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// An all-reduce left out: whoever reads the partial sum is refused.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @missing_all_reduce(%x: !mrs.tensor<[T, 256], f32>, %y: !mrs.tensor<[T, 256], f32, partial{tp}>) {
    // expected-error@+1 {{'l0.attention_add' (mrs.add): reads a partial sum, '!mrs.tensor<[T, 256], f32, partial{tp}>', that no all-reduce has completed; run insert-collectives, or put back the mrs.all_reduce}}
    %z = mrs.add "l0.attention_add" %x, %y : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// The partial state cannot be talked away either: a row-parallel product is a partial sum.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @partial_denied(%a: !mrs.tensor<[T, 512{tp 256}], bf16>) {
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 16 : i64, sources = [{}]} : <[256, 512{tp 256}], bf16>
    // expected-error@+1 {{'l0.down_proj' (mrs.matmul): its result is '!mrs.tensor<[T, 256], f32>', but a rank's sum is only a part of the whole: partial{tp}}}
    %y = mrs.matmul "l0.down_proj" %a, [%w] : (!mrs.tensor<[T, 512{tp 256}], bf16>, !mrs.tensor<[256, 512{tp 256}], bf16>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// A sum that every rank already has would be counted once a rank.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @summed_twice(%x: !mrs.tensor<[T, 256], f32>) {
    // expected-error@+1 {{'again' (mrs.all_reduce): sums '!mrs.tensor<[T, 256], f32>', which is no partial sum over tp: every rank would add it again}}
    %y = mrs.all_reduce "again" %x {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 256], f32>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// A bias inside a row-parallel product would be added by every rank.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @bias_on_every_rank(%a: !mrs.tensor<[T, 8{tp 4}, 32], bf16>) {
    %w = mrs.weight "o" {n_dims = 1 : i64, chunks = 8 : i64, sources = [{}]} : <[256, 8{tp 4}, 32], bf16>
    %b = mrs.weight "o.bias" {n_dims = 1 : i64, sources = [{}]} : <[256], f32>
    // expected-error@+1 {{'l0.o_proj' (mrs.matmul): adds its bias to a partial sum: all 2 ranks would add it; add it after the all-reduce (mrs.add_bias)}}
    %y = mrs.matmul "l0.o_proj" %a, [%w] bias [%b] : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[256, 8{tp 4}, 32], bf16>, !mrs.tensor<[256], f32>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    return
  }
}

// -----
// KV heads swapped: rank 0 would hold heads 2 and 3, but its query heads read 0 and 1.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @swapped_kv_heads(%q: !mrs.tensor<[T, 8{tp 4}, 32], bf16>, %c: !mrs.tensor<[B, 4{tp 2 start 2 step -2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 4{tp 2 start 2 step -2}, 32], bf16>' does not hold, on every rank, what its 8 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[B, 4{tp 2 start 2 step -2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8{tp 4}, 32], bf16>
    return
  }
}

// -----
// Replicated KV heads on the wrong ranks: ranks 0 and 1 read head 0, but hold head 1.
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @wrong_replica(%q: !mrs.tensor<[T, 4{tp 1}, 32], bf16>, %c: !mrs.tensor<[B, 2{tp 1 start 1 step -1 every 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 2{tp 1 start 1 step -1 every 2}, 32], bf16>' does not hold, on every rank, what its 4 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 4{tp 1}, 32], bf16>, !mrs.tensor<[B, 2{tp 1 start 1 step -1 every 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 4{tp 1}, 32], bf16>
    return
  }
}

// -----
// A KV head on two ranks each, where each rank's query heads read one of their own: right on rank 0, wrong on rank 1.
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @replicated_where_queries_are_not(%q: !mrs.tensor<[T, 8{tp 2}, 32], bf16>, %c: !mrs.tensor<[B, 4{tp 1 every 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 4{tp 1 every 2}, 32], bf16>' does not hold, on every rank, what its 8 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8{tp 2}, 32], bf16>, !mrs.tensor<[B, 4{tp 1 every 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8{tp 2}, 32], bf16>
    return
  }
}

// -----
// Query heads in pairs of ranks, in another order than the KV heads.
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @queries_in_another_order(%q: !mrs.tensor<[T, 4{tp 1 start 3 step -1}, 32], bf16>, %c: !mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>' does not hold, on every rank, what its 4 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 4{tp 1 start 3 step -1}, 32], bf16>, !mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 4{tp 1 start 3 step -1}, 32], bf16>
    return
  }
}

// -----
// All query heads on every rank read KV heads that are not there.
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @queries_whole(%q: !mrs.tensor<[T, 4, 32], bf16>, %c: !mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>' does not hold, on every rank, what its 4 finer elements (heads) read}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 4, 32], bf16>, !mrs.tensor<[B, 2{tp 1 every 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 4, 32], bf16>
    return
  }
}

// -----
// What an all-reduce leaves is whole on every rank: it cannot be typed as a slice.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @sum_typed_split(%x: !mrs.tensor<[T, 256], f32, partial{tp}>) {
    // expected-error@+1 {{'sum' (mrs.all_reduce): turns '!mrs.tensor<[T, 256], f32, partial{tp}>' into '!mrs.tensor<[T, 256{tp 128}], f32>'}}
    %y = mrs.all_reduce "sum" %x {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256{tp 128}], f32>
    return
  }
}

// -----
// The executor writes all of an input on every rank.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @split_input() {
    // expected-error@+1 {{'block_table' (mrs.input): is '!mrs.tensor<[S, 8{tp 4}], i32>', but the executor writes all of it on every rank}}
    %x = mrs.input "block_table" : <[S, 8{tp 4}], i32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @partial_input() {
    // expected-error@+1 {{'tokens' (mrs.input): is '!mrs.tensor<[T], i32, partial{tp}>', but the executor writes all of it on every rank}}
    %x = mrs.input "tokens" : <[T], i32, partial{tp}>
    return
  }
}

// -----
// Two operands of one factor must be the same slice on every rank.
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @other_slices(%g: !mrs.tensor<[T, 512{tp 128}], f32>, %u: !mrs.tensor<[T, 512{tp 128 start 384 step -128}], f32>) {
    // expected-error@+1 {{'l0.silu_mul' (mrs.silu_mul): dimension 1 of '!mrs.tensor<[T, 512{tp 128 start 384 step -128}], f32>' is another slice than its other operands hold: on rank 0}}
    %h = mrs.silu_mul "l0.silu_mul" %g, %u : (!mrs.tensor<[T, 512{tp 128}], f32>, !mrs.tensor<[T, 512{tp 128 start 384 step -128}], f32>) -> !mrs.tensor<[T, 512{tp 128}], bf16>
    return
  }
}

// -----
// A norm needs the whole row.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @norm_of_a_part(%x: !mrs.tensor<[T, 256{tp 128}], f32>) {
    %w = mrs.weight "norm" {n_dims = 1 : i64, sources = [{}]} : <[256], f32>
    // expected-error@+1 {{'l0.norm' (mrs.rms_norm): dimension 1 of '!mrs.tensor<[T, 256{tp 128}], f32>' is split, but the operation needs all of it}}
    %y = mrs.rms_norm "l0.norm" %x, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 256{tp 128}], f32>, !mrs.tensor<[256], f32>) -> !mrs.tensor<[T, 256], bf16>
    return
  }
}

// -----
// Slices of all ranks must cover a weight; 128 rows on each of 2 ranks leave half of 512 out.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @rows_of_nobody() {
    // expected-error@+1 {{'w' (mrs.weight): dimension 0 of '!mrs.tensor<[512{tp 128}, 256], bf16>': the slices of 2 ranks do not cover it}}
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[512{tp 128}, 256], bf16>
    return
  }
}

// -----
// Sums run over canonical chunks of K, in rank order: a reversed K would be another sum.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @reversed_k(%a: !mrs.tensor<[T, 512{tp 256 start 256 step -256}], bf16>) {
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 16 : i64, sources = [{}]} : <[256, 512{tp 256 start 256 step -256}], bf16>
    // expected-error@+1 {{'l0.down_proj' (mrs.matmul): sums over slices that are not each rank's own, in rank order}}
    %y = mrs.matmul "l0.down_proj" %a, [%w] : (!mrs.tensor<[T, 512{tp 256 start 256 step -256}], bf16>, !mrs.tensor<[256, 512{tp 256 start 256 step -256}], bf16>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @chunks_cut(%a: !mrs.tensor<[T, 512{tp 128}], bf16>) {
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 2 : i64, sources = [{}]} : <[256, 512{tp 128}], bf16>
    // expected-error@+1 {{'l0.down_proj' (mrs.matmul): 2 canonical chunks of K do not split over 4 ranks}}
    %y = mrs.matmul "l0.down_proj" %a, [%w] : (!mrs.tensor<[T, 512{tp 128}], bf16>, !mrs.tensor<[256, 512{tp 128}], bf16>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    return
  }
}

// -----
// What the supervisor reads must be whole.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @split_output(%x: !mrs.tensor<[L, 2048{tp 1024}], f32>) {
    // expected-error@+1 {{output 'all_logits' is '!mrs.tensor<[L, 2048{tp 1024}], f32>', expected all of it on every rank; an mrs.all_gather is missing}}
    mrs.output "all_logits" %x : <[L, 2048{tp 1024}], f32>
    return
  }
}

// -----
// A gather brings slices together in rank order, so that is how they must lie.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @gather_out_of_order(%x: !mrs.tensor<[L, 2048{tp 1024 start 1024 step -1024}], f32>) {
    // expected-error@+1 {{'all' (mrs.all_gather): dimension 1 of '!mrs.tensor<[L, 2048{tp 1024 start 1024 step -1024}], f32>' is not split in rank order over 2 ranks}}
    %y = mrs.all_gather "all" %x {axis = "tp"} : (!mrs.tensor<[L, 2048{tp 1024 start 1024 step -1024}], f32>) -> !mrs.tensor<[L, 2048], f32>
    return
  }
}

// -----
// expected-error@+1 {{the mesh: tp is 0 : i64, expected 1 to 4096 ranks}}
module attributes {mrs.mesh = {tp = 0 : i64}} {
  func.func @no_ranks() {
    return
  }
}

// -----
// expected-error@+1 {{the mesh has an axis "pp"; there are tp, ep, dp and stage}}
module attributes {mrs.mesh = {pp = 2 : i64}} {
  func.func @no_such_axis() {
    return
  }
}

// -----
// expected-error@+1 {{the mesh is 4 : i64, expected {tp = 4 : i64, stage = 2 : i64}}}
module attributes {mrs.mesh = 4 : i64} {
  func.func @no_mesh() {
    return
  }
}

// -----
// Along each axis for itself: 8 heads over 4 tp ranks, 64 columns over 2 ep ranks.
module attributes {mrs.mesh = {ep = 2 : i64, dp = 3 : i64, tp = 4 : i64}} {
  func.func @two_axes(%x: !mrs.tensor<[T, 256], bf16>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[8{tp 2}, 64{ep 32}, 256], bf16>
    %y = mrs.matmul "y" %x, [%w] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[8{tp 2}, 64{ep 32}, 256], bf16>) -> !mrs.tensor<[T, 8{tp 2}, 64{ep 32}], f32>
    %u = mrs.weight "u" {n_dims = 1 : i64, sources = [{}], chunks = 8 : i64} : <[16, 8{tp 2}, 64{ep 32}], f32>
    %z = mrs.matmul "z" %y, [%u] : (!mrs.tensor<[T, 8{tp 2}, 64{ep 32}], f32>, !mrs.tensor<[16, 8{tp 2}, 64{ep 32}], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp, ep}>
    %r = mrs.all_reduce "r" %z {axis = "ep", algorithm = "doubling"} : (!mrs.tensor<[T, 16], f32, partial{tp, ep}>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "s" %r {axis = "tp", algorithm = "doubling"} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// The right slices, along another axis: rank (tp 1, ep 0) would meet the columns of another expert group.
module attributes {mrs.mesh = {ep = 2 : i64, tp = 2 : i64}} {
  func.func @another_axis(%g: !mrs.tensor<[T, 512{tp 256}], f32>, %u: !mrs.tensor<[T, 512{ep 256}], f32>) {
    // expected-error@+1 {{'h' (mrs.silu_mul): dimension 1 of '!mrs.tensor<[T, 512{ep 256}], f32>' is another slice than its other operands hold: on rank 0}}
    %h = mrs.silu_mul "h" %g, %u : (!mrs.tensor<[T, 512{tp 256}], f32>, !mrs.tensor<[T, 512{ep 256}], f32>) -> !mrs.tensor<[T, 512{tp 256}], bf16>
    return
  }
}

// -----
module attributes {mrs.mesh = {ep = 2 : i64, tp = 2 : i64}} {
  func.func @kv_heads_of_another_axis(%q: !mrs.tensor<[T, 8{tp 4}, 32], bf16>, %c: !mrs.tensor<[B, 4{ep 2}, 32], bf16>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'a' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 4{ep 2}, 32], bf16>' does not hold, on every rank, what its 8 finer elements (heads) read}}
    %a = mrs.attention "a" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[B, 4{ep 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8{tp 4}, 32], bf16>
    return
  }
}

// -----
// A collective over another axis' group leaves the sum as partial as it was.
module attributes {mrs.mesh = {ep = 2 : i64, tp = 2 : i64}} {
  func.func @reduced_over_another_axis(%x: !mrs.tensor<[T, 256], f32, partial{tp}>) {
    // expected-error@+1 {{'sum' (mrs.all_reduce): sums '!mrs.tensor<[T, 256], f32, partial{tp}>', which is no partial sum over ep: every rank would add it again}}
    %y = mrs.all_reduce "sum" %x {axis = "ep", algorithm = "doubling"} : (!mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {ep = 2 : i64, tp = 2 : i64}} {
  func.func @half_completed(%x: !mrs.tensor<[T, 256], f32, partial{tp, ep}>) {
    // expected-error@+1 {{'sum' (mrs.all_reduce): turns '!mrs.tensor<[T, 256], f32, partial{tp, ep}>' into '!mrs.tensor<[T, 256], f32>'}}
    %y = mrs.all_reduce "sum" %x {axis = "tp", algorithm = "doubling"} : (!mrs.tensor<[T, 256], f32, partial{tp, ep}>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {ep = 2 : i64, tp = 2 : i64}} {
  func.func @gathered_over_another_axis(%x: !mrs.tensor<[L, 64{tp 32}], f32>) {
    // expected-error@+1 {{'all' (mrs.all_gather): turns '!mrs.tensor<[L, 64{tp 32}], f32>' into '!mrs.tensor<[L, 64], f32>', expected what ep splits made whole}}
    %y = mrs.all_gather "all" %x {axis = "ep"} : (!mrs.tensor<[L, 64{tp 32}], f32>) -> !mrs.tensor<[L, 64], f32>
    return
  }
}

// -----
// One axis, two dimensions: rank c would hold a block of the diagonal, and nobody the rest.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @diagonal() {
    // expected-error@+1 {{'w' (mrs.weight): dimension 1 of '!mrs.tensor<[64{tp 32}, 64{tp 32}], bf16>' is split over tp, which splits another one or is what the sum is partial over}}
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64{tp 32}, 64{tp 32}], bf16>
    return
  }
}

// -----
// 2 KV heads on 4 ranks, each on two: both would add its squares.
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @counted_twice(%k: !mrs.tensor<[T, 2{tp 1 every 2}, 32], f32>) {
    // expected-error@+1 {{'k_sum' (mrs.sum_squares): sums over a dimension of which each part is on 2 ranks: it would be counted 2 times}}
    %s = mrs.sum_squares "k_sum" %k {chunks = 2 : i64} : (!mrs.tensor<[T, 2{tp 1 every 2}, 32], f32>) -> !mrs.tensor<[T], f32, partial{tp}>
    return
  }
}

// -----
// A rank's heads must be whole canonical chunks: 6 heads are 2 chunks, so no 3 ranks can share them.
module attributes {mrs.mesh = {tp = 3 : i64}} {
  func.func @chunks_of_heads_cut(%q: !mrs.tensor<[T, 6{tp 2}, 32], f32>) {
    // expected-error@+1 {{'q_sum' (mrs.sum_squares): 2 canonical chunks of K do not split over 3 ranks}}
    %s = mrs.sum_squares "q_sum" %q {chunks = 2 : i64} : (!mrs.tensor<[T, 6{tp 2}, 32], f32>) -> !mrs.tensor<[T], f32, partial{tp}>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @scaled_by_a_part(%q: !mrs.tensor<[T, 8{tp 4}, 32], f32>, %w: !mrs.tensor<[8{tp 4}, 32], f32>) {
    %s = mrs.sum_squares "q_sum" %q {chunks = 8 : i64} : (!mrs.tensor<[T, 8{tp 4}, 32], f32>) -> !mrs.tensor<[T], f32, partial{tp}>
    // expected-error@+1 {{'q_norm' (mrs.rms_scale): reads a partial sum, '!mrs.tensor<[T], f32, partial{tp}>', that no all-reduce has completed}}
    %y = mrs.rms_scale "q_norm" %q, %s, %w {width = 256 : i64, eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 8{tp 4}, 32], f32>, !mrs.tensor<[T], f32, partial{tp}>, !mrs.tensor<[8{tp 4}, 32], f32>) -> !mrs.tensor<[T, 8{tp 4}, 32], f32>
    return
  }
}

// -----
// What crosses a border is what the other side takes.
module attributes {mrs.mesh = {stage = 2 : i64}} {
  func.func @stage0(%x: !mrs.tensor<[T, 64], f32>) {
    mrs.send "x.send" %x {peer = 1 : i64} : <[T, 64], f32>
    return
  }
  func.func @stage1() {
    // expected-error@+1 {{'x.recv' (mrs.recv): receives '!mrs.tensor<[T, 64], bf16>', but 'x.send' sends '!mrs.tensor<[T, 64], f32>'}}
    %x = mrs.recv "x.recv" {peer = 0 : i64} : <[T, 64], bf16>
    return
  }
}

// -----
module attributes {mrs.mesh = {stage = 2 : i64}} {
  func.func @stage0(%x: !mrs.tensor<[T, 64], f32>) {
    // expected-error@+1 {{'x.send' (mrs.send): sends what no stage receives}}
    mrs.send "x.send" %x {peer = 1 : i64} : <[T, 64], f32>
    return
  }
  func.func @stage1() {
    return
  }
}

// -----
module attributes {mrs.mesh = {stage = 2 : i64}} {
  func.func @stage0() {
    return
  }
  func.func @stage1() {
    // expected-error@+1 {{'x.recv' (mrs.recv): receives what no stage sends}}
    %x = mrs.recv "x.recv" {peer = 0 : i64} : <[T, 64], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {stage = 3 : i64}} {
  func.func @stage0(%x: !mrs.tensor<[T, 64], f32>) {
    // expected-error@+1 {{'x.send' (mrs.send): sends to stage 2, expected the next, 1}}
    mrs.send "x.send" %x {peer = 2 : i64} : <[T, 64], f32>
    return
  }
  func.func @stage1() {
    %x = mrs.recv "x.recv" {peer = 0 : i64} : <[T, 64], f32>
    return
  }
  func.func @stage2() {
    return
  }
}

// -----
module attributes {mrs.mesh = {stage = 2 : i64}} {
  func.func @stage0(%x: !mrs.tensor<[T, 64], f32>) {
    mrs.send "x.send" %x {peer = 1 : i64} : <[T, 64], f32>
    return
  }
  func.func @stage1() {
    // expected-error@+1 {{'x.recv' (mrs.recv): receives from stage 1, expected the one before, 0}}
    %x = mrs.recv "x.recv" {peer = 1 : i64} : <[T, 64], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {stage = 1 : i64}} {
  func.func @stage0() {
    // expected-error@+1 {{'x.recv' (mrs.recv): receives in stage 0, before which there is none}}
    %x = mrs.recv "x.recv" {peer = 0 : i64} : <[T, 64], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {stage = 2 : i64, tp = 2 : i64}} {
  func.func @partial_leaves_its_stage() {
    // expected-error@+1 {{'x.recv' (mrs.recv): is '!mrs.tensor<[T, 64], f32, partial{tp}>', but no partial sum leaves its stage}}
    %x = mrs.recv "x.recv" {peer = 0 : i64} : <[T, 64], f32, partial{tp}>
    return
  }
}

// -----
// Products with what they are gated by: cut as plain ones along their rows, and not along K, as a share of a sum cannot be
// gated.
// CHECK-LABEL: func.func @gated_rows
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @gated_rows(%x: !mrs.tensor<[T, 64], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32{tp 16}, 64], bf16>
    %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32{tp 16}, 64], bf16>
    %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32{tp 16}, 64], bf16>, !mrs.tensor<[32{tp 16}, 64], bf16>) -> (!mrs.tensor<[T, 32{tp 16}], f32>, !mrs.tensor<[T, 32{tp 16}], f32>, !mrs.tensor<[T, 32{tp 16}], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @gated_rows_of_one(%x: !mrs.tensor<[T, 64], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32{tp 16}, 64], bf16>
    %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
    // expected-error@+1 {{'g' (mrs.gated_matmul): dimension 0 of '!mrs.tensor<[32, 64], bf16>' is another slice than its other operands hold: on rank 0}}
    %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu"} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32{tp 16}, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32{tp 16}], f32>, !mrs.tensor<[T, 32{tp 16}], f32>, !mrs.tensor<[T, 32{tp 16}], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @gated_k(%x: !mrs.tensor<[T, 64{tp 32}], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], chunks = 16 : i64} : <[32, 64{tp 32}], bf16>
    %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}], chunks = 16 : i64} : <[32, 64{tp 32}], bf16>
    // expected-error@+1 {{'g' (mrs.gated_matmul): dimension 1 of '!mrs.tensor<[T, 64{tp 32}], bf16>' is split, but the operation needs all of it}}
    %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu"} : (!mrs.tensor<[T, 64{tp 32}], bf16>, !mrs.tensor<[32, 64{tp 32}], bf16>, !mrs.tensor<[32, 64{tp 32}], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], bf16>)
    return
  }
}
