// mrs-join-launches (optional): of GPUs, the products of Q, K and V are one launch with the rotation and the append after them,
// and a product is one with the residual's sum and its norm; so is, where they read each other's memory, a sum of ranks. The
// steps stay as they are; what the first leaves may be written nowhere, so nobody else may read it.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-join-launches | FileCheck %s

// CHECK-LABEL: func.func @joined
// CHECK: mrs.all_reduce "l0.o_proj.all_reduce"
// CHECK-NOT: joined
// CHECK: mrs.add_rms_norm "l0.attention_add+post_norm" {{.*}} {{{.*}}joined
// Either operand may be the sum, and a weight between them is no step.
// CHECK: mrs.add_rms_norm "l0.mlp_add+input_norm" {{.*}} {{{.*}}joined
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc"} {
  func.func @joined(%x: !mrs.tensor<[T, 64], f32>, %p: !mrs.tensor<[T, 64], f32, partial{tp}>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %s = mrs.all_reduce "l0.o_proj.all_reduce" %p {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
    %r, %n = mrs.add_rms_norm "l0.attention_add+post_norm" %x, %s, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], bf16>)
    %t = mrs.all_reduce "l0.down_proj.all_reduce" %p {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
    %v = mrs.weight "v" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %q, %m = mrs.add_rms_norm "l0.mlp_add+input_norm" %t, %r, %v {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], bf16>)
    return
  }
}

// -----
// Not where others carry the sum.
// CHECK-LABEL: func.func @of_nccl
// CHECK-NOT: joined
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "nccl"} {
  func.func @of_nccl(%x: !mrs.tensor<[T, 64], f32>, %p: !mrs.tensor<[T, 64], f32, partial{tp}>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %s = mrs.all_reduce "sum" %p {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
    %r, %n = mrs.add_rms_norm "norm" %x, %s, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], bf16>)
    return
  }
}

// -----
// Nor where a step comes between, somebody else reads the sum too, it is added to itself, or something else is.
// CHECK-LABEL: func.func @apart
// CHECK-NOT: joined
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc"} {
  func.func @apart(%x: !mrs.tensor<[T, 64], f32>, %p: !mrs.tensor<[T, 64], f32, partial{tp}>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %s = mrs.all_reduce "between" %p {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
    %b = mrs.add_bias "bias" %x, %w : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> !mrs.tensor<[T, 64], f32>
    %0, %1 = mrs.add_rms_norm "norm0" %x, %s, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], bf16>)
    %t = mrs.all_reduce "read_twice" %p {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
    %2, %3 = mrs.add_rms_norm "norm2" %x, %t, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], bf16>)
    %a = mrs.add "reader" %2, %t : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>) -> !mrs.tensor<[T, 64], f32>
    %u = mrs.all_reduce "to_itself" %p {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
    %4, %5 = mrs.add_rms_norm "norm4" %u, %u, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], bf16>)
    %v = mrs.all_reduce "something_else" %p {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 64], f32, partial{tp}>) -> !mrs.tensor<[T, 64], f32>
    %6, %7 = mrs.add_rms_norm "norm6" %x, %a, %w {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>, !mrs.tensor<[64], f32>) -> (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], bf16>)
    %c = mrs.add "read" %6, %v : (!mrs.tensor<[T, 64], f32>, !mrs.tensor<[T, 64], f32>) -> !mrs.tensor<[T, 64], f32>
    return
  }
}

// -----
// Of one GPU: products with what follows them. Nothing is of two launches.
// CHECK-LABEL: func.func @products(
// CHECK: mrs.matmul "l0.q_proj+k_proj+v_proj"
// CHECK-NOT: joined
// CHECK: mrs.rope_append "l0.q_rope+k_rope+kv_append" {{.*}} joined
// CHECK-NEXT: mrs.attention
// CHECK-NOT: joined
// CHECK: mrs.add_rms_norm "l0.attention_add+post_norm" {{.*}} joined
// CHECK-NEXT: mrs.matmul "l0.down_proj"
// CHECK-NOT: joined
// CHECK: mrs.add_rms_norm "l0.mlp_add+input_norm" {{.*}} joined
!T = !mrs.tensor<[T, 64], f32>
!N = !mrs.tensor<[T, 64], bf16>
!Q = !mrs.tensor<[T, 2, 32], f32>
!K = !mrs.tensor<[T, 1, 32], f32>
!R = !mrs.tensor<[T, 2, 32], bf16>
!C = !mrs.tensor<[B, 1, 32], bf16>
!W2 = !mrs.tensor<[2, 32, 64], bf16>
!W1 = !mrs.tensor<[1, 32, 64], bf16>
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}]} {
  func.func @products(%x: !T, %n: !N, %angles: !mrs.tensor<[T, 32], f32>, %i: !mrs.tensor<[T], i32>, %b: !mrs.tensor<[S, 8], i32>) {
    %wq = mrs.weight "wq" {n_dims = 2 : i64, sources = [{}]} : <[2, 32, 64], bf16>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, sources = [{}]} : <[1, 32, 64], bf16>
    %wo = mrs.weight "wo" {n_dims = 1 : i64, sources = [{}]} : <[64, 2, 32], bf16>
    %m = mrs.weight "m" {n_dims = 1 : i64, sources = [{}]} : <[64, 64], bf16>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %q, %k, %v = mrs.matmul "l0.q_proj+k_proj+v_proj" %n, [%wq, %wk, %wk] : (!N, !W2, !W1, !W1) -> (!Q, !K, !K)
    %r, %c = mrs.rope_append "l0.q_rope+k_rope+kv_append" %q, %k, %v, %angles, %i {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64} : (!Q, !K, !K, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!R, !C)
    %a = mrs.attention "l0.attention" %r, %c, %i, %i, %b {kv_class = 0 : i64, kv_layer = 0 : i64, scale = 1.0 : f32} : (!R, !C, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !R
    %o = mrs.matmul "l0.o_proj" %a, [%wo] : (!R, !mrs.tensor<[64, 2, 32], bf16>) -> !T
    %s, %h = mrs.add_rms_norm "l0.attention_add+post_norm" %x, %o, %w {eps = 1.0e-05 : f32} : (!T, !T, !mrs.tensor<[64], f32>) -> (!T, !N)
    %d = mrs.matmul "l0.down_proj" %h, [%m] : (!N, !mrs.tensor<[64, 64], bf16>) -> !T
    %t, %g = mrs.add_rms_norm "l0.mlp_add+input_norm" %d, %s, %w {eps = 1.0e-05 : f32} : (!T, !T, !mrs.tensor<[64], f32>) -> (!T, !N)
    return
  }
}

// -----
// Not of CPU ranks, whose steps these are not.
// CHECK-LABEL: func.func @of_cpus
// CHECK-NOT: joined
!T = !mrs.tensor<[T, 64], f32>
!N = !mrs.tensor<[T, 64], bf16>
!Q = !mrs.tensor<[T, 2, 32], f32>
!K = !mrs.tensor<[T, 1, 32], f32>
!R = !mrs.tensor<[T, 2, 32], bf16>
!C = !mrs.tensor<[B, 1, 32], bf16>
!W2 = !mrs.tensor<[2, 32, 64], bf16>
!W1 = !mrs.tensor<[1, 32, 64], bf16>
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cpu", memory = 1 : i64}]} {
  func.func @of_cpus(%x: !T, %n: !N, %angles: !mrs.tensor<[T, 32], f32>, %i: !mrs.tensor<[T], i32>) {
    %wq = mrs.weight "wq" {n_dims = 2 : i64, sources = [{}]} : <[2, 32, 64], bf16>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, sources = [{}]} : <[1, 32, 64], bf16>
    %m = mrs.weight "m" {n_dims = 1 : i64, sources = [{}]} : <[64, 64], bf16>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %q, %k, %v = mrs.matmul "products" %n, [%wq, %wk, %wk] : (!N, !W2, !W1, !W1) -> (!Q, !K, !K)
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %i {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64} : (!Q, !K, !K, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!R, !C)
    %o = mrs.matmul "product" %n, [%m] : (!N, !mrs.tensor<[64, 64], bf16>) -> !T
    %s, %h = mrs.add_rms_norm "norm" %x, %o, %w {eps = 1.0e-05 : f32} : (!T, !T, !mrs.tensor<[64], f32>) -> (!T, !N)
    return
  }
}

// -----
// Nor where the angles are made between, of K and V exchanged, of four products, of q that somebody else reads too, where
// neighbours are turned, or a part of each head; nor a product that somebody else reads too, or one of two.
// CHECK-LABEL: func.func @products_apart(
// CHECK-NOT: joined
!T = !mrs.tensor<[T, 64], f32>
!N = !mrs.tensor<[T, 64], bf16>
!Q = !mrs.tensor<[T, 2, 32], f32>
!K = !mrs.tensor<[T, 1, 32], f32>
!R = !mrs.tensor<[T, 2, 32], bf16>
!C = !mrs.tensor<[B, 1, 32], bf16>
!W2 = !mrs.tensor<[2, 32, 64], bf16>
!W1 = !mrs.tensor<[1, 32, 64], bf16>
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}]} {
  func.func @products_apart(%x: !T, %n: !N, %angles: !mrs.tensor<[T, 32], f32>, %few: !mrs.tensor<[T, 16], f32>, %i: !mrs.tensor<[T], i32>) {
    %wq = mrs.weight "wq" {n_dims = 2 : i64, sources = [{}]} : <[2, 32, 64], bf16>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, sources = [{}]} : <[1, 32, 64], bf16>
    %m = mrs.weight "m" {n_dims = 1 : i64, sources = [{}]} : <[64, 64], bf16>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64], f32>
    %q0, %k0, %v0 = mrs.matmul "products0" %n, [%wq, %wk, %wk] : (!N, !W2, !W1, !W1) -> (!Q, !K, !K)
    %made = mrs.rope_angles "between" %i {rope = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %r0, %c0 = mrs.rope_append "append0" %q0, %k0, %v0, %made, %i {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64} : (!Q, !K, !K, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!R, !C)
    %q1, %k1, %v1 = mrs.matmul "products1" %n, [%wq, %wk, %wk] : (!N, !W2, !W1, !W1) -> (!Q, !K, !K)
    %r1, %c1 = mrs.rope_append "append1" %q1, %v1, %k1, %angles, %i {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 1 : i64} : (!Q, !K, !K, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!R, !C)
    %q2, %k2, %v2, %u2 = mrs.matmul "products2" %n, [%wq, %wk, %wk, %wk] : (!N, !W2, !W1, !W1, !W1) -> (!Q, !K, !K, !K)
    %r2, %c2 = mrs.rope_append "append2" %q2, %k2, %v2, %angles, %i {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 2 : i64} : (!Q, !K, !K, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!R, !C)
    %q3, %k3, %v3 = mrs.matmul "products3" %n, [%wq, %wk, %wk] : (!N, !W2, !W1, !W1) -> (!Q, !K, !K)
    %r3, %c3 = mrs.rope_append "append3" %q3, %k3, %v3, %angles, %i {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 3 : i64} : (!Q, !K, !K, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!R, !C)
    %e = mrs.add "reader" %q3, %q3 : (!Q, !Q) -> !Q
    %q4, %k4, %v4 = mrs.matmul "products4" %n, [%wq, %wk, %wk] : (!N, !W2, !W1, !W1) -> (!Q, !K, !K)
    %r4, %c4 = mrs.rope_append "append4" %q4, %k4, %v4, %angles, %i {rope = 0 : i64, interleaved = true, kv_class = 0 : i64, kv_layer = 4 : i64} : (!Q, !K, !K, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!R, !C)
    %q5, %k5, %v5 = mrs.matmul "products5" %n, [%wq, %wk, %wk] : (!N, !W2, !W1, !W1) -> (!Q, !K, !K)
    %r5, %c5 = mrs.rope_append "append5" %q5, %k5, %v5, %few, %i {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 5 : i64} : (!Q, !K, !K, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[T], i32>) -> (!R, !C)
    %o = mrs.matmul "read_twice" %n, [%m] : (!N, !mrs.tensor<[64, 64], bf16>) -> !T
    %s0, %h0 = mrs.add_rms_norm "norm0" %x, %o, %w {eps = 1.0e-05 : f32} : (!T, !T, !mrs.tensor<[64], f32>) -> (!T, !N)
    %f = mrs.add "another" %s0, %o : (!T, !T) -> !T
    %g, %j = mrs.matmul "two" %n, [%m, %m] : (!N, !mrs.tensor<[64, 64], bf16>, !mrs.tensor<[64, 64], bf16>) -> (!T, !T)
    %s1, %h1 = mrs.add_rms_norm "norm1" %x, %g, %w {eps = 1.0e-05 : f32} : (!T, !T, !mrs.tensor<[64], f32>) -> (!T, !N)
    %p = mrs.matmul "sometimes" %n, [%m] : (!N, !mrs.tensor<[64, 64], bf16>) -> !T
    %s2, %h2 = mrs.add_rms_norm "norm2" %x, %p, %w {eps = 1.0e-05 : f32, variant = "candidates"} : (!T, !T, !mrs.tensor<[64], f32>) -> (!T, !N)
    return
  }
}
