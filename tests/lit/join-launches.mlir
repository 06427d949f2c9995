// mrs-join-launches (optional): of GPUs that read each other's memory, a sum of ranks is one launch with the residual's sum
// and the norm after it. The steps stay as they are; what the first leaves is written nowhere, so nobody else may read it.
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
