// mrs-verify-final, of launches of Q's, K's and V's products with their rotation and append: only of heads that the kernel turns,
// from products that nobody else reads.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-verify-final | FileCheck %s

// Products of Q, K and V, and their rotation and append. The angles come before both.
// CHECK-LABEL: func.func @products_and_append
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @products_and_append() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cpu", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @append_of_cpus() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', which only GPUs do (mrs.ranks, each of kind "cuda")}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @append_after_angles() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 2 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to the step before it, and the two are no kernel; an mrs.add_rms_norm is one with an mrs.all_reduce or an mrs.matmul before it, an mrs.rope_append with an mrs.matmul}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @values_as_keys() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', whose results must be three, its q, k and v in this order, that it alone reads, once, whenever that runs}}
    %r, %c = mrs.rope_append "append" %q, %v, %k, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @keys_twice() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', whose results must be three, its q, k and v in this order, that it alone reads, once, whenever that runs}}
    %r, %c = mrs.rope_append "append" %q, %k, %k, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @four_products() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v, %u = mrs.matmul "qkv" %x, [%wq, %wk, %wv, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>, array<i64: 5056>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', whose results must be three, its q, k and v in this order, that it alone reads, once, whenever that runs}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    %d = mrs.scale "d" %u {factor = 2.0 : f32, offsets = [array<i64: 6080>], step = 4 : i64} : (!mrs.tensor<[T, 1, 32], f32>) -> !mrs.tensor<[T, 1, 32], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @keys_of_others() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %o = mrs.matmul "o" %x, [%wv] {offsets = [array<i64: 5056>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> !mrs.tensor<[T, 1, 32], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', whose results must be three, its q, k and v in this order, that it alone reads, once, whenever that runs}}
    %r, %c = mrs.rope_append "append" %q, %o, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 4 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    %d = mrs.scale "d" %k {factor = 2.0 : f32, offsets = [array<i64: 6080>], step = 5 : i64} : (!mrs.tensor<[T, 1, 32], f32>) -> !mrs.tensor<[T, 1, 32], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @values_of_others() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %o = mrs.matmul "o" %x, [%wv] {offsets = [array<i64: 5056>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> !mrs.tensor<[T, 1, 32], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', whose results must be three, its q, k and v in this order, that it alone reads, once, whenever that runs}}
    %r, %c = mrs.rope_append "append" %q, %k, %o, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 4 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    %d = mrs.scale "d" %v {factor = 2.0 : f32, offsets = [array<i64: 6080>], step = 5 : i64} : (!mrs.tensor<[T, 1, 32], f32>) -> !mrs.tensor<[T, 1, 32], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @keys_of_another() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', whose results must be three, its q, k and v in this order, that it alone reads, once, whenever that runs}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    %d = mrs.add "d" %k, %k {offsets = [array<i64: 6080>], step = 4 : i64} : (!mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>) -> !mrs.tensor<[T, 1, 32], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @append_sometimes() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', whose results must be three, its q, k and v in this order, that it alone reads, once, whenever that runs}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, variant = "candidates", offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @pairs_of_neighbours() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', and turns 32 of 32 dimensions of a head, interleaved; the kernel of both turns all of them, by halves that are multiples of 16}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = true, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @half_of_a_head() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 128 : i64, rows = array<i64: 0, 0, 128, 1>}} : <[2, 64, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[1, 64, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[1, 64, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 64, 16], f32>, !mrs.tensor<[1, 64, 16], f32>, !mrs.tensor<[1, 64, 16], f32>) -> (!mrs.tensor<[T, 2, 64], f32>, !mrs.tensor<[T, 1, 64], f32>, !mrs.tensor<[T, 1, 64], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', and turns 32 of 64 dimensions of a head; the kernel of both turns all of them, by halves that are multiples of 16}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 64], f32>, !mrs.tensor<[T, 1, 64], f32>, !mrs.tensor<[T, 1, 64], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 64], bf16>, !mrs.tensor<[B, 1, 64], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @small_heads() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[2, 16, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[1, 16, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[1, 16, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 16, 16], f32>, !mrs.tensor<[1, 16, 16], f32>, !mrs.tensor<[1, 16, 16], f32>) -> (!mrs.tensor<[T, 2, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): is joined to 'qkv', and turns 16 of 16 dimensions of a head; the kernel of both turns all of them, by halves that are multiples of 16}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 3008>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 1, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 16], bf16>, !mrs.tensor<[B, 1, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @append_over_what_is_multiplied() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %positions = mrs.input "positions" {offsets = [array<i64: 2880>]} : <[T], i32>
    %slots = mrs.input "slots" {offsets = [array<i64: 2944>]} : <[T], i32>
    %wq = mrs.weight "wq" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 64 : i64, rows = array<i64: 0, 0, 64, 1>}} : <[2, 32, 16], f32>
    %wk = mrs.weight "wk" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %wv = mrs.weight "wv" {n_dims = 2 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[1, 32, 16], f32>
    %angles = mrs.rope_angles "angles" %positions {rope = 0 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>) -> !mrs.tensor<[T, 32], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %k, %v = mrs.matmul "qkv" %x, [%wq, %wk, %wv] {offsets = [array<i64: 832>, array<i64: 1856>, array<i64: 2368>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[2, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>, !mrs.tensor<[1, 32, 16], f32>) -> (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>)
    // expected-error@+1 {{'append' (mrs.rope_append): its result lies at [576, 1088) in bucket 0, over the result of 'x' at [576, 832), which is still needed}}
    %r, %c = mrs.rope_append "append" %q, %k, %v, %angles, %slots {rope = 0 : i64, interleaved = false, kv_class = 0 : i64, kv_layer = 0 : i64, joined, offsets = [array<i64: 576>, array<i64>], step = 3 : i64} : (!mrs.tensor<[T, 2, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 1, 32], f32>, !mrs.tensor<[T, 32], f32>, !mrs.tensor<[T], i32>) -> (!mrs.tensor<[T, 2, 32], bf16>, !mrs.tensor<[B, 1, 32], bf16>)
    return
  }
}
