// mrs-plan-memory: fixes every offset. Weights lie one after the other, packed in 16 rows and chunks of 32; activations
// by first fit over their lifetimes, in each bucket; KV blocks as max_seqs sequences of max_len tokens can use and as fit.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-plan-memory | FileCheck %s

// Two buckets, of 2 tokens and of 4; a result has one offset a bucket, aligned to 64. Inputs are there before the first
// step. `c` takes the bytes of `a`, which nobody reads any more; `k` those of `tokens` in the first bucket, but in the second
// it is too large for the gap.
// CHECK-LABEL: func.func @reuse
// CHECK-SAME: mrs.arenas = {activations = 640 : i64, kv = 8192 : i64, weights = 6336 : i64}
// CHECK-SAME: mrs.bucket_arenas = array<i64: 384, 640>
// CHECK-SAME: mrs.kv = [{block_bytes = 2048 : i64, block_count = 4 : i64, block_tokens = 32 : i64, layers = 1 : i64, sequence_blocks = 2 : i64, window = 0 : i64}]
// CHECK: mrs.input "tokens" {offsets = [array<i64: 0, 0>]}
// CHECK: mrs.input "slots" {offsets = [array<i64: 64, 64>]}
// CHECK: mrs.weight "table" {arena_offset = 0 : i64
// CHECK: mrs.weight "vector" {arena_offset = 4096 : i64
// CHECK: mrs.weight "last" {arena_offset = 4224 : i64
// CHECK: mrs.weight "w" {arena_offset = 4288 : i64
// CHECK: mrs.embed "a" {{.*}}offsets = [array<i64: 128, 128>]
// CHECK: mrs.rms_norm "b" {{.*}}offsets = [array<i64: 256, 384>]
// CHECK: mrs.rms_norm "c" {{.*}}offsets = [array<i64: 128, 128>]
// CHECK: mrs.matmul "k" {{.*}}offsets = [array<i64: 0, 384>]
// CHECK: mrs.kv_append "cache" %{{[0-9]+}}, %{{[0-9]+}}, %{{[0-9]+}} {kv_class
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1, 4, 1, 1>, mrs.max_len = 33 : i64, mrs.max_seqs = 2 : i64, mrs.ranks = [{kind = "cpu", memory = 65536 : i64}]} {
  func.func @reuse() {
    %ids = mrs.input "tokens" : <[T], i32>
    %slots = mrs.input "slots" : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[30, 16], f32>
    %vector = mrs.weight "vector" {n_dims = 1 : i64, sources = [{}]} : <[32], f32>
    %last = mrs.weight "last" {n_dims = 1 : i64, sources = [{}]} : <[16], f32>
    %n = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %a = mrs.embed "a" %ids, %table {vocab_valid = 30 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[30, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %b = mrs.rms_norm "b" %a, %last {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> !mrs.tensor<[T, 16], f32>
    %c = mrs.rms_norm "c" %b, %last {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> !mrs.tensor<[T, 16], f32>
    %k = mrs.matmul "k" %c, [%n] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %cache = mrs.kv_append "cache" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
// Memory for three blocks of 2048 bytes: fewer than two sequences of 33 tokens may want, enough for one.
// CHECK-LABEL: func.func @fewer_blocks
// CHECK-SAME: mrs.kv = [{block_bytes = 2048 : i64, block_count = 3 : i64
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 33 : i64, mrs.max_seqs = 2 : i64, mrs.ranks = [{kind = "cpu", memory = 8256 : i64}]} {
  func.func @fewer_blocks(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %cache = mrs.kv_append "cache" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
// What CUDA takes of a GPU comes first: 32 MiB and 4 KiB, 2 MiB for each graph (decodes of one and of two rows, in both variants), and 8 KiB for each step of it. What is left holds two blocks.
// CHECK-LABEL: func.func @cuda
// CHECK-SAME: mrs.arenas = {activations = 64 : i64, kv = 4096 : i64, weights = 2048 : i64}
// CHECK-SAME: mrs.cuda = {communicators = 0 : i64, graphs = 8454144 : i64, workspace = 33558528 : i64}
// CHECK-SAME: block_count = 2 : i64
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 33 : i64, mrs.max_seqs = 2 : i64, mrs.collectives = "nccl", mrs.ranks = [{kind = "cuda", memory = 42018880 : i64}]} {
  func.func @cuda(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %cache = mrs.kv_append "cache" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
// expected-error@+1 {{the module needs mrs.ranks, with kind and memory of each rank of stage 0}}
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 33 : i64, mrs.max_seqs = 2 : i64} {
  func.func @no_ranks(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %cache = mrs.kv_append "cache" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
// One byte less than weights, activations and the cache of one sequence take.
// expected-error@+1 {{the plan does not fit: a rank may use 6207 bytes, but its weights take 2048, activations 64, and the KV cache of one sequence of 33 tokens 4096; give more --memory, a larger --tp or --pp, or a smaller --max-len}}
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 33 : i64, mrs.max_seqs = 2 : i64, mrs.ranks = [{kind = "cpu", memory = 6207 : i64}]} {
  func.func @does_not_fit(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %cache = mrs.kv_append "cache" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 33 : i64, mrs.max_seqs = 2 : i64, mrs.ranks = [{kind = "cpu", memory = 8256 : i64}]} {
  // expected-error@+1 {{the program has no KV cache}}
  func.func @no_cache(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    return
  }
}

// -----
// expected-error@+1 {{the module has no mrs.buckets; run mrs-apply-layout}}
module {
  func.func @no_buckets() {
    return
  }
}

// -----
// Two classes: a window of 16 needs a ring of 2 blocks where a sequence of 96 tokens has 3 in the other. With memory for
// three sequences' worth and 2048 bytes more, the rest is the first class's.
// CHECK-LABEL: func.func @classes
// CHECK-SAME: kv = 45056 : i64
// CHECK-SAME: mrs.kv = [{block_bytes = 2048 : i64, block_count = 10 : i64, block_tokens = 32 : i64, layers = 1 : i64, sequence_blocks = 3 : i64, window = 0 : i64}, {block_bytes = 4096 : i64, block_count = 6 : i64, block_tokens = 32 : i64, layers = 2 : i64, sequence_blocks = 2 : i64, window = 16 : i64}]
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 96 : i64, mrs.max_seqs = 4 : i64, mrs.ranks = [{kind = "cpu", memory = 47168 : i64}]} {
  func.func @classes(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %c0 = mrs.kv_append "c0" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    %c1 = mrs.kv_append "c1" %k, %k, %slots {kv_class = 1 : i64, kv_layer = 0 : i64, window = 16 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    %c2 = mrs.kv_append "c2" %k, %k, %slots {kv_class = 1 : i64, kv_layer = 1 : i64, window = 16 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 96 : i64, mrs.max_seqs = 4 : i64, mrs.ranks = [{kind = "cpu", memory = 65536 : i64}]} {
  func.func @two_windows_in_a_class(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %c0 = mrs.kv_append "c0" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    // expected-error@+1 {{'c1' (mrs.kv_append): has a window of 16 in class 0 of the KV cache, which has one of 0}}
    %c1 = mrs.kv_append "c1" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 1 : i64, window = 16 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 96 : i64, mrs.max_seqs = 4 : i64, mrs.ranks = [{kind = "cpu", memory = 65536 : i64}]} {
  // expected-error@+1 {{the program has a KV class 1, but none 0}}
  func.func @a_class_left_out(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %c1 = mrs.kv_append "c1" %k, %k, %slots {kv_class = 1 : i64, kv_layer = 0 : i64, window = 16 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
// A class has as many blocks in one stage as in the other, which has weights more, and layers.
// CHECK-LABEL: func.func @stage0
// CHECK-SAME: mrs.kv = [{block_bytes = 2048 : i64, block_count = 3 : i64
// CHECK-LABEL: func.func @stage1
// CHECK-SAME: mrs.kv = [{block_bytes = 4096 : i64, block_count = 3 : i64
module attributes {mrs.mesh = {stage = 2 : i64, tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 33 : i64, mrs.max_seqs = 2 : i64, mrs.ranks = [{kind = "cpu", memory = 14400 : i64}, {kind = "cpu", memory = 14400 : i64}]} {
  func.func @stage0(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %c0 = mrs.kv_append "c0" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
  func.func @stage1(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %c0 = mrs.kv_append "c0" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    %c1 = mrs.kv_append "c1" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 1 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}

// -----
// expected-error@+1 {{the plan does not fit: a rank of stage 1 may use 10303 bytes, but its weights take 2048, activations 64, and the KV cache of one sequence of 33 tokens 8192; give more --memory, a larger --tp or --pp, or a smaller --max-len}}
module attributes {mrs.mesh = {stage = 2 : i64, tp = 1 : i64}, mrs.buckets = array<i64: 2, 1, 1>, mrs.max_len = 33 : i64, mrs.max_seqs = 2 : i64, mrs.ranks = [{kind = "cpu", memory = 10303 : i64}, {kind = "cpu", memory = 10303 : i64}]} {
  func.func @stage0(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %c0 = mrs.kv_append "c0" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
  func.func @stage1(%x: !mrs.tensor<[T, 16], f32>, %slots: !mrs.tensor<[T], i32>) {
    %w = mrs.weight "w" {n_dims = 2 : i64, sources = [{}]} : <[1, 8, 16], f32>
    %k = mrs.matmul "k" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[1, 8, 16], f32>) -> !mrs.tensor<[T, 1, 8], f32>
    %c0 = mrs.kv_append "c0" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 0 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    %c1 = mrs.kv_append "c1" %k, %k, %slots {kv_class = 0 : i64, kv_layer = 1 : i64} : (!mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T, 1, 8], f32>, !mrs.tensor<[T], i32>) -> !mrs.tensor<[B, 1, 8], f32>
    return
  }
}
