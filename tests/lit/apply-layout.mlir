// mrs-apply-layout: puts the model on the mesh that mrs.layout has, and splits the few values from which everything else
// follows: query heads, the width of gated products, and the vocabulary, at both ends.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-apply-layout | FileCheck %s

// CHECK: module attributes {mrs.buckets = array<i64: 4, 2, 2>
// CHECK-SAME: mrs.mesh = {tp = 2 : i64}
// CHECK-LABEL: func.func @seeds
// CHECK: mrs.embed "x" {{.*}} !mrs.tensor<[2048{tp 1024}, 64], bf16>) -> !mrs.tensor<[T, 64], f32>
// CHECK: mrs.attention "a" {{.*}} : (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[B, 4, 32], bf16>
// CHECK: mrs.silu_mul "s" {{.*}} : (!mrs.tensor<[T, 512{tp 256}], f32>, !mrs.tensor<[T, 512], f32>)
// CHECK: mrs.gelu_mul "g" {{.*}} : (!mrs.tensor<[T, 384{tp 192}], f32>, !mrs.tensor<[T, 384], f32>)
// CHECK: mrs.top_candidates "best" {{.*}} : (!mrs.tensor<[L, 2048{tp 1024}], f32>)
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {tp = 2 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}]}} {
  func.func @seeds(%i: !mrs.tensor<[T], i32>, %c: !mrs.tensor<[B, 4, 32], bf16>, %blocks: !mrs.tensor<[S, 8], i32>) {
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[2048, 64], bf16>
    %q = mrs.recv "q" {peer = 0 : i64} : <[T, 8, 32], bf16>
    %s0 = mrs.recv "s0" {peer = 0 : i64} : <[T, 512], f32>
    %s1 = mrs.recv "s1" {peer = 0 : i64} : <[T, 512], f32>
    %g0 = mrs.recv "g0" {peer = 0 : i64} : <[T, 384], f32>
    %g1 = mrs.recv "g1" {peer = 0 : i64} : <[T, 384], f32>
    %logits = mrs.recv "logits" {peer = 0 : i64} : <[L, 2048], f32>
    %x = mrs.embed "x" %i, %table {vocab_valid = 2003 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[2048, 64], bf16>) -> !mrs.tensor<[T, 64], f32>
    %a = mrs.attention "a" %q, %c, %i, %i, %blocks {scale = 0.25 : f32} : (!mrs.tensor<[T, 8, 32], bf16>, !mrs.tensor<[B, 4, 32], bf16>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 8, 32], bf16>
    %s = mrs.silu_mul "s" %s0, %s1 : (!mrs.tensor<[T, 512], f32>, !mrs.tensor<[T, 512], f32>) -> !mrs.tensor<[T, 512], bf16>
    %g = mrs.gelu_mul "g" %g0, %g1 {approximate = true} : (!mrs.tensor<[T, 384], f32>, !mrs.tensor<[T, 384], f32>) -> !mrs.tensor<[T, 384], bf16>
    %best = mrs.top_candidates "best" %logits {vocab_valid = 2003 : i64} : (!mrs.tensor<[L, 2048], f32>) -> !mrs.tensor<[L, 16], !mrs.candidates<24>>
    return
  }
}

// -----
// One rank: nothing is split.
// CHECK: mrs.mesh = {tp = 1 : i64}
// CHECK-LABEL: func.func @one_rank
// CHECK-SAME: !mrs.tensor<[T, 512], f32>
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}]}} {
  func.func @one_rank(%g: !mrs.tensor<[T, 512], f32>) {
    %s = mrs.silu_mul "s" %g, %g : (!mrs.tensor<[T, 512], f32>, !mrs.tensor<[T, 512], f32>) -> !mrs.tensor<[T, 512], bf16>
    return
  }
}

// -----
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {tp = 4 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}]}} {
  func.func @does_not_split(%g: !mrs.tensor<[T, 510], f32>) {
    // expected-error@+1 {{'s' (mrs.silu_mul): dimension 1 of '!mrs.tensor<[T, 510], f32>' does not split over 4 ranks}}
    %s = mrs.silu_mul "s" %g, %g : (!mrs.tensor<[T, 510], f32>, !mrs.tensor<[T, 510], f32>) -> !mrs.tensor<[T, 510], bf16>
    return
  }
}

// -----
// expected-error@+1 {{the module has no mrs.layout; mrs-plan build --ir-out writes it}}
module {
  func.func @no_layout() {
    return
  }
}

// -----
// expected-error@+1 {{stage 1 of mrs.layout is {device = 1 : i64, layer_begin = 2 : i64, layer_end = 3 : i64}, expected a device, and layers that follow those of the stage before}}
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 2 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}, {device = 1 : i64, layer_begin = 2 : i64, layer_end = 3 : i64}]}} {
  func.func @a_layer_of_nobody() {
    return
  }
}

// -----
// expected-error@+1 {{mrs.layout has 1 stages, its mesh 2}}
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 2 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}]}} {
  func.func @another_mesh() {
    return
  }
}
