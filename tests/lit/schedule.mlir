// mrs-schedule: numbers the steps in the order they run, and the collectives in the order that all ranks issue them. Steps
// of one variant only come last, so that what both variants share is one run; each variant counts its own collectives.
// RUN: mrs-opt %s -verify-diagnostics -mrs-schedule | FileCheck %s

// CHECK-LABEL: func.func @variants
// CHECK: mrs.embed "embed" {{.*}}step = 0 : i64
// CHECK: mrs.all_reduce "embed.all_reduce" {{.*}}order = 0 : i64, step = 1 : i64
// CHECK: mrs.matmul "lm_head" {{.*}}step = 2 : i64
// CHECK: mrs.top_candidates "top_candidates" {{.*}}step = 3 : i64, variant = "candidates"
// CHECK: mrs.all_gather "top_candidates.all_gather" {{.*}}order = 1 : i64, step = 4 : i64, variant = "candidates"
// CHECK: mrs.all_gather "lm_head.all_gather" {{.*}}order = 1 : i64, step = 5 : i64, variant = "all_logits"
// CHECK: mrs.output "all_logits"
// CHECK-NEXT: mrs.output "candidates"
// CHECK-NEXT: return
// Inputs and weights are no steps.
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @variants(%ids: !mrs.tensor<[L], i32>) {
    %table = mrs.weight "embed.weight" {n_dims = 1 : i64, sources = [{}]} : <[2048{tp 1024}, 256], f32>
    %x = mrs.embed "embed" %ids, %table {vocab_valid = 2003 : i64} : (!mrs.tensor<[L], i32>, !mrs.tensor<[2048{tp 1024}, 256], f32>) -> !mrs.tensor<[L, 256], f32, partial{tp}>
    %s = mrs.all_reduce "embed.all_reduce" %x {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[L, 256], f32, partial{tp}>) -> !mrs.tensor<[L, 256], f32>
    %logits = mrs.matmul "lm_head" %s, [%table] : (!mrs.tensor<[L, 256], f32>, !mrs.tensor<[2048{tp 1024}, 256], f32>) -> !mrs.tensor<[L, 2048{tp 1024}], f32>
    %all = mrs.all_gather "lm_head.all_gather" %logits {axis = "tp", variant = "all_logits"} : (!mrs.tensor<[L, 2048{tp 1024}], f32>) -> !mrs.tensor<[L, 2048], f32>
    mrs.output "all_logits" %all : <[L, 2048], f32>
    %best = mrs.top_candidates "top_candidates" %logits {variant = "candidates", vocab_valid = 2003 : i64} : (!mrs.tensor<[L, 2048{tp 1024}], f32>) -> !mrs.tensor<[L, 16{tp 8}], !mrs.candidates<24>>
    %records = mrs.all_gather "top_candidates.all_gather" %best {axis = "tp", variant = "candidates"} : (!mrs.tensor<[L, 16{tp 8}], !mrs.candidates<24>>) -> !mrs.tensor<[L, 16], !mrs.candidates<24>>
    mrs.output "candidates" %records : <[L, 16], !mrs.candidates<24>>
    return
  }
}
