// mrs-cut-stages: one function a stage, as mrs.layout says. A layer's operations go to its stage; what comes before the
// first layer to the first, what comes after the last to the last. The residual stream is sent over each border.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-cut-stages | FileCheck %s

// Each stage has the inputs, weights and angles that it reads itself, and counts the layers of its cache from 0. The tied
// table is a weight of both.
// CHECK-LABEL: func.func @stage0() attributes {mrs.layers = array<i64: 0, 1>}
// CHECK: mrs.weight "table"
// CHECK: mrs.embed "embed"
// CHECK: mrs.rope_angles "angles"
// CHECK: mrs.input "slots"
// CHECK: mrs.kv_append "l0.append" {{.*}} {kv_class = 0 : i64, kv_layer = 0 : i64
// CHECK: %[[X:.*]] = mrs.add "l0.add"
// CHECK-NEXT: mrs.send "l0.add.send" %[[X]] {peer = 1 : i64} : <[T, 16], f32>
// CHECK-NOT: "logit_rows"
// CHECK-LABEL: func.func @stage1() attributes {mrs.layers = array<i64: 1, 2>}
// CHECK-NOT: "embed"
// CHECK: %[[R:.*]] = mrs.recv "l0.add.recv" {peer = 0 : i64} : <[T, 16], f32>
// CHECK: mrs.matmul "l1.k" %[[R]]
// CHECK: mrs.rope_angles "angles"
// CHECK: mrs.kv_append "l1.append" {{.*}} {kv_class = 0 : i64, kv_layer = 0 : i64
// CHECK: mrs.add "l1.add" %[[R]]
// CHECK: mrs.select_rows "select"
// CHECK: mrs.weight "table"
// CHECK: mrs.output "all_logits"
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 2 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}, {device = 1 : i64, layer_begin = 1 : i64, layer_end = 2 : i64}]}} {
  func.func @forward() {
    %i = mrs.input "positions" : <[T], i32>
    %slots = mrs.input "slots" : <[T], i32>
    %blocks = mrs.input "block_table" : <[S, 8], i32>
    %rows = mrs.input "logit_rows" : <[L], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    %x = mrs.embed "embed" %i, %table {vocab_valid = 32 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %angles = mrs.rope_angles "angles" %i {rope = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 16], f32>
    %w0 = mrs.weight "l0.w" {layer = 0 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k0 = mrs.matmul "l0.k" %x, [%w0] {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r0 = mrs.rope "l0.rope" %k0, %angles {layer = 0 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c0 = mrs.kv_append "l0.append" %r0, %k0, %slots {kv_class = 0 : i64, kv_layer = 0 : i64, layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a0 = mrs.attention "l0.attention" %r0, %c0, %i, %i, %blocks {layer = 0 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o0 = mrs.weight "l0.o" {layer = 0 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y0 = mrs.matmul "l0.y" %a0, [%o0] {layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x0 = mrs.add "l0.add" %x, %y0 {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %w1 = mrs.weight "l1.w" {layer = 1 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k1 = mrs.matmul "l1.k" %x0, [%w1] {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r1 = mrs.rope "l1.rope" %k1, %angles {layer = 1 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c1 = mrs.kv_append "l1.append" %r1, %k1, %slots {kv_class = 0 : i64, kv_layer = 1 : i64, layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a1 = mrs.attention "l1.attention" %r1, %c1, %i, %i, %blocks {layer = 1 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o1 = mrs.weight "l1.o" {layer = 1 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y1 = mrs.matmul "l1.y" %a1, [%o1] {layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x1 = mrs.add "l1.add" %x0, %y1 {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %s = mrs.select_rows "select" %x1, %rows : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[L], i32>) -> !mrs.tensor<[L, 16], f32>
    %logits = mrs.matmul "lm_head" %s, [%table] : (!mrs.tensor<[L, 16], f32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[L, 32], f32>
    mrs.output "all_logits" %logits : <[L, 32], f32>
    return
  }
}

// -----
// One stage has the program as it is.
// CHECK-LABEL: func.func @forward() attributes {mrs.layers = array<i64: 0, 2>}
// CHECK: mrs.kv_append "l1.append" {{.*}} {kv_class = 0 : i64, kv_layer = 1 : i64
// CHECK-NOT: mrs.send
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 2 : i64}]}} {
  func.func @forward() {
    %i = mrs.input "positions" : <[T], i32>
    %slots = mrs.input "slots" : <[T], i32>
    %blocks = mrs.input "block_table" : <[S, 8], i32>
    %rows = mrs.input "logit_rows" : <[L], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    %x = mrs.embed "embed" %i, %table {vocab_valid = 32 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %angles = mrs.rope_angles "angles" %i {rope = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 16], f32>
    %w0 = mrs.weight "l0.w" {layer = 0 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k0 = mrs.matmul "l0.k" %x, [%w0] {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r0 = mrs.rope "l0.rope" %k0, %angles {layer = 0 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c0 = mrs.kv_append "l0.append" %r0, %k0, %slots {kv_class = 0 : i64, kv_layer = 0 : i64, layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a0 = mrs.attention "l0.attention" %r0, %c0, %i, %i, %blocks {layer = 0 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o0 = mrs.weight "l0.o" {layer = 0 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y0 = mrs.matmul "l0.y" %a0, [%o0] {layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x0 = mrs.add "l0.add" %x, %y0 {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %w1 = mrs.weight "l1.w" {layer = 1 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k1 = mrs.matmul "l1.k" %x0, [%w1] {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r1 = mrs.rope "l1.rope" %k1, %angles {layer = 1 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c1 = mrs.kv_append "l1.append" %r1, %k1, %slots {kv_class = 0 : i64, kv_layer = 1 : i64, layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a1 = mrs.attention "l1.attention" %r1, %c1, %i, %i, %blocks {layer = 1 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o1 = mrs.weight "l1.o" {layer = 1 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y1 = mrs.matmul "l1.y" %a1, [%o1] {layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x1 = mrs.add "l1.add" %x0, %y1 {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %s = mrs.select_rows "select" %x1, %rows : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[L], i32>) -> !mrs.tensor<[L, 16], f32>
    %logits = mrs.matmul "lm_head" %s, [%table] : (!mrs.tensor<[L, 16], f32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[L, 32], f32>
    mrs.output "all_logits" %logits : <[L, 32], f32>
    return
  }
}

// -----
// Classes of the cache count from 0 in each stage, and so do their inputs: stage 1 has the window alone, its class 0.
// CHECK-LABEL: func.func @stage0()
// CHECK: mrs.input "slots" :
// CHECK: mrs.kv_append "l0.append" {{.*}} {kv_class = 0 : i64, kv_layer = 0 : i64, layer = 0 : i64}
// CHECK: mrs.input "slots.1" :
// CHECK: mrs.kv_append "l1.append" {{.*}} {kv_class = 1 : i64, kv_layer = 0 : i64, layer = 1 : i64, window = 16 : i64}
// CHECK: mrs.input "block_table.1" :
// CHECK-LABEL: func.func @stage1()
// CHECK: %[[SLOTS:.*]] = mrs.input "slots" :
// CHECK: mrs.kv_append "l2.append" {{.*}}, %[[SLOTS]] {kv_class = 0 : i64, kv_layer = 0 : i64, layer = 2 : i64, window = 16 : i64}
// CHECK: %[[BLOCKS:.*]] = mrs.input "block_table" :
// CHECK: mrs.attention "l2.attention" {{.*}}, %[[BLOCKS]] {
// CHECK-NOT: "slots.1"
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 2 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 2 : i64}, {device = 1 : i64, layer_begin = 2 : i64, layer_end = 3 : i64}]}} {
  func.func @forward() {
    %i = mrs.input "positions" : <[T], i32>
    %slots = mrs.input "slots" : <[T], i32>
    %blocks = mrs.input "block_table" : <[S, 8], i32>
    %rows = mrs.input "logit_rows" : <[L], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    %x = mrs.embed "embed" %i, %table {vocab_valid = 32 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %angles = mrs.rope_angles "angles" %i {rope = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 16], f32>
    %slots1 = mrs.input "slots.1" : <[T], i32>
    %blocks1 = mrs.input "block_table.1" : <[S, 8], i32>
    %w0 = mrs.weight "l0.w" {layer = 0 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k0 = mrs.matmul "l0.k" %x, [%w0] {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r0 = mrs.rope "l0.rope" %k0, %angles {layer = 0 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c0 = mrs.kv_append "l0.append" %r0, %k0, %slots {kv_class = 0 : i64, kv_layer = 0 : i64, layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a0 = mrs.attention "l0.attention" %r0, %c0, %i, %i, %blocks {layer = 0 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o0 = mrs.weight "l0.o" {layer = 0 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y0 = mrs.matmul "l0.y" %a0, [%o0] {layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x0 = mrs.add "l0.add" %x, %y0 {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %w1 = mrs.weight "l1.w" {layer = 1 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k1 = mrs.matmul "l1.k" %x0, [%w1] {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r1 = mrs.rope "l1.rope" %k1, %angles {layer = 1 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c1 = mrs.kv_append "l1.append" %r1, %k1, %slots1 {kv_class = 1 : i64, kv_layer = 0 : i64, layer = 1 : i64, window = 16 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a1 = mrs.attention "l1.attention" %r1, %c1, %i, %i, %blocks1 {layer = 1 : i64, scale = 0.25 : f32, window = 16 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o1 = mrs.weight "l1.o" {layer = 1 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y1 = mrs.matmul "l1.y" %a1, [%o1] {layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x1 = mrs.add "l1.add" %x0, %y1 {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %w2 = mrs.weight "l2.w" {layer = 2 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k2 = mrs.matmul "l2.k" %x1, [%w2] {layer = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r2 = mrs.rope "l2.rope" %k2, %angles {layer = 2 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c2 = mrs.kv_append "l2.append" %r2, %k2, %slots1 {kv_class = 1 : i64, kv_layer = 1 : i64, layer = 2 : i64, window = 16 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a2 = mrs.attention "l2.attention" %r2, %c2, %i, %i, %blocks1 {layer = 2 : i64, scale = 0.25 : f32, window = 16 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o2 = mrs.weight "l2.o" {layer = 2 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y2 = mrs.matmul "l2.y" %a2, [%o2] {layer = 2 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x2 = mrs.add "l2.add" %x1, %y2 {layer = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %s = mrs.select_rows "select" %x2, %rows : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[L], i32>) -> !mrs.tensor<[L, 16], f32>
    %logits = mrs.matmul "lm_head" %s, [%table] : (!mrs.tensor<[L, 16], f32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[L, 32], f32>
    mrs.output "all_logits" %logits : <[L, 32], f32>
    return
  }
}

// -----
// What a later stage reads goes through those between.
// CHECK-LABEL: func.func @stage0()
// CHECK: mrs.send "l0.y.send" %{{.*}} {peer = 1 : i64}
// CHECK-LABEL: func.func @stage1()
// CHECK: %[[Y:.*]] = mrs.recv "l0.y.recv" {peer = 0 : i64}
// CHECK: mrs.send "l0.y.send" %[[Y]] {peer = 2 : i64}
// CHECK-LABEL: func.func @stage2()
// CHECK: %[[Y:.*]] = mrs.recv "l0.y.recv" {peer = 1 : i64}
// CHECK: mrs.add "late" %{{.*}}, %[[Y]]
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 3 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}, {device = 1 : i64, layer_begin = 1 : i64, layer_end = 2 : i64}, {device = 2 : i64, layer_begin = 2 : i64, layer_end = 3 : i64}]}} {
  func.func @forward() {
    %i = mrs.input "positions" : <[T], i32>
    %slots = mrs.input "slots" : <[T], i32>
    %blocks = mrs.input "block_table" : <[S, 8], i32>
    %rows = mrs.input "logit_rows" : <[L], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    %x = mrs.embed "embed" %i, %table {vocab_valid = 32 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %angles = mrs.rope_angles "angles" %i {rope = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 16], f32>
    %w0 = mrs.weight "l0.w" {layer = 0 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k0 = mrs.matmul "l0.k" %x, [%w0] {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r0 = mrs.rope "l0.rope" %k0, %angles {layer = 0 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c0 = mrs.kv_append "l0.append" %r0, %k0, %slots {kv_class = 0 : i64, kv_layer = 0 : i64, layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a0 = mrs.attention "l0.attention" %r0, %c0, %i, %i, %blocks {layer = 0 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o0 = mrs.weight "l0.o" {layer = 0 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y0 = mrs.matmul "l0.y" %a0, [%o0] {layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x0 = mrs.add "l0.add" %x, %y0 {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %w1 = mrs.weight "l1.w" {layer = 1 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k1 = mrs.matmul "l1.k" %x0, [%w1] {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r1 = mrs.rope "l1.rope" %k1, %angles {layer = 1 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c1 = mrs.kv_append "l1.append" %r1, %k1, %slots {kv_class = 0 : i64, kv_layer = 1 : i64, layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a1 = mrs.attention "l1.attention" %r1, %c1, %i, %i, %blocks {layer = 1 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o1 = mrs.weight "l1.o" {layer = 1 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y1 = mrs.matmul "l1.y" %a1, [%o1] {layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x1 = mrs.add "l1.add" %x0, %y1 {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %w2 = mrs.weight "l2.w" {layer = 2 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k2 = mrs.matmul "l2.k" %x1, [%w2] {layer = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r2 = mrs.rope "l2.rope" %k2, %angles {layer = 2 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c2 = mrs.kv_append "l2.append" %r2, %k2, %slots {kv_class = 0 : i64, kv_layer = 2 : i64, layer = 2 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a2 = mrs.attention "l2.attention" %r2, %c2, %i, %i, %blocks {layer = 2 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o2 = mrs.weight "l2.o" {layer = 2 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y2 = mrs.matmul "l2.y" %a2, [%o2] {layer = 2 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x2 = mrs.add "l2.add" %x1, %y2 {layer = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %late = mrs.add "late" %x2, %y0 {layer = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %s = mrs.select_rows "select" %late, %rows : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[L], i32>) -> !mrs.tensor<[L, 16], f32>
    %logits = mrs.matmul "lm_head" %s, [%table] : (!mrs.tensor<[L, 16], f32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[L, 32], f32>
    mrs.output "all_logits" %logits : <[L, 32], f32>
    return
  }
}

// -----
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 2 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}, {device = 1 : i64, layer_begin = 1 : i64, layer_end = 2 : i64}]}} {
  func.func @no_such_layer() {
    %i = mrs.input "positions" : <[T], i32>
    %slots = mrs.input "slots" : <[T], i32>
    %blocks = mrs.input "block_table" : <[S, 8], i32>
    %rows = mrs.input "logit_rows" : <[L], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    %x = mrs.embed "embed" %i, %table {vocab_valid = 32 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %angles = mrs.rope_angles "angles" %i {rope = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 16], f32>
    %w0 = mrs.weight "l0.w" {layer = 0 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k0 = mrs.matmul "l0.k" %x, [%w0] {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r0 = mrs.rope "l0.rope" %k0, %angles {layer = 0 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c0 = mrs.kv_append "l0.append" %r0, %k0, %slots {kv_class = 0 : i64, kv_layer = 0 : i64, layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a0 = mrs.attention "l0.attention" %r0, %c0, %i, %i, %blocks {layer = 0 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o0 = mrs.weight "l0.o" {layer = 0 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y0 = mrs.matmul "l0.y" %a0, [%o0] {layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x0 = mrs.add "l0.add" %x, %y0 {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'odd' (mrs.add): is of layer 2, which no stage of mrs.layout has; the last has layers to 1}}
    %odd = mrs.add "odd" %x, %x {layer = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %s = mrs.select_rows "select" %odd, %rows : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[L], i32>) -> !mrs.tensor<[L, 16], f32>
    %logits = mrs.matmul "lm_head" %s, [%table] : (!mrs.tensor<[L, 16], f32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[L, 32], f32>
    mrs.output "all_logits" %logits : <[L, 32], f32>
    return
  }
}

// -----
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 2 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}, {device = 1 : i64, layer_begin = 1 : i64, layer_end = 2 : i64}]}} {
  func.func @back_to_an_earlier_stage() {
    %i = mrs.input "positions" : <[T], i32>
    %slots = mrs.input "slots" : <[T], i32>
    %blocks = mrs.input "block_table" : <[S, 8], i32>
    %rows = mrs.input "logit_rows" : <[L], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    %x = mrs.embed "embed" %i, %table {vocab_valid = 32 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %angles = mrs.rope_angles "angles" %i {rope = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 16], f32>
    %w1 = mrs.weight "l1.w" {layer = 1 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k1 = mrs.matmul "l1.k" %x, [%w1] {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r1 = mrs.rope "l1.rope" %k1, %angles {layer = 1 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c1 = mrs.kv_append "l1.append" %r1, %k1, %slots {kv_class = 0 : i64, kv_layer = 1 : i64, layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a1 = mrs.attention "l1.attention" %r1, %c1, %i, %i, %blocks {layer = 1 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o1 = mrs.weight "l1.o" {layer = 1 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y1 = mrs.matmul "l1.y" %a1, [%o1] {layer = 1 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x1 = mrs.add "l1.add" %x, %y1 {layer = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'odd' (mrs.add): is of layer 0 in stage 0, but reads what stage 1 computes}}
    %odd = mrs.add "odd" %x, %x1 {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %s = mrs.select_rows "select" %odd, %rows : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[L], i32>) -> !mrs.tensor<[L, 16], f32>
    %logits = mrs.matmul "lm_head" %s, [%table] : (!mrs.tensor<[L, 16], f32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[L, 32], f32>
    mrs.output "all_logits" %logits : <[L, 32], f32>
    return
  }
}

// -----
// A cache stays where it is.
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 2 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}, {device = 1 : i64, layer_begin = 1 : i64, layer_end = 2 : i64}]}} {
  func.func @cache_of_another_stage() {
    %i = mrs.input "positions" : <[T], i32>
    %slots = mrs.input "slots" : <[T], i32>
    %blocks = mrs.input "block_table" : <[S, 8], i32>
    %rows = mrs.input "logit_rows" : <[L], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    %x = mrs.embed "embed" %i, %table {vocab_valid = 32 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %angles = mrs.rope_angles "angles" %i {rope = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 16], f32>
    %w0 = mrs.weight "l0.w" {layer = 0 : i64, n_dims = 2 : i64, sources = [{}]} : <[1, 16, 16], f32>
    %k0 = mrs.matmul "l0.k" %x, [%w0] {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %r0 = mrs.rope "l0.rope" %k0, %angles {layer = 0 : i64, rope = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 1, 16], f32>
    %c0 = mrs.kv_append "l0.append" %r0, %k0, %slots {kv_class = 0 : i64, kv_layer = 0 : i64, layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 16], f32>
    %a0 = mrs.attention "l0.attention" %r0, %c0, %i, %i, %blocks {layer = 0 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    %o0 = mrs.weight "l0.o" {layer = 0 : i64, n_dims = 1 : i64, sources = [{}]} : <[16, 1, 16], f32>
    %y0 = mrs.matmul "l0.y" %a0, [%o0] {layer = 0 : i64} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[16, 1, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %x0 = mrs.add "l0.add" %x, %y0 {layer = 0 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'odd' (mrs.attention): reads the cache of 'l0.append', which is of another stage}}
    %odd = mrs.attention "odd" %r0, %c0, %i, %i, %blocks {layer = 1 : i64, scale = 0.25 : f32} : (!mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[B, 1, 16], f32>, !mrs.tensor<[T], i32>, !mrs.tensor<[T], i32>, !mrs.tensor<[S, 8], i32>) -> !mrs.tensor<[T, 1, 16], f32>
    return
  }
}

// -----
// expected-error@+1 {{has 2 programs: it is cut already}}
module attributes {mrs.layout = {buckets = array<i64: 4, 2, 2>, mesh = {stage = 2 : i64, tp = 1 : i64}, stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 1 : i64}, {device = 1 : i64, layer_begin = 1 : i64, layer_end = 2 : i64}]}} {
  func.func @stage0() {
    return
  }
  func.func @stage1() {
    return
  }
}
