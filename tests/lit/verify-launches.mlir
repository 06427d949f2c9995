// mrs-verify-final, of launches: a step that is joined to the one before it, and is no kernel with it, is refused by name. What
// the first leaves for the second may be written nowhere, so nobody else reads it, and steps of one launch run at once.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-verify-final | FileCheck %s

// A sum of ranks and the norm after it as one launch: each of the two in place, the norm in bytes of its own.
// CHECK-LABEL: func.func @one_launch
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @one_launch() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %q, %n = mrs.add_rms_norm "norm" %r, %s, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 64>, array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "nccl", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_of_nccl() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'p.all_reduce', which only GPUs that read each other's memory do (mrs.collectives "ipc")}}
    %q, %n = mrs.add_rms_norm "norm" %r, %s, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 64>, array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_without_norm() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'a' (mrs.add): is joined to the step before it, and the two are no kernel; an mrs.add_rms_norm is one with an mrs.all_reduce or an mrs.matmul before it, an mrs.rope_append with an mrs.matmul}}
    %a = mrs.add "a" %r, %s {joined, offsets = [array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_of_another() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'p.all_reduce', whose result it alone must read, once, whenever that runs}}
    %q, %n = mrs.add_rms_norm "norm" %r, %s, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 64>, array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    %a = mrs.add "a" %q, %s {offsets = [array<i64: 832>], step = 5 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_of_a_sum_and_itself() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'p.all_reduce', whose result it alone must read, once, whenever that runs}}
    %q, %n = mrs.add_rms_norm "norm" %s, %s, %w {eps = 1.0e-05 : f32, joined, offsets = [array<i64: 1088>, array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_of_something_else() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'p.all_reduce', whose result it alone must read, once, whenever that runs}}
    %q, %n = mrs.add_rms_norm "norm" %r, %r, %w {eps = 1.0e-05 : f32, joined, offsets = [array<i64: 1088>, array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    %a = mrs.add "a" %q, %s {offsets = [array<i64: 832>], step = 5 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_sometimes() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'p.all_reduce', whose result it alone must read, once, whenever that runs}}
    %q, %n = mrs.add_rms_norm "norm" %r, %s, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, variant = "candidates", offsets = [array<i64: 64>, array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
// Steps of one launch run at once: what the first reads is still needed where the second writes. One after the other it is not.
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_over_what_it_reads() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, offsets = [array<i64: 576>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): its result lies at [320, 448) in bucket 0, over the result of 'p' at [320, 576), which is still needed}}
    %q, %n = mrs.add_rms_norm "norm" %r, %s, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 64>, array<i64: 320>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
// CHECK-LABEL: func.func @one_after_the_other
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @one_after_the_other() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, offsets = [array<i64: 576>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %q, %n = mrs.add_rms_norm "norm" %r, %s, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, offsets = [array<i64: 64>, array<i64: 320>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_in_place_of_the_sum() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): works in place on what 'p.all_reduce' leaves, which is written nowhere}}
    %q, %n = mrs.add_rms_norm "norm" %s, %r, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 320>, array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.collectives = "ipc", mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @launch_in_place_of_the_sum_as_second() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 0 : i64, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    %s = mrs.all_reduce "p.all_reduce" %p {algorithm = "doubling", axis = "tp", order = 1 : i64, inplace = 0 : i64, offsets = [array<i64: 320>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): works in place on what 'p.all_reduce' leaves, which is written nowhere}}
    %q, %n = mrs.add_rms_norm "norm" %r, %s, %w {eps = 1.0e-05 : f32, inplace = 1 : i64, joined, offsets = [array<i64: 320>, array<i64: 576>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
// A product and the residual's sum with its norm: the sum in place of the residual, the norm in bytes of its own.
// CHECK-LABEL: func.func @product_and_norm
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @product_and_norm() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %q, %n = mrs.add_rms_norm "norm" %z, %y, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 320>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cpu", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @product_of_cpus() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'o', which only GPUs do (mrs.ranks, each of kind "cuda")}}
    %q, %n = mrs.add_rms_norm "norm" %z, %y, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 320>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @product_of_nobody() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'o', which only GPUs do (mrs.ranks, each of kind "cuda")}}
    %q, %n = mrs.add_rms_norm "norm" %z, %y, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 320>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @one_of_two_products() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y, %u = mrs.matmul "o" %x, [%m, %m] {offsets = [array<i64: 576>, array<i64: 1088>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>, !mrs.tensor<[16, 16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>)
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'o', which has 2 results, expected one, that it adds}}
    %q, %n = mrs.add_rms_norm "norm" %z, %y, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 320>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @product_of_another() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'o', whose result it alone must read, once, whenever that runs}}
    %q, %n = mrs.add_rms_norm "norm" %z, %y, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 320>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    %a = mrs.add "a" %q, %y {offsets = [array<i64: 1344>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @product_and_itself() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'o', whose result it alone must read, once, whenever that runs}}
    %q, %n = mrs.add_rms_norm "norm" %y, %y, %w {eps = 1.0e-05 : f32, joined, offsets = [array<i64: 1088>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @not_of_the_product() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'o', whose result it alone must read, once, whenever that runs}}
    %q, %n = mrs.add_rms_norm "norm" %z, %z, %w {eps = 1.0e-05 : f32, joined, offsets = [array<i64: 1088>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    %a = mrs.add "a" %q, %y {offsets = [array<i64: 1344>], step = 4 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @product_sometimes() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): is joined to 'o', whose result it alone must read, once, whenever that runs}}
    %q, %n = mrs.add_rms_norm "norm" %z, %y, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, variant = "candidates", offsets = [array<i64: 320>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @product_without_norm() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'a' (mrs.add): is joined to the step before it, and the two are no kernel; an mrs.add_rms_norm is one with an mrs.all_reduce or an mrs.matmul before it, an mrs.rope_append with an mrs.matmul}}
    %a = mrs.add "a" %z, %y {joined, offsets = [array<i64: 1088>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @in_place_of_the_product() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): works in place on what 'o' leaves, which is written nowhere}}
    %q, %n = mrs.add_rms_norm "norm" %y, %z, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 576>, array<i64: 832>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @in_place_of_what_is_multiplied() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): works in place on what 'o' reads in the same launch}}
    %q, %n = mrs.add_rms_norm "norm" %x, %y, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 64>, array<i64: 832>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.ranks = [{kind = "cuda", memory = 1 : i64}], mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @norm_over_what_is_multiplied() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %m = mrs.weight "m" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %z = mrs.embed "z" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "o" %x, [%m] {offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.add_rms_norm): its result lies at [64, 192) in bucket 0, over the result of 'x' at [64, 320), which is still needed}}
    %q, %n = mrs.add_rms_norm "norm" %z, %y, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, joined, offsets = [array<i64: 320>, array<i64: 64>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], bf16>)
    return
  }
}
