// !mrs.tensor says where a value is: global shape, the slice of each dimension that a rank holds, and whether it is only
// a partial sum. What is printed parses again to the same.
// RUN: mrs-opt %s -split-input-file -verify-diagnostics | mrs-opt -split-input-file | FileCheck %s

// Symbols: T tokens, S sequences, L rows that want logits, B tokens in the cache.
// CHECK-LABEL: func.func private @symbols
// CHECK-SAME: (!mrs.tensor<[T, 256], f32>, !mrs.tensor<[S, 8], i32>, !mrs.tensor<[L, 2048], bf16>, !mrs.tensor<[B, 4, 32], bf16>)
func.func private @symbols(!mrs.tensor<[T, 256], f32>, !mrs.tensor<[S, 8], i32>, !mrs.tensor<[L, 2048], bf16>,
                           !mrs.tensor<[B, 4, 32], bf16>)

// Rank c holds [4c, 4c + 4) of 8: the step is the size unless it is said, and the start 0.
// CHECK-LABEL: func.func private @slices
// CHECK-SAME: (!mrs.tensor<[T, 8{tp 4}, 32], bf16>, !mrs.tensor<[T, 8{tp 4 start 4 step -4}, 32], bf16>)
func.func private @slices(!mrs.tensor<[T, 8{tp 4 step 4}, 32], bf16>, !mrs.tensor<[T, 8{tp 4 start 4 step -4}, 32], bf16>)

// 4 KV heads on 8 ranks: ranks 2h and 2h + 1 both hold head h.
// CHECK-LABEL: func.func private @replicated
// CHECK-SAME: !mrs.tensor<[T, 4{tp 1 every 2}, 32], bf16>
func.func private @replicated(!mrs.tensor<[T, 4{tp 1 every 2}, 32], bf16>)

// Along another axis than tp, and along two.
// CHECK-LABEL: func.func private @axes
// CHECK-SAME: (!mrs.tensor<[8{ep 2}, 64], bf16>, !mrs.tensor<[8{ep 2}, 64{tp 32}], bf16>, !mrs.tensor<[T, 8], f32, partial{tp, dp}>)
func.func private @axes(!mrs.tensor<[8{ep 2}, 64], bf16>, !mrs.tensor<[8{ep 2}, 64{tp 32}], bf16>, !mrs.tensor<[T, 8], f32, partial{dp, tp}>)

// CHECK-LABEL: func.func private @partial
// CHECK-SAME: !mrs.tensor<[T, 256], f32, partial{tp}>
func.func private @partial(!mrs.tensor<[T, 256], f32, partial{tp}>)

// What the ranks say about the best 24 logits of each row, by vocabulary chunk.
// CHECK-LABEL: func.func private @candidates
// CHECK-SAME: !mrs.tensor<[L, 16{tp 8}], !mrs.candidates<24>>
func.func private @candidates(!mrs.tensor<[L, 16{tp 8}], !mrs.candidates<24>>)

// -----
// expected-error@+1 {{expected a size or one of T, S, L, B}}
func.func private @unknown_symbol(!mrs.tensor<[X], f32>)

// -----
// expected-error@+1 {{dimension 0: a symbol cannot be split}}
func.func private @split_symbol_size(!mrs.tensor<[-1{tp 4}], f32>)

// -----
// expected-error@+1 {{dimension 1: only the first dimension, rows, can be a symbol}}
func.func private @symbolic_columns(!mrs.tensor<[8, T], f32>)

// -----
// expected-error@+1 {{dimension 0: size 0 is out of range}}
func.func private @zero(!mrs.tensor<[0], f32>)

// -----
// expected-error@+1 {{dimension 1: size 1099511627777 is out of range}}
func.func private @huge(!mrs.tensor<[T, 1099511627777], f32>)

// -----
// expected-error@+1 {{dimension 1: slice {size 9, start 0, step 9, every 1} is out of range}}
func.func private @slice_past_its_dimension(!mrs.tensor<[T, 8{tp 9}], f32>)

// -----
// expected-error@+1 {{dimension 1: slice {size 1, start 0, step 1, every 0} is out of range}}
func.func private @every_zero(!mrs.tensor<[T, 8{tp 1 every 0}], f32>)

// -----
// expected-error@+1 {{elements are f32, bf16, i32 or candidates, not 'f64'}}
func.func private @element(!mrs.tensor<[T], f64>)

// -----
// expected-error@+1 {{a tensor has 1 to 4 dimensions, not 5}}
func.func private @five_dimensions(!mrs.tensor<[1, 2, 3, 4, 5], f32>)

// -----
// expected-error@+1 {{a tensor has 1 to 4 dimensions, not 0}}
func.func private @no_dimensions(!mrs.tensor<[], f32>)

// -----
// expected-error@+1 {{expected 'partial'}}
func.func private @no_other_state(!mrs.tensor<[T], f32, whole>)

// -----
// expected-error@+1 {{expected an axis that splits values: tp, ep or dp}}
func.func private @stages_split_nothing(!mrs.tensor<[T, 8{stage 4}], f32>)

// -----
// expected-error@+1 {{expected an axis that splits values: tp, ep or dp}}
func.func private @no_such_axis(!mrs.tensor<[T, 8], f32, partial{pp}>)

// -----
// expected-error@+1 {{expected '{'}}
func.func private @partial_over_nothing(!mrs.tensor<[T, 8], f32, partial>)
