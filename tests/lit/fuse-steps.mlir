// mrs-fuse-steps (optional): for GPUs, steps that follow one another become one kernel. Each has the bits of those that it
// stands for; what only the next of them read is no value any more.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-fuse-steps | FileCheck %s

// A residual sum and the norm of it: two results, as others read the sum. Its layer is the norm's, whose weight it reads.
// CHECK-LABEL: func.func @sum_and_norm
// CHECK: %[[W:.*]] = mrs.weight "l1.input_norm.weight"
// CHECK: %[[S:.*]], %[[N:.*]] = mrs.add_rms_norm "l0.mlp_add+l1.input_norm" %[[A:.*]], %[[B:.*]], %[[W]] {eps = {{.*}}, layer = 1 : i64}
// CHECK-NOT: mrs.rms_norm
// CHECK: mrs.matmul "l1.q_proj" %[[N]],
// CHECK: mrs.add "l1.attention_add" %[[S]],
module attributes {mrs.ranks = [{kind = "cuda", memory = 1 : i64}]} {
  func.func @sum_and_norm(%a: !mrs.tensor<[T, 64], f32>, %b: !mrs.tensor<[T, 64], f32>) {
    %s = mrs.add "l0.mlp_add" %a, %b {layer = 0 : i64} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>) -> !mrs.tensor<[T, 64], f32>
    %w = mrs.weight "l1.input_norm.weight" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %n = mrs.rms_norm "l1.input_norm" %s, %w {eps = 1.0e-05 : f32, layer = 1 : i64} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> !mrs.tensor<[T, 64], bf16>
    %m = mrs.weight "l1.q_proj.weight" {n_dims = 1 : i64, sources = [{}]} : <[64, 64], bf16>
    %q = mrs.matmul "l1.q_proj" %n, [%m] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[64, 64], bf16>) -> !mrs.tensor<[T, 64], f32>
    %t = mrs.add "l1.attention_add" %s, %q : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>) -> !mrs.tensor<[T, 64], f32>
    return
  }
}

// -----
// The rotations of q and k, and the append: with all that each of them was told.
// CHECK-LABEL: func.func @turn_and_append
// CHECK: %[[Q:.*]], %[[C:.*]] = mrs.rope_append "l0.q_rope+k_rope+kv_append" %[[X:.*]], %[[K:.*]], %[[V:.*]], %[[ANGLES:.*]], %[[SLOTS:.*]] {interleaved = true, kv_class = 1 : i64, kv_layer = 2 : i64, layer = 0 : i64, rope = 3 : i64, window = 4 : i64}
// CHECK-SAME: -> (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[B, 4{tp 2}, 32], bf16>)
// CHECK-NEXT: mrs.attention "l0.attention" %[[Q]], %[[C]],
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}, {kind = "cuda", memory = 1 : i64}]} {
  func.func @turn_and_append(%q: !mrs.tensor<[T, 8{tp 4}, 32], f32>, %k: !mrs.tensor<[T, 4{tp 2}, 32], f32>, %v: !mrs.tensor<[T, 4{tp 2}, 32], f32>, %a: !mrs.tensor<[T, 32], f32>, %i: !mrs.tensor<[T], i32>, %b: !mrs.tensor<[S, 8], i32>) {
    %qr = mrs.rope "l0.q_rope" %q, %a {rope = 3 : i64, interleaved = true, layer = 0 : i64} : (!mrs.tensor<[T, 8{tp 4}, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 8{tp 4}, 32], bf16>
    %kr = mrs.rope "l0.k_rope" %k, %a {rope = 3 : i64, interleaved = true, layer = 0 : i64} : (!mrs.tensor<[T, 4{tp 2}, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 4{tp 2}, 32], bf16>
    %c = mrs.kv_append "l0.kv_append" %kr, %v, %i {kv_class = 1 : i64, kv_layer = 2 : i64, window = 4 : i64, layer = 0 : i64} : (!mrs.tensor<[T, 4{tp 2}, 32], bf16>, !mrs.tensor<[T, 4{tp 2}, 32], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 4{tp 2}, 32], bf16>
    %y = mrs.attention "l0.attention" %qr, %c, %i, %i, %b {scale = 0.25 : f32, window = 4 : i64} : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[B, 4{tp 2}, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8{tp 4}, 32], bf16>
    return
  }
}

// -----
// What comes between, and what somebody else reads too, stays: here q is scaled after it has turned; and the norm is of one
// head after another, of what was not a sum, or runs in one variant alone.
// CHECK-LABEL: func.func @stays
// CHECK: mrs.rope "q_rope"
// CHECK: mrs.rope "k_rope"
// CHECK: mrs.position_scale "q_scale"
// CHECK: mrs.kv_append "append"
// CHECK: mrs.rms_norm "of_heads"
// CHECK: mrs.rms_norm "of_no_sum"
// CHECK: mrs.add "sum"
// CHECK: mrs.rms_norm "sometimes"
module attributes {mrs.ranks = [{kind = "cuda", memory = 1 : i64}]} {
  func.func @stays(%q: !mrs.tensor<[T, 2, 32], f32>, %x: !mrs.tensor<[T, 64], f32>, %a: !mrs.tensor<[T, 32], f32>, %i: !mrs.tensor<[T], i32>, %b: !mrs.tensor<[S, 8], i32>) {
    %qr = mrs.rope "q_rope" %q, %a {rope = 0 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 2, 32], bf16>
    %kr = mrs.rope "k_rope" %q, %a {rope = 0 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 2, 32], bf16>
    %qs = mrs.position_scale "q_scale" %qr, %i {beta = 0.5 : f32, original = 64 : i64} : (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 2, 32], bf16>
    %c = mrs.kv_append "append" %kr, %q, %i {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 2, 32], bf16>
    %y = mrs.attention "attention" %qs, %c, %i, %i, %b {scale = 0.25 : f32} : (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 2, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 2, 32], bf16>
    %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %z = mrs.add "sum_of_heads" %q, %q : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 2, 32], f32>) -> !mrs.tensor<[T, 2, 32], f32>
    %1 = mrs.rms_norm "of_heads" %z, %v {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[32], f32>) -> !mrs.tensor<[T, 2, 32], bf16>
    %2 = mrs.rms_norm "of_no_sum" %x, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> !mrs.tensor<[T, 64], bf16>
    %s = mrs.add "sum" %x, %x : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>) -> !mrs.tensor<[T, 64], f32>
    %3 = mrs.rms_norm "sometimes" %s, %w {eps = 1.0e-05 : f32, variant = "all_logits"} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> !mrs.tensor<[T, 64], bf16>
    return
  }
}

// -----
// Gate and up, and what they are gated by: with their biases, and in the layer of their weights. Of three results the first
// two are memory that it uses.
// CHECK-LABEL: func.func @products_and_gate
// CHECK: %{{.*}}, %{{.*}}, %[[H:.*]] = mrs.gated_matmul "l0.gate_proj+up_proj+silu_mul" %[[X:.*]], [%[[G:.*]], %[[U:.*]]] bias[%[[A:.*]], %[[B:.*]]] {activation = "silu", layer = 0 : i64}
// CHECK-SAME: -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], bf16>)
// CHECK-NOT: silu_mul"
// CHECK: mrs.matmul "l0.down_proj" %[[H]],
// CHECK: mrs.gated_matmul "l1.gate_proj+up_proj+gelu_mul" %[[X]], [%[[G]], %[[U]]] {activation = "gelu"}
// CHECK: mrs.gated_matmul "l2.gate_proj+up_proj+gelu_mul" %[[X]], [%[[G]], %[[U]]] {activation = "gelu_tanh"}
module attributes {mrs.ranks = [{kind = "cuda", memory = 1 : i64}]} {
  func.func @products_and_gate(%x: !mrs.tensor<[T, 64], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
    %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
    %a = mrs.weight "a" {n_dims = 1 : i64, sources = [{}]} : <[32], f32>
    %b = mrs.weight "b" {n_dims = 1 : i64, sources = [{}]} : <[32], f32>
    %d = mrs.weight "d" {n_dims = 1 : i64, sources = [{}]} : <[64, 32], bf16>
    %0:2 = mrs.matmul "l0.gate_proj+up_proj" %x, [%w, %v] bias [%a, %b] {layer = 0 : i64} : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32], f32>, !mrs.tensor<[32], f32>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %1 = mrs.silu_mul "l0.silu_mul" %0#0, %0#1 {layer = 0 : i64} : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    %2 = mrs.matmul "l0.down_proj" %1, [%d] : (!mrs.tensor<[T, 32], bf16>, !mrs.tensor<[64, 32], bf16>) -> !mrs.tensor<[T, 64], f32>
    %3:2 = mrs.matmul "l1.gate_proj+up_proj" %x, [%w, %v] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %4 = mrs.gelu_mul "l1.gelu_mul" %3#0, %3#1 {approximate = false} : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    %5:2 = mrs.matmul "l2.gate_proj+up_proj" %x, [%w, %v] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %6 = mrs.gelu_mul "l2.gelu_mul" %5#0, %5#1 {approximate = true} : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    return
  }
}

// -----
// Products that others read too, that are more than two or not one operation, up by gate, one gated by itself, and what runs
// in one variant alone: all stay.
// CHECK-LABEL: func.func @products_stay
// CHECK-NOT: mrs.gated_matmul
// CHECK: return
module attributes {mrs.ranks = [{kind = "cuda", memory = 1 : i64}]} {
  func.func @products_stay(%x: !mrs.tensor<[T, 64], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
    %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
    %0:2 = mrs.matmul "gate_is_read" %x, [%w, %v] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %1 = mrs.silu_mul "a" %0#0, %0#1 : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    %2 = mrs.add "sum" %0#0, %0#0 : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], f32>
    %3:2 = mrs.matmul "up_is_read" %x, [%w, %v] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %4 = mrs.silu_mul "b" %3#0, %3#1 : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    %5 = mrs.add "sum" %3#1, %3#1 : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], f32>
    %6:3 = mrs.matmul "three" %x, [%w, %v, %w] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %7 = mrs.silu_mul "c" %6#0, %6#1 : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    %8 = mrs.matmul "one" %x, [%w] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> !mrs.tensor<[T, 32], f32>
    %9 = mrs.matmul "other" %x, [%v] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> !mrs.tensor<[T, 32], f32>
    %10 = mrs.silu_mul "d" %8, %9 : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    %11:2 = mrs.matmul "crossed" %x, [%w, %v] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %12 = mrs.silu_mul "e" %11#1, %11#0 : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    %13:2 = mrs.matmul "by_itself" %x, [%w, %v] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %14 = mrs.gelu_mul "f" %13#0, %13#0 {approximate = false} : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    %15:2 = mrs.matmul "sometimes" %x, [%w, %v] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %16 = mrs.silu_mul "g" %15#0, %15#1 {variant = "candidates"} : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    return
  }
}

// -----
// Of CPU ranks nothing is joined.
// CHECK-LABEL: func.func @cpu
// CHECK: mrs.add "sum"
// CHECK: mrs.rms_norm "norm"
// CHECK: mrs.matmul "products"
// CHECK: mrs.silu_mul "gated"
module attributes {mrs.ranks = [{kind = "cpu", memory = 1 : i64}]} {
  func.func @cpu(%a: !mrs.tensor<[T, 64], f32>) {
    %s = mrs.add "sum" %a, %a : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>) -> !mrs.tensor<[T, 64], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %n = mrs.rms_norm "norm" %s, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> !mrs.tensor<[T, 64], bf16>
    %m = mrs.weight "m" {n_dims = 1 : i64, sources = [{}]} : <[32, 64], bf16>
    %y:2 = mrs.matmul "products" %n, [%m, %m] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[32, 64], bf16>, !mrs.tensor<[32, 64], bf16>) -> (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>)
    %h = mrs.silu_mul "gated" %y#0, %y#1 : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], bf16>
    return
  }
}
