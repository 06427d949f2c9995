// mrs-fuse (optional): products of the same rows become one operation with several weights, one fork of the threads
// instead of two or three. Each keeps its own weight, bias and result, so no bit changes.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-fuse | FileCheck %s

// CHECK-LABEL: func.func @qkv
// CHECK: %[[Q:.*]] = mrs.weight "q"
// CHECK: %[[K:.*]] = mrs.weight "k"
// CHECK: %[[V:.*]] = mrs.weight "v"
// CHECK: %[[QKV:.*]]:3 = mrs.matmul "l0.q_proj+k_proj+v_proj" %{{.*}}, [%[[Q]], %[[K]], %[[V]]] :
// CHECK-SAME: -> (!mrs.tensor<[T, 8{tp 4}, 32], f32>, !mrs.tensor<[T, 4{tp 2}, 32], f32>, !mrs.tensor<[T, 4{tp 2}, 32], f32>)
// CHECK: mrs.kv_append "l0.kv_append" %[[QKV]]#1, %[[QKV]]#2
// CHECK-NOT: mrs.matmul
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @qkv(%x: !mrs.tensor<[T, 256], f32>, %slots: !mrs.tensor<[T], i32>) {
    %wq = mrs.weight "q" {n_dims = 2 : i64, sources = [{}]} : <[8{tp 4}, 32, 256], f32>
    %q = mrs.matmul "l0.q_proj" %x, [%wq] : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[8{tp 4}, 32, 256], f32>) -> !mrs.tensor<[T, 8{tp 4}, 32], f32>
    %wk = mrs.weight "k" {n_dims = 2 : i64, sources = [{}]} : <[4{tp 2}, 32, 256], f32>
    %k = mrs.matmul "l0.k_proj" %x, [%wk] : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[4{tp 2}, 32, 256], f32>) -> !mrs.tensor<[T, 4{tp 2}, 32], f32>
    %wv = mrs.weight "v" {n_dims = 2 : i64, sources = [{}]} : <[4{tp 2}, 32, 256], f32>
    %v = mrs.matmul "l0.v_proj" %x, [%wv] : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[4{tp 2}, 32, 256], f32>) -> !mrs.tensor<[T, 4{tp 2}, 32], f32>
    %c = mrs.kv_append "l0.kv_append" %k, %v, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 4{tp 2}, 32], f32>, !mrs.tensor<[T, 4{tp 2}, 32], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 4{tp 2}, 32], f32>
    return
  }
}

// -----
// Biases come along. A product with a bias never joins one without.
// CHECK-LABEL: func.func @biases
// CHECK: mrs.matmul "l0.gate_proj+up_proj" %{{.*}}, [%{{.*}}, %{{.*}}] bias[%{{.*}}, %{{.*}}] :
// CHECK: mrs.matmul "l0.other" %{{.*}}, [%{{.*}}] :
module {
  func.func @biases(%x: !mrs.tensor<[T, 64], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[128, 64], bf16>
    %b = mrs.weight "b" {n_dims = 1 : i64, sources = [{}]} : <[128], f32>
    %0 = mrs.matmul "l0.gate_proj" %x, [%w] bias [%b] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[128, 64], bf16>, !mrs.tensor<[128], f32>) -> !mrs.tensor<[T, 128], f32>
    %1 = mrs.matmul "l0.other" %x, [%w] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[128, 64], bf16>) -> !mrs.tensor<[T, 128], f32>
    %2 = mrs.matmul "l0.up_proj" %x, [%w] bias [%b] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[128, 64], bf16>, !mrs.tensor<[128], f32>) -> !mrs.tensor<[T, 128], f32>
    return
  }
}

// -----
// Products of different rows, and those whose results are partial sums, stay as they are.
// CHECK-LABEL: func.func @not_siblings
// CHECK: mrs.matmul "a"
// CHECK: mrs.matmul "b"
// CHECK: mrs.matmul "c"
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @not_siblings(%x: !mrs.tensor<[T, 64], bf16>, %y: !mrs.tensor<[T, 64{tp 32}], bf16>) {
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[64, 64], bf16>
    %v = mrs.weight "v" {n_dims = 1 : i64, chunks = 2 : i64, sources = [{}]} : <[64, 64{tp 32}], bf16>
    %a = mrs.matmul "a" %x, [%w] : (!mrs.tensor<[T, 64], bf16>, !mrs.tensor<[64, 64], bf16>) -> !mrs.tensor<[T, 64], f32>
    %b = mrs.matmul "b" %y, [%v] : (!mrs.tensor<[T, 64{tp 32}], bf16>, !mrs.tensor<[64, 64{tp 32}], bf16>) -> !mrs.tensor<[T, 64], f32, partial{tp}>
    %c = mrs.matmul "c" %y, [%v] : (!mrs.tensor<[T, 64{tp 32}], bf16>, !mrs.tensor<[64, 64{tp 32}], bf16>) -> !mrs.tensor<[T, 64], f32, partial{tp}>
    return
  }
}
