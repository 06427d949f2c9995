// mrs-verify-final asks: is everything decided? It includes mrs-verify-sharding; the emitter runs it again before it writes
// a plan, so a pass that was left out, or a number edited by hand, is refused by the name of the operation.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics -mrs-verify-final | FileCheck %s

// Everything has its place: 4 tokens of 16 f32 are 256 bytes; `sum` takes over the bytes of `x`.
// CHECK-LABEL: func.func @accepted
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @accepted() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.embed "y" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %sum = mrs.add "sum" %x, %y {inplace = 0 : i64, offsets = [array<i64: 64>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// Left out: mrs-apply-layout.
// expected-error@+1 {{the layout was never applied; run mrs-apply-layout}}
module attributes {mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @no_mesh() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    return
  }
}

// -----
// Left out: mrs-cut-stages.
// expected-error@+1 {{the module has 1 program, expected one for each of 2 stages of its mesh; run mrs-cut-stages}}
module attributes {mrs.mesh = {tp = 1 : i64, stage = 2 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @not_cut() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  // expected-error@+1 {{nothing says which layers are the stage's; run mrs-cut-stages}}
  func.func @no_layers() attributes {mrs.kv = []} {
    return
  }
}

// -----
// Both sides of a border count what goes over it.
module attributes {mrs.mesh = {tp = 1 : i64, stage = 2 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @stage0() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    mrs.send "x.send" %x {peer = 1 : i64, order = 0 : i64, step = 1 : i64} : <[T, 16], f32>
    return
  }
  func.func @stage1() attributes {mrs.kv = [], mrs.layers = array<i64: 1, 2>} {
    // expected-error@+1 {{'x.recv' (mrs.recv): has no place, or another place than its own, among the transfers; run mrs-schedule}}
    %x = mrs.recv "x.recv" {peer = 0 : i64, order = 1 : i64, step = 0 : i64} : <[T, 16], f32>
    return
  }
}

// -----
// Left out: mrs-localize.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @not_localized() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    // expected-error@+1 {{'w' (mrs.weight): no rank's part of it is decided; run mrs-localize}}
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    return
  }
}

// -----
// Both gathers are whole to their types, but a plan's gather leaves one rank's rows after the other's.
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @reads_what_was_gathered() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}]} : <[32, 16], f32>
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}]} : <[32{tp 16}, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.matmul "y" %x, [%w] : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 32{tp 16}], f32>
    %out = mrs.all_gather "for_output" %y {axis = "tp"} : (!mrs.tensor<[T, 32{tp 16}], f32>) -> !mrs.tensor<[T, 32], f32>
    %all = mrs.all_gather "y.all_gather" %y {axis = "tp"} : (!mrs.tensor<[T, 32{tp 16}], f32>) -> !mrs.tensor<[T, 32], f32>
    // expected-error@+1 {{'sum' (mrs.add): reads 'y.all_gather', in which one rank's rows lie after the other's; only an mrs.output can}}
    %sum = mrs.add "sum" %all, %all : (!mrs.tensor<[T, 32], f32>, !mrs.tensor<[T, 32], f32>) -> !mrs.tensor<[T, 32], f32>
    mrs.output "all_logits" %out : <[T, 32], f32>
    return
  }
}

// -----
// Rows other than those of its type: both ranks would hold the other one's.
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @other_rows() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    // expected-error@+1 {{'w' (mrs.weight): its local part}}
    %w = mrs.weight "w" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 16, -16, 16, 1>}} : <[32{tp 16}, 16], f32>
    return
  }
}

// -----
// A sum over the residual stream is one chain. Four chunks would be another sum, and other tokens than any other plan's.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @other_chunks() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "q" {n_dims = 1 : i64, chunks = 4 : i64, sources = [{}], local = {chunk_count = 4 : i64, chunk_k = 4 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'y' (mrs.matmul): sums 'q' in 4 canonical chunks of K, expected 1: another number would give other tokens than the model's other plans}}
    %y = mrs.matmul "y" %x, [%w] {offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[8, 16], f32>) -> !mrs.tensor<[T, 8], f32>
    return
  }
}

// -----
// 172 = 4 x 43 columns are summed in 4 chunks on any number of ranks.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @too_few_chunks() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 172 : i64, columns = array<i64: 0, 0, 172, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 172], f32>
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 2 : i64, sources = [{}], local = {chunk_count = 2 : i64, chunk_k = 86 : i64, columns = array<i64: 0, 0, 172, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 172], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 172], f32>) -> !mrs.tensor<[T, 172], f32>
    %h = mrs.silu_mul "h" %x, %x {offsets = [array<i64: 2816>], step = 1 : i64} : (!mrs.tensor<[T, 172], f32>, !mrs.tensor<[T, 172], f32>) -> !mrs.tensor<[T, 172], f32>
    // expected-error@+1 {{'y' (mrs.matmul): sums 'down' in 2 canonical chunks of K, expected 4}}
    %y = mrs.matmul "y" %h, [%w] {offsets = [array<i64: 5568>], step = 2 : i64} : (!mrs.tensor<[T, 172], f32>, !mrs.tensor<[8, 172], f32>) -> !mrs.tensor<[T, 8], f32>
    return
  }
}

// -----
// Another gated product is cut alike: what made K says it in its definition.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @gelu_chunks() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 172 : i64, columns = array<i64: 0, 0, 172, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 172], f32>
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 172 : i64, columns = array<i64: 0, 0, 172, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 172], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 172], f32>) -> !mrs.tensor<[T, 172], f32>
    %h = mrs.gelu_mul "h" %x, %x {approximate = false, offsets = [array<i64: 2816>], step = 1 : i64} : (!mrs.tensor<[T, 172], f32>, !mrs.tensor<[T, 172], f32>) -> !mrs.tensor<[T, 172], f32>
    // expected-error@+1 {{'y' (mrs.matmul): sums 'down' in 1 canonical chunks of K, expected 4}}
    %y = mrs.matmul "y" %h, [%w] {offsets = [array<i64: 5568>], step = 2 : i64} : (!mrs.tensor<[T, 172], f32>, !mrs.tensor<[8, 172], f32>) -> !mrs.tensor<[T, 8], f32>
    return
  }
}

// -----
// And what comes after it is one chain again.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @cut_after_another_operation() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 172 : i64, columns = array<i64: 0, 0, 172, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 172], f32>
    %w = mrs.weight "down" {n_dims = 1 : i64, chunks = 4 : i64, sources = [{}], local = {chunk_count = 4 : i64, chunk_k = 43 : i64, columns = array<i64: 0, 0, 172, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 172], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 172], f32>) -> !mrs.tensor<[T, 172], f32>
    %h = mrs.silu_mul "h" %x, %x {offsets = [array<i64: 2816>], step = 1 : i64} : (!mrs.tensor<[T, 172], f32>, !mrs.tensor<[T, 172], f32>) -> !mrs.tensor<[T, 172], f32>
    %s = mrs.scale "s" %h {factor = 2.0 : f32, offsets = [array<i64: 5568>], step = 2 : i64} : (!mrs.tensor<[T, 172], f32>) -> !mrs.tensor<[T, 172], f32>
    // expected-error@+1 {{'y' (mrs.matmul): sums 'down' in 4 canonical chunks of K, expected 1}}
    %y = mrs.matmul "y" %s, [%w] {offsets = [array<i64: 64>], step = 3 : i64} : (!mrs.tensor<[T, 172], f32>, !mrs.tensor<[8, 172], f32>) -> !mrs.tensor<[T, 8], f32>
    return
  }
}

// -----
// Left out: mrs-schedule.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @not_scheduled() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    // expected-error@+1 {{'x' (mrs.embed): has no place in the program; run mrs-schedule}}
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>]} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// Steps run in program order.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @out_of_order() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'y' (mrs.embed): is step 2, expected 1 in program order}}
    %y = mrs.embed "y" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 2 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// Left out: mrs-plan-memory.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  // expected-error@+1 {{the KV cache has no place in memory; run mrs-plan-memory}}
  func.func @no_cache() attributes {mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    return
  }
}

// -----
// A result without an offset in each bucket.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @no_offsets() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    // expected-error@+1 {{'x' (mrs.embed): its result has no place in memory; run mrs-plan-memory}}
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// Two live values over each other.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @overlap() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'y' (mrs.embed): its result lies at [256, 512) in bucket 0, over the result of 'x' at [64, 320), which is still needed}}
    %y = mrs.embed "y" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 256>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %sum = mrs.add "sum" %x, %y {inplace = 0 : i64, offsets = [array<i64: 64>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @not_aligned() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    // expected-error@+1 {{'x' (mrs.embed): offset 32 is not aligned to 64}}
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 32>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @negative() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    // expected-error@+1 {{'x' (mrs.embed): offset -64 is not aligned to 64}}
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: -64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @far_away() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    // expected-error@+1 {{'x' (mrs.embed): offset 9223372036854775744 is out of range}}
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 9223372036854775744>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// In place means at the very bytes of the operand.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @in_place_elsewhere() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.embed "y" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'sum' (mrs.add): works in place, but its result lies elsewhere than its operand}}
    %sum = mrs.add "sum" %x, %y {inplace = 0 : i64, offsets = [array<i64: 576>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @in_place_of_a_value_still_read() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %y = mrs.embed "y" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 320>], step = 1 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'sum' (mrs.add): overwrites its operand, which a later step reads}}
    %sum = mrs.add "sum" %x, %y {inplace = 0 : i64, offsets = [array<i64: 64>], step = 2 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %late = mrs.add "late" %x, %sum {offsets = [array<i64: 576>], step = 3 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[T, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// Only sums read an element before they write it, and never again.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @norm_in_place() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "v" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 0 : i64, chunk_k = 0 : i64, columns = array<i64: 0, 0, 1, 1>, n = 16 : i64, rows = array<i64: 0, 0, 16, 1>}} : <[16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'norm' (mrs.rms_norm): cannot work in place}}
    %n = mrs.rms_norm "norm" %x, %w {eps = 1.0e-05 : f32, inplace = 0 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[16], f32>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// Collectives are counted from 0, in the order that all ranks issue them.
module attributes {mrs.mesh = {tp = 2 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @collective_order() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 16 : i64, rows = array<i64: 0, 16, 16, 1>}} : <[32{tp 16}, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32{tp 16}, 16], f32>) -> !mrs.tensor<[T, 16], f32, partial{tp}>
    // expected-error@+1 {{'x.all_reduce' (mrs.all_reduce): has no place, or another place than its own, in the collective schedule; run mrs-schedule}}
    %r = mrs.all_reduce "x.all_reduce" %x {algorithm = "doubling", axis = "tp", order = 1 : i64, offsets = [array<i64: 64>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32, partial{tp}>) -> !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// Values come in through mrs.input only; anything else would be left out of the plan.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  // expected-error@+1 {{the program takes 1 arguments, expected none; values come in through mrs.input}}
  func.func @arguments(%x: !mrs.tensor<[T, 16], f32>) attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @foreign_operation() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    // expected-error@+1 {{'builtin.unrealized_conversion_cast' is no operation of a plan}}
    %x = builtin.unrealized_conversion_cast to !mrs.tensor<[T, 16], f32>
    return
  }
}

// -----
// expected-error@+1 {{the module has no mrs.buckets, or one with less than 1 or more than 2^19 rows}}
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 0, 1>} {
  func.func @empty_bucket() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    return
  }
}

// -----
// expected-error@+1 {{the module has 2 programs, expected one for each of 1 stages of its mesh; run mrs-cut-stages}}
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @one() {
    return
  }
  func.func @two() {
    return
  }
}

// -----
// expected-error@+1 {{the module has no function; expected one a stage, its program}}
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
}

// -----
// Products that are gated in the same step are summed as plain ones.
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @gated_chunks() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "gate" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %v = mrs.weight "up" {n_dims = 1 : i64, chunks = 4 : i64, sources = [{}], local = {chunk_count = 4 : i64, chunk_k = 4 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'g' (mrs.gated_matmul): sums 'up' in 4 canonical chunks of K, expected 1}}
    %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu", offsets = [array<i64: 320>, array<i64: 448>, array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[8, 16], f32>, !mrs.tensor<[8, 16], f32>) -> (!mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>)
    return
  }
}

// -----
// Of three results the last is a value; the first two are nobody's to read, and live in that step.
// CHECK-LABEL: func.func @gated
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @gated() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "gate" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %v = mrs.weight "up" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu", offsets = [array<i64: 320>, array<i64: 448>, array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[8, 16], f32>, !mrs.tensor<[8, 16], f32>) -> (!mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>)
    %s = mrs.add "s" %h#2, %h#2 {offsets = [array<i64: 704>], step = 2 : i64} : (!mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>) -> !mrs.tensor<[T, 8], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @gate_is_read() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "gate" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %v = mrs.weight "up" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu", offsets = [array<i64: 320>, array<i64: 448>, array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[8, 16], f32>, !mrs.tensor<[8, 16], f32>) -> (!mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>)
    // expected-error@+1 {{'s' (mrs.add): reads memory that 'g' alone uses; read its third result, or take it apart (leave out mrs-fuse-steps)}}
    %s = mrs.add "s" %h#0, %h#2 {offsets = [array<i64: 704>], step = 2 : i64} : (!mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>) -> !mrs.tensor<[T, 8], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @up_is_read() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "gate" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %v = mrs.weight "up" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu", offsets = [array<i64: 320>, array<i64: 448>, array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[8, 16], f32>, !mrs.tensor<[8, 16], f32>) -> (!mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>)
    // expected-error@+1 {{'s' (mrs.add): reads memory that 'g' alone uses; read its third result, or take it apart (leave out mrs-fuse-steps)}}
    %s = mrs.add "s" %h#2, %h#1 {offsets = [array<i64: 704>], step = 2 : i64} : (!mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>) -> !mrs.tensor<[T, 8], f32>
    return
  }
}

// -----
module attributes {mrs.mesh = {tp = 1 : i64}, mrs.buckets = array<i64: 4, 1, 1>} {
  func.func @gate_over_up() attributes {mrs.kv = [], mrs.layers = array<i64: 0, 1>} {
    %ids = mrs.input "tokens" {offsets = [array<i64: 0>]} : <[T], i32>
    %table = mrs.weight "table" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 32 : i64, rows = array<i64: 0, 0, 32, 1>}} : <[32, 16], f32>
    %w = mrs.weight "gate" {n_dims = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %v = mrs.weight "up" {n_dims = 1 : i64, chunks = 1 : i64, sources = [{}], local = {chunk_count = 1 : i64, chunk_k = 16 : i64, columns = array<i64: 0, 0, 16, 1>, n = 8 : i64, rows = array<i64: 0, 0, 8, 1>}} : <[8, 16], f32>
    %x = mrs.embed "x" %ids, %table {vocab_valid = 32 : i64, offsets = [array<i64: 64>], step = 0 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[32, 16], f32>) -> !mrs.tensor<[T, 16], f32>
    // expected-error@+1 {{'g' (mrs.gated_matmul): its result lies at [448, 576) in bucket 0, over the result of 'g' at [448, 576), which is still needed}}
    %h:3 = mrs.gated_matmul "g" %x, [%w, %v] {activation = "silu", offsets = [array<i64: 448>, array<i64: 448>, array<i64: 576>], step = 1 : i64} : (!mrs.tensor<[T, 16], f32>, !mrs.tensor<[8, 16], f32>, !mrs.tensor<[8, 16], f32>) -> (!mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>, !mrs.tensor<[T, 8], f32>)
    return
  }
}
