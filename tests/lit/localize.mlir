// mrs-localize: writes down each rank's part of every weight. `rows` and `columns` are [start, step, size, every] in rows
// and elements of the checkpoint's matrix: rank c holds [start + step * (c / every), + size). K is cut into canonical
// chunks, the same ones on any number of ranks.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-localize | FileCheck %s

// Heads become rows of the matrix: 4 heads of 32 are 128 rows.
// CHECK-LABEL: func.func @column_split
// CHECK: mrs.weight "q"
// CHECK-SAME: local = {chunk_count = 1 : i64, chunk_k = 256 : i64, columns = array<i64: 0, 0, 256, 1>, n = 128 : i64, rows = array<i64: 0, 128, 128, 1>}
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @column_split() {
    %w = mrs.weight "q" {n_dims = 2 : i64, sources = [{}]} : <[8{tp 4}, 32, 256], bf16>
    return
  }
}

// -----
// 8 canonical chunks of K, one a head: a rank holds 4 of them, in 128 columns.
// CHECK-LABEL: func.func @row_split
// CHECK: mrs.weight "o"
// CHECK-SAME: local = {chunk_count = 4 : i64, chunk_k = 32 : i64, columns = array<i64: 0, 128, 128, 1>, n = 256 : i64, rows = array<i64: 0, 0, 256, 1>}
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @row_split() {
    %w = mrs.weight "o" {n_dims = 1 : i64, chunks = 8 : i64, sources = [{}]} : <[256, 8{tp 4}, 32], bf16>
    return
  }
}

// -----
// Replicated KV heads: ranks 2h and 2h + 1 read the same rows.
// CHECK-LABEL: func.func @replicated
// CHECK: mrs.weight "k"
// CHECK-SAME: n = 32 : i64, rows = array<i64: 0, 32, 32, 2>}
module attributes {mrs.mesh = {tp = 8 : i64}} {
  func.func @replicated() {
    %w = mrs.weight "k" {n_dims = 2 : i64, sources = [{}]} : <[4{tp 1 every 2}, 32, 256], bf16>
    return
  }
}

// -----
// A vector has no K.
// CHECK-LABEL: func.func @vector
// CHECK: mrs.weight "norm"
// CHECK-SAME: local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 256 : i64, rows = array<i64: 0, 0, 256, 1>}
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @vector() {
    %w = mrs.weight "norm" {n_dims = 1 : i64, sources = [{}]} : <[256], f32>
    return
  }
}

// -----
// A canonical chunk is never cut: that would change the order of its sum.
module attributes {mrs.mesh = {tp = 4 : i64}} {
  func.func @too_few_chunks() {
    // expected-error@+1 {{'l0.down_proj.weight' (mrs.weight): 2 canonical chunks of K do not split over 4 ranks}}
    %w = mrs.weight "l0.down_proj.weight" {n_dims = 1 : i64, chunks = 2 : i64, sources = [{}]} : <[256, 512{tp 128}], bf16>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @inner_dimension_split() {
    // expected-error@+1 {{'q' (mrs.weight): dimension 1 of '!mrs.tensor<[8, 32{tp 16}, 256], bf16>' is split; only the first of its rows or columns can be}}
    %w = mrs.weight "q" {n_dims = 2 : i64, sources = [{}]} : <[8, 32{tp 16}, 256], bf16>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @chunks_do_not_fit_the_slice() {
    // expected-error@+1 {{'w' (mrs.weight): K on one rank, 3, is not 2 whole chunks}}
    %w = mrs.weight "w" {n_dims = 1 : i64, chunks = 4 : i64, sources = [{}]} : <[16, 8{tp 3}], bf16>
    return
  }
}
