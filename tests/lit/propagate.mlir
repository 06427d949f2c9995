// mrs-propagate: from the few values that mrs-apply-layout split, splits spread to every value by the factor maps of the
// operations (ir/mrs_ops.td), along each axis, forwards and backwards, until nothing changes.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-propagate | FileCheck %s

// Column split: where rows of a weight (its outputs) are split, so is the result.
// CHECK-LABEL: func.func @column_split
// CHECK: mrs.weight "gate" {n_dims = 1 : i64, sources = [{}]} : <[512{tp 256}, 256], bf16>
// CHECK: mrs.matmul "gate_proj"
// CHECK-SAME: -> !mrs.tensor<[T, 512{tp 256}], f32>
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @column_split(%x: !mrs.tensor<[T, 256], bf16>) {
    %w = mrs.weight "gate" {n_dims = 1 : i64, sources = [{}]} : <[512{tp 256}, 256], bf16>
    %y = mrs.matmul "gate_proj" %x, [%w] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[512{tp 256}, 256], bf16>) -> !mrs.tensor<[T, 512], f32>
    return
  }
}

// -----
// Row split: where K is split, each rank sums a part of it, and the result is a partial sum.
// CHECK-LABEL: func.func @row_split
// CHECK: mrs.weight "down" {{.*}} : <[256, 512{tp 256}], bf16>
// CHECK: mrs.matmul "down_proj"
// CHECK-SAME: -> !mrs.tensor<[T, 256], f32, partial{tp}>
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @row_split(%g: !mrs.tensor<[T, 512{tp 256}], f32>) {
    %u = mrs.silu_mul "silu_mul" %g, %g : (!mrs.tensor<[T, 512{tp 256}], f32>, !mrs.tensor<[T, 512{tp 256}], f32>) -> !mrs.tensor<[T, 512], bf16>
    %w = mrs.weight "down" {n_dims = 1 : i64, sources = [{}], chunks = 16 : i64} : <[256, 512], bf16>
    %y = mrs.matmul "down_proj" %u, [%w] : (!mrs.tensor<[T, 512], bf16>, !mrs.tensor<[256, 512], bf16>) -> !mrs.tensor<[T, 256], f32>
    return
  }
}

// -----
// Backwards: gate is seeded, up is not; silu_mul wants both alike, so the split flows back into up_proj and its weight.
// CHECK-LABEL: func.func @backwards
// CHECK: mrs.weight "up" {{.*}} : <[512{tp 128}, 256], bf16>
// CHECK: mrs.matmul "up_proj"
// CHECK-SAME: -> !mrs.tensor<[T, 512{tp 128}], f32>
// CHECK: mrs.silu_mul "silu_mul"
// CHECK-SAME: -> !mrs.tensor<[T, 512{tp 128}], bf16>
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @backwards(%x: !mrs.tensor<[T, 256], bf16>) {
    %wu = mrs.weight "up" {n_dims = 1 : i64, sources = [{}]} : <[512, 256], bf16>
    %u = mrs.matmul "up_proj" %x, [%wu] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[512, 256], bf16>) -> !mrs.tensor<[T, 512], f32>
    %wg = mrs.weight "gate" {n_dims = 1 : i64, sources = [{}]} : <[512{tp 128}, 256], bf16>
    %g = mrs.matmul "gate_proj" %x, [%wg] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[512{tp 128}, 256], bf16>) -> !mrs.tensor<[T, 512], f32>
    %h = mrs.silu_mul "silu_mul" %g, %u : (!mrs.tensor<[T, 512], f32>, !mrs.tensor<[T, 512], f32>) -> !mrs.tensor<[T, 512], bf16>
    return
  }
}

// -----
// KV heads are the coarse side of query heads: 8 query heads on 4 ranks read 4 KV heads, one a rank. From attention the
// split flows back through the cache to K, its weight and its bias. Only the query heads are seeded.
// CHECK-LABEL: func.func @kv_heads_split
// CHECK: mrs.weight "q.weight" {{.*}} : <[8{tp 2}, 32, 256], bf16>
// CHECK: mrs.weight "k.weight" {{.*}} : <[4{tp 1}, 32, 256], bf16>
// CHECK: mrs.weight "k.bias" {{.*}} : <[4{tp 1}, 32], f32>
// CHECK: mrs.matmul "k_proj"
// CHECK-SAME: -> !mrs.tensor<[T, 4{tp 1}, 32], f32>
// CHECK: mrs.kv_append "kv_append"
// CHECK-SAME: -> !mrs.tensor<[B, 4{tp 1}, 32], bf16>
// CHECK: mrs.attention "attention"
// CHECK-SAME: -> !mrs.tensor<[T, 8{tp 2}, 32], bf16>
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @kv_heads_split(%x: !mrs.tensor<[T, 256], bf16>, %angles: !mrs.tensor<[T, 32], f32>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    %wq = mrs.weight "q.weight" {n_dims = 2 : i64, sources = [{}]} : <[8{tp 2}, 32, 256], bf16>
    %wk = mrs.weight "k.weight" {n_dims = 2 : i64, sources = [{}]} : <[4, 32, 256], bf16>
    %bk = mrs.weight "k.bias" {n_dims = 2 : i64, sources = [{}]} : <[4, 32], f32>
    %q = mrs.matmul "q_proj" %x, [%wq] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[8{tp 2}, 32, 256], bf16>) -> !mrs.tensor<[T, 8, 32], f32>
    %k = mrs.matmul "k_proj" %x, [%wk] bias [%bk] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[4, 32, 256], bf16>, !mrs.tensor<[4, 32], f32>) -> !mrs.tensor<[T, 4, 32], f32>
    %qr = mrs.rope "q_rope" %q, %angles {rope = 0 : i64} : (!mrs.tensor<[T, 8, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 8, 32], bf16>
    %kr = mrs.rope "k_rope" %k, %angles {rope = 0 : i64} : (!mrs.tensor<[T, 4, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 4, 32], bf16>
    %c = mrs.kv_append "kv_append" %kr, %k, %i {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 4, 32], bf16>, !mrs.tensor<[T, 4, 32], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 4, 32], bf16>
    %a = mrs.attention "attention" %qr, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8, 32], bf16>, !mrs.tensor<[B, 4, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8, 32], bf16>
    return
  }
}

// -----
// More ranks than KV heads: 4 KV heads on 8 ranks, each on two neighbours.
// CHECK-LABEL: func.func @kv_heads_replicated
// CHECK: mrs.weight "q.weight" {{.*}} : <[8{tp 1}, 32, 256], bf16>
// CHECK: mrs.weight "k.weight" {{.*}} : <[4{tp 1 every 2}, 32, 256], bf16>
// CHECK: mrs.weight "k.bias" {{.*}} : <[4{tp 1 every 2}, 32], f32>
// CHECK: mrs.matmul "k_proj"
// CHECK-SAME: -> !mrs.tensor<[T, 4{tp 1 every 2}, 32], f32>
// CHECK: mrs.kv_append "kv_append"
// CHECK-SAME: -> !mrs.tensor<[B, 4{tp 1 every 2}, 32], bf16>
// CHECK: mrs.attention "attention"
// CHECK-SAME: -> !mrs.tensor<[T, 8{tp 1}, 32], bf16>
module attributes {mrs.mesh = {tp = 8 : i64}} {
  func.func @kv_heads_replicated(%x: !mrs.tensor<[T, 256], bf16>, %angles: !mrs.tensor<[T, 32], f32>, %i: !mrs.tensor<[T], i32>, %blocks: !mrs.tensor<[S, 8], i32>) {
    %wq = mrs.weight "q.weight" {n_dims = 2 : i64, sources = [{}]} : <[8{tp 1}, 32, 256], bf16>
    %wk = mrs.weight "k.weight" {n_dims = 2 : i64, sources = [{}]} : <[4, 32, 256], bf16>
    %bk = mrs.weight "k.bias" {n_dims = 2 : i64, sources = [{}]} : <[4, 32], f32>
    %q = mrs.matmul "q_proj" %x, [%wq] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[8{tp 1}, 32, 256], bf16>) -> !mrs.tensor<[T, 8, 32], f32>
    %k = mrs.matmul "k_proj" %x, [%wk] bias [%bk] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[4, 32, 256], bf16>, !mrs.tensor<[4, 32], f32>) -> !mrs.tensor<[T, 4, 32], f32>
    %qr = mrs.rope "q_rope" %q, %angles {rope = 0 : i64} : (!mrs.tensor<[T, 8, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 8, 32], bf16>
    %kr = mrs.rope "k_rope" %k, %angles {rope = 0 : i64} : (!mrs.tensor<[T, 4, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 4, 32], bf16>
    %c = mrs.kv_append "kv_append" %kr, %k, %i {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 4, 32], bf16>, !mrs.tensor<[T, 4, 32], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 4, 32], bf16>
    %a = mrs.attention "attention" %qr, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8, 32], bf16>, !mrs.tensor<[B, 4, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8, 32], bf16>
    return
  }
}

// -----
// 6 KV heads on 4 ranks neither divide nor replicate evenly.
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @kv_heads_do_not_fit(%q: !mrs.tensor<[T, 12{tp 3}, 32], bf16>, %c: !mrs.tensor<[B, 6, 32], bf16>, %i: !mrs.tensor<[T], i32>,
                                 %blocks: !mrs.tensor<[S, 8], i32>) {
    // expected-error@+1 {{'l0.attention' (mrs.attention): dimension 1 of '!mrs.tensor<[B, 6, 32], bf16>' neither divides nor replicates evenly over 4 ranks}}
    %a = mrs.attention "l0.attention" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 12{tp 3}, 32], bf16>, !mrs.tensor<[B, 6, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 12, 32], bf16>
    return
  }
}

// -----
// Two seeds that contradict each other: gate is cut in rank order, up the other way round. Propagation never overwrites a
// slice that is already said; the verifier then refuses the operation that would mix them.
// RUN: not mrs-opt %s -split-input-file -mrs-propagate -mrs-verify-sharding 2>&1 | FileCheck %s --check-prefix=CONFLICT
// CONFLICT: 'l0.silu_mul' (mrs.silu_mul): dimension 1 of '!mrs.tensor<[T, 512{tp 256 start 256 step -256}], f32>' is another slice than its other operands hold: on rank 0
// CHECK-LABEL: func.func @conflict
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @conflict(%g: !mrs.tensor<[T, 512{tp 256}], f32>, %u: !mrs.tensor<[T, 512{tp 256 start 256 step -256}], f32>) {
    %h = mrs.silu_mul "l0.silu_mul" %g, %u : (!mrs.tensor<[T, 512{tp 256}], f32>, !mrs.tensor<[T, 512{tp 256 start 256 step -256}], f32>) -> !mrs.tensor<[T, 512], bf16>
    return
  }
}

// -----
// Along each axis: heads over tp, the columns of a weight over ep, and so the result over both.
// CHECK-LABEL: func.func @two_axes
// CHECK: mrs.matmul "y"
// CHECK-SAME: -> !mrs.tensor<[T, 8{tp 4}, 32{ep 16}], f32>
module attributes {mrs.mesh = {ep = 2 : i64, tp = 2 : i64}} {
  func.func @two_axes(%x: !mrs.tensor<[T, 256], bf16>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[8{tp 4}, 32{ep 16}, 256], bf16>
    %y = mrs.matmul "y" %x, [%w] : (!mrs.tensor<[T, 256], bf16>, !mrs.tensor<[8{tp 4}, 32{ep 16}, 256], bf16>) -> !mrs.tensor<[T, 8, 32], f32>
    return
  }
}

// -----
// A sum is partial over every axis that splits its K.
// CHECK-LABEL: func.func @partial_over_both
// CHECK: mrs.weight "w" {{.*}} : <[64, 8{tp 4}, 32{ep 16}], bf16>
// CHECK: mrs.matmul "y"
// CHECK-SAME: -> !mrs.tensor<[T, 64], f32, partial{tp, ep}>
module attributes {mrs.mesh = {ep = 2 : i64, tp = 2 : i64}} {
  func.func @partial_over_both(%x: !mrs.tensor<[T, 8{tp 4}, 32{ep 16}], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, chunks = 8 : i64, sources = [{}]} : <[64, 8, 32], bf16>
    %y = mrs.matmul "y" %x, [%w] : (!mrs.tensor<[T, 8{tp 4}, 32{ep 16}], bf16>, !mrs.tensor<[64, 8, 32], bf16>) -> !mrs.tensor<[T, 64], f32>
    return
  }
}

// -----
// One axis cannot split two dimensions of a value: rank c would hold a diagonal.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @one_axis_twice(%x: !mrs.tensor<[T, 256{tp 128}], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64{tp 32}, 256], bf16>
    // expected-error@+1 {{'y' (mrs.matmul): dimension 1 of '!mrs.tensor<[64{tp 32}, 256], bf16>' would be split over tp, which splits another one}}
    %y = mrs.matmul "y" %x, [%w] : (!mrs.tensor<[T, 256{tp 128}], bf16>, !mrs.tensor<[64{tp 32}, 256], bf16>) -> !mrs.tensor<[T, 64], f32>
    return
  }
}

// -----
// The norm over the whole width of q: each rank sums its own heads, and scales them by the completed sum.
// CHECK-LABEL: func.func @whole_width_norm
// CHECK: mrs.sum_squares "q_sum"
// CHECK-SAME: -> !mrs.tensor<[T], f32, partial{tp}>
// CHECK: mrs.weight "q_norm.weight" {{.*}} : <[8{tp 4}, 32], f32>
// CHECK: mrs.rms_scale "q_norm"
// CHECK-SAME: -> !mrs.tensor<[T, 8{tp 4}, 32], f32>
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @whole_width_norm(%q: !mrs.tensor<[T, 8{tp 4}, 32], f32>) {
    %sum = mrs.sum_squares "q_sum" %q {chunks = 8 : i64} : (!mrs.tensor<[T, 8{tp 4}, 32], f32>) -> !mrs.tensor<[T], f32>
    %w = mrs.weight "q_norm.weight" {n_dims = 2 : i64, sources = [{}]} : <[8, 32], f32>
    %y = mrs.rms_scale "q_norm" %q, %sum, %w {width = 256 : i64, eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 8{tp 4}, 32], f32>, !mrs.tensor<[T], f32>, !mrs.tensor<[8, 32], f32>) -> !mrs.tensor<[T, 8, 32], f32>
    return
  }
}
