// The mrs dialect: a decoder forward, unsharded or sharded, in one set of operations and types.
//
// A value's type says everything about its place: global shape, the slice a rank holds of each dimension as a function of
// its coordinate on an axis of the mesh, and over which axes it is only a partial sum. The passes change types and
// attributes; the operations stay.
#ifndef MRS_IR_DIALECT_TD
#define MRS_IR_DIALECT_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/OpBase.td"

def Mrs_Dialect : Dialect {
  let name = "mrs";
  let cppNamespace = "::mrs::ir";
  let useDefaultTypePrinterParser = 1;
}

class Mrs_Type<string name, string typeMnemonic> : TypeDef<Mrs_Dialect, name> {
  let mnemonic = typeMnemonic;
}

def Mrs_TensorType : Mrs_Type<"Tensor", "tensor"> {
  let summary = "global shape, slice per dimension, partial state";
  let description = [{
    `!mrs.tensor<[T, 8{tp 4}, 32], bf16>`: tokens x 8 heads x 32; a rank with coordinate c on tp holds heads [4c, 4c + 4).
    `!mrs.tensor<[T, 4{tp 1 every 2}, 32], bf16>`: 4 KV heads on 8 ranks; ranks 2h and 2h + 1 both hold head h.
    `!mrs.tensor<[8{tp 2}, 64{ep 32}, 256], bf16>`: two dimensions, split over different axes of the mesh.
    `!mrs.tensor<[T, 256], f32, partial{tp}>`: each rank holds a partial sum; the value is the canonical tree sum of the
    ranks along tp.
    Symbols: T tokens, S sequences, L rows that want logits, B tokens in the KV cache.
  }];
  let parameters = (ins
    ArrayRefParameter<"int64_t">:$shape,
    "::mlir::Type":$elementType,
    ArrayRefParameter<"::mrs::ir::DimSlice">:$slices,
    "::mrs::ir::AxisSet":$partial
  );
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let builders = [
    TypeBuilder<(ins "::llvm::ArrayRef<int64_t>":$shape, "::mlir::Type":$elementType)>
  ];
  let extraClassDeclaration = [{
    int64_t rank() const { return getShape().size(); }
    // The type with the slice of one dimension, or the partial state, exchanged.
    TensorType withSlice(int64_t dim, DimSlice slice) const;
    TensorType withPartial(AxisSet partial) const;
    bool isSharded() const;
    // Elements of dimension `dim` on one rank; symbols stay symbols.
    int64_t localSize(int64_t dim) const;
  }];
}

def Mrs_CandidatesType : Mrs_Type<"Candidates", "candidates"> {
  let summary = "element of top_candidates: one vocabulary chunk's share of a record with k candidates";
  let parameters = (ins "int64_t":$k);
  let assemblyFormat = "`<` $k `>`";
}

#endif
