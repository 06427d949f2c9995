// mrs-in-place (optional): a sum takes over the bytes of its first operand where nobody reads that operand again. So the
// residual stream is one buffer, and an all-reduce needs no second one.
// RUN: mrs-opt %s -verify-diagnostics -mrs-in-place | FileCheck %s

// CHECK-LABEL: func.func @residual
// CHECK: mrs.all_reduce "embed.all_reduce" {{.*}}inplace = 0
// `first` is still read by `second`: it keeps its bytes.
// CHECK: mrs.add "first" %{{[0-9]+}}, %{{[0-9]+}} :
// CHECK: mrs.add "second" {{.*}}{inplace = 0 : i64}
// CHECK: mrs.add_bias "biased" {{.*}}{inplace = 0 : i64}
// An operation that adds a value to itself reads what it would overwrite.
// CHECK: mrs.add "doubled" %{{[0-9]+}}, %{{[0-9]+}} :
// What the executor writes, and what other operations read element by element, is never overwritten.
// CHECK: mrs.rms_norm "norm" %{{[0-9]+}}, %{{[0-9]+}} {eps
// A sum of ranks that is one launch with the norm after it is written nowhere: nothing takes over its bytes.
// CHECK: mrs.all_reduce "sum" {{.*}}inplace = 0
// CHECK: mrs.add_rms_norm "joined" %{{[0-9]+}}, %{{[0-9]+}}, %{{[0-9]+}} {eps = {{[^,]*}}, joined}
// Nor over what the first step of the launch reads, which it may do until the launch has ended.
// CHECK: mrs.add_rms_norm "of_what_is_multiplied" %{{[0-9a-z_]+}}, %{{[0-9]+}}, %{{[0-9]+}} {eps = {{[^,]*}}, joined}
// CHECK: mrs.all_reduce "other" {{.*}}inplace = 0
// CHECK: mrs.add_rms_norm "apart" {{.*}}inplace = 0
module attributes {mrs.mesh = {tp = 2 : i64}} {
  func.func @residual() {
    %ids = mrs.input "tokens" : <[T], i32>
    %table = mrs.weight "embed.weight" {n_dims = 1 : i64, sources = [{}]} : <[2048{tp 1024}, 256], f32>
    %vector = mrs.weight "vector" {n_dims = 1 : i64, sources = [{}]} : <[256], f32>
    %e = mrs.embed "embed" %ids, %table {vocab_valid = 2003 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[2048{tp 1024}, 256], f32>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    %x = mrs.all_reduce "embed.all_reduce" %e {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
    %a = mrs.add "first" %x, %x : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>) -> !mrs.tensor<[T, 256], f32>
    %b = mrs.add "second" %x, %a : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>) -> !mrs.tensor<[T, 256], f32>
    %c = mrs.add_bias "biased" %b, %vector : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[256], f32>) -> !mrs.tensor<[T, 256], f32>
    %d = mrs.add "doubled" %c, %c : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>) -> !mrs.tensor<[T, 256], f32>
    %n = mrs.rms_norm "norm" %d, %vector {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[256], f32>) -> !mrs.tensor<[T, 256], f32>
    %p = mrs.embed "p" %ids, %table {vocab_valid = 2003 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[2048{tp 1024}, 256], f32>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    %s = mrs.all_reduce "sum" %p {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
    %q, %m = mrs.add_rms_norm "joined" %s, %n, %vector {eps = 1.0e-05 : f32, joined} : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>, !mrs.tensor<[256], f32>) -> (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>)
    %square = mrs.weight "square" {n_dims = 1 : i64, sources = [{}]} : <[256, 256], f32>
    %y = mrs.matmul "product" %q, [%square] : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[256, 256], f32>) -> !mrs.tensor<[T, 256], f32>
    %k, %l = mrs.add_rms_norm "of_what_is_multiplied" %q, %y, %vector {eps = 1.0e-05 : f32, joined} : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>, !mrs.tensor<[256], f32>) -> (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>)
    %o = mrs.embed "o" %ids, %table {vocab_valid = 2003 : i64} : (!mrs.tensor<[T], i32>, !mrs.tensor<[2048{tp 1024}, 256], f32>) -> !mrs.tensor<[T, 256], f32, partial{tp}>
    %t = mrs.all_reduce "other" %o {algorithm = "doubling", axis = "tp"} : (!mrs.tensor<[T, 256], f32, partial{tp}>) -> !mrs.tensor<[T, 256], f32>
    %u, %v = mrs.add_rms_norm "apart" %t, %m, %vector {eps = 1.0e-05 : f32} : (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>, !mrs.tensor<[256], f32>) -> (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[T, 256], f32>)
    return
  }
}
