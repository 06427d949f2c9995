"""Mutants of the compiler: one wrong line each in a pass, in the emitter or in a table that both share.

Each is (name, file, old text, new text); the old text must stand in the file exactly once. What computes the unsharded
graph (build_graph, the readers of config.json) is not here: that the graph is the model is for transformers to judge. Those
of plans for GPUs are in gpu_compiler_mutants.py.
"""

from collections import namedtuple

# harmless: models of which it makes another plan that is right, too, with the same logits. places: it is tried on plans
# for GPUs of the bundled model, subjects.PLACES, and on no others.
Mutant = namedtuple("Mutant", "name file old new harmless places", defaults=((), False))

RULES, OPS, PROGRAM, SLICES = "ir/sharding_rules.cc", "ir/mrs_ops.td", "ir/program.cc", "ir/dim_slice.cc"
FUSE, INSERT, PROPAGATE = (f"planner/passes/{name}.cc" for name in ("fuse", "insert_collectives", "propagate"))
LAYOUT = "planner/passes/apply_layout.cc"
LOCALIZE, SCHEDULE, IN_PLACE = (f"planner/passes/{name}.cc" for name in ("localize", "schedule", "in_place"))
FIRST_FIT, MEMORY = "planner/passes/first_fit.cc", "planner/passes/plan_memory.cc"
STAGE, PLAN = "planner/emit_stage.cc", "planner/emit_plan.cc"

ROWS = "SliceOf(local->rows, local->rows.size, rows_split)"
OPERANDS = """    for (mlir::Value operand : op->getOperands()) {
      if (!ir::IsCache(operand)) add(operand);
    }
    return refs;"""
RESULT = "stage_->refs.emplace_back(buffers_.lookup(op->getResult(i)), plan::RefSpace::buffer);"
REPLACED = "result.replaceAllUsesWith(joined.getResult(next++));"
BIAS = "add(matmul.getBiases()[part]);"
JOINED = "  auto joined = ir::MatmulOp::create("
ATTENTION_SCALE = "attention.getScale().convertToFloat()"


def reversed_where(condition):
    """The emitter hands the rows of weights for which `condition` holds to the ranks in reverse."""
    way = "DimSlice{local->rows.step * ((mesh_.tp - 1) / local->rows.every), -local->rows.step, local->rows.size, "
    way += "local->rows.every}"
    return ROWS, f"SliceOf({condition} && rows_split ? {way} : local->rows, local->rows.size, rows_split)"


def results(order):
    """The emitter lists result `order` where it should list result i of result_count."""
    return RESULT, RESULT.replace("getResult(i)", f"getResult({order})")


def reads(op, order):
    """The emitter lists the operands of one kind of operation in another order."""
    picks = "".join(f"add(op->getOperand({at})); " for at in order)
    return OPERANDS, OPERANDS.replace(
        "    for", f"    if (mlir::isa<ir::{op}>(op)) {{ {picks}return refs; }}\n    for", 1
    )


MUTANTS = [
    # Tables that passes and verifier share.
    Mutant(
        "no_factor_is_summed",
        RULES,
        "map.contracted.assign(map.factor_count, true);",
        "map.contracted.assign(map.factor_count, false);",
    ),
    Mutant(
        "kv_heads_follow_nobody",
        OPS,
        '"t h !d, c h/ !d, t, t, s p -> t h !d"',
        '"t h !d, c g !d, t, t, s p -> t h !d"',
        ("llama_bias_bf16",),  # its only KV head is everybody's either way
    ),
    Mutant(
        "rows_of_heads_reversed",
        PROGRAM,
        "*out = begin < end && type.getSlices()[begin].split() ? Scale(type.getSlices()[begin], inner)",
        """if (begin == 0 && n_dims == 2 && mesh.tp > 1 && type.getSlices()[0].split()) {
      const DimSlice way = Scale(type.getSlices()[0], inner);
      *out = {way.step * ((mesh.tp - 1) / way.every), -way.step, way.size, way.every};
      return mlir::success();
    }
    *out = begin < end && type.getSlices()[begin].split() ? Scale(type.getSlices()[begin], inner)""",
    ),
    Mutant(
        "split_is_reversed",
        SLICES,
        "return DimSlice{0, extent / ranks, extent / ranks, 1, axis};",
        "return DimSlice{extent - extent / ranks, -(extent / ranks), extent / ranks, 1, axis};",
    ),
    # Passes.
    Mutant(
        "fused_kv_exchanged",
        FUSE,
        REPLACED,
        "result.replaceAllUsesWith(joined.getResult(siblings.size() == 3 && next > 0 ? 3 - next : next)), ++next;",
    ),
    Mutant(
        "fused_gate_up_exchanged",
        FUSE,
        REPLACED,
        "result.replaceAllUsesWith(joined.getResult(siblings.size() == 2 ? 1 - next : next)), ++next;",
    ),
    Mutant(
        "fused_kv_biases_exchanged",
        FUSE,
        JOINED,
        "  if (biases.size() == 3) std::swap(biases[1], biases[2]);\n" + JOINED,
    ),
    Mutant(
        "fused_gate_up_biases_exchanged",
        FUSE,
        JOINED,
        "  if (biases.size() == 2) std::swap(biases[0], biases[1]);\n" + JOINED,
    ),
    Mutant(
        "fused_kv_weights_exchanged",
        FUSE,
        JOINED,
        "  if (weights.size() == 3) std::swap(weights[1], weights[2]);\n" + JOINED,
    ),
    Mutant(
        "fuse_forgets_the_last",
        FUSE,
        "llvm::append_range(types, op.getResultTypes());\n  }",
        "llvm::append_range(types, op.getResultTypes());\n  }\n  weights.back() = weights[weights.size() - 2];",
    ),
    Mutant("nothing_is_partial", PROPAGATE, "  if (!partial) return;\n", "  if (!partial || true) return;\n"),
    Mutant(
        "seeds_are_reversed",
        LAYOUT,
        "    seed.value.setType(type.withSlice(seed.dim, *slice));",
        "    auto way = *slice;\n"
        "    if (tp > 1) way = ir::DimSlice{type.getShape()[seed.dim] - slice->size, -slice->size, slice->size, 1};\n"
        "    seed.value.setType(type.withSlice(seed.dim, way));",
    ),
    Mutant(
        "sums_are_not_completed",
        INSERT,
        "if (IsCompleted(value)) return value;",
        "if (IsCompleted(value) || op != nullptr) return value;",
    ),
    Mutant(
        "sum_is_used_by_nobody",
        INSERT,
        "return !mlir::isa<ir::AllReduceOp>(use.getOwner());",
        "return use.getOwner() == nullptr;",
    ),
    Mutant(
        "logits_are_not_gathered",
        INSERT,
        "if (uses.empty()) return mlir::success();",
        'if (uses.empty() || ir::NameOf(op) == "lm_head") return mlir::success();',
    ),
    Mutant(
        "local_rows_of_rank_0",
        LOCALIZE,
        "        weight.setLocalAttr(ir::LocalWeightAttr(builder, *local));",
        "        auto wrong = *local;\n        wrong.rows.step = 0;\n"
        "        weight.setLocalAttr(ir::LocalWeightAttr(builder, wrong));",
    ),
    Mutant(
        "collectives_count_twice",
        SCHEDULE,
        "builder.getI64IntegerAttr(order.Next(ir::VariantOf(&op)))",
        "builder.getI64IntegerAttr(2 * order.Next(ir::VariantOf(&op)))",
    ),
    Mutant("in_place_over_what_is_read", IN_PLACE, "if (!read_later && !both &&", "if (!both &&"),
    Mutant("memory_forgets_a_use", FIRST_FIT, "return one.last < value.first ||", "return one.last <= value.first ||"),
    Mutant(
        "weights_lie_on_one_another",
        MEMORY,
        "TensorTypeOf(weight.getResult()).getElementType()));\n    }\n    return arena;",
        "TensorTypeOf(weight.getResult()).getElementType()) / 2);\n    }\n    return arena;",
    ),
    # The emitter: what a step reads and writes.
    Mutant("add_doubles_sum", STAGE, *reads("AddOp", (1, 1))),
    Mutant("add_doubles_residual", STAGE, *reads("AddOp", (0, 0))),
    Mutant("silu_of_up", STAGE, *reads("SiluMulOp", (1, 0))),
    Mutant("append_v_as_k", STAGE, *reads("KvAppendOp", (1, 0, 2))),
    Mutant("attention_inputs_exchanged", STAGE, *reads("AttentionOp", (0, 3, 2, 4))),
    Mutant(
        "emitted_kv_biases_exchanged",
        STAGE,
        BIAS,
        "add(matmul.getBiases()[part > 0 && matmul.getBiases().size() == 3 ? 3 - part : part]);",
    ),
    Mutant(
        "emitted_gate_up_biases_exchanged",
        STAGE,
        BIAS,
        "add(matmul.getBiases()[matmul.getBiases().size() == 2 ? 1 - part : part]);",
    ),
    Mutant(
        "emitted_kv_exchanged",
        STAGE,
        *results("result_count == 3 && i > 0 ? 3 - i : i"),
    ),
    Mutant(
        "emitted_gate_up_exchanged",
        STAGE,
        *results("result_count == 2 ? 1 - i : i"),
    ),
    Mutant(
        "all_reduces_are_not_emitted",
        STAGE,
        "      } else {\n        for (mlir::Value result : op.getResults()) {",
        "      } else if (mlir::isa<ir::AllReduceOp>(op)) {\n"
        "        buffers_[op.getResult(0)] = buffers_.lookup(op.getOperand(0));\n"
        "      } else {\n        for (mlir::Value result : op.getResults()) {",
    ),
    # The emitter: which bytes of the checkpoint.
    Mutant(
        "emitted_rows_of_heads_reversed",
        STAGE,
        *reversed_where("op.getNDims() == 2"),
    ),
    Mutant(
        "emitted_rows_of_head_reversed",
        STAGE,
        *reversed_where('op.getName() == "lm_head.weight"'),
    ),
    Mutant(
        "emitted_rows_of_gate_reversed",
        STAGE,
        *reversed_where('op.getName().contains("gate_proj.weight")'),
    ),
    Mutant("emitted_rows_of_rank_0", STAGE, ROWS, "SliceOf(local->rows, local->rows.size, false && rows_split)"),
    Mutant(
        "tensors_one_row_late",
        STAGE,
        'number("offset"), 0, Name(tensor.getValue())',
        'number("offset") + 2 * number("columns"), 0, Name(tensor.getValue())',
    ),
    Mutant(
        "bf16_read_as_f16",
        STAGE,
        'dtype.getValue() == "bf16"  ? plan::DType::bf16',
        'dtype.getValue() == "bf16"  ? plan::DType::f16',
    ),
    Mutant(
        "one_chunk_count",
        STAGE,
        "vector ? 0 : op.getChunks(), stage_->sources.size()",
        "vector ? 0 : local->chunk_count, stage_->sources.size()",
    ),
    Mutant(
        "fused_rows_from_the_first",
        STAGE,
        'row_begin = part ? number("row_begin") : 0, row_count',
        'row_begin = part && number("row_begin") < 0 ? -1 : 0, row_count',
    ),
    Mutant(
        "one_is_not_added",
        STAGE,
        "transform ? plan::Transform::add_one : plan::Transform::none",
        "transform && row_begin < 0 ? plan::Transform::add_one : plan::Transform::none",
    ),
    # The emitter: numbers.
    Mutant(
        "eps_from_elsewhere",
        STAGE,
        "attr.eps = norm.getEps().convertToFloat();\n          return KindAndAttr{OpKind::rms_norm,",
        "attr.eps = 1e-4f;\n          return KindAndAttr{OpKind::rms_norm,",
    ),
    Mutant(
        "scale_from_elsewhere",
        STAGE,
        ATTENTION_SCALE,
        "0.125f + 0.5f / attr.head_dim",
    ),
    Mutant(
        "cache_of_layer_0",
        STAGE,
        f"attr.scale = {ATTENTION_SCALE};",
        f"attr.scale = {ATTENTION_SCALE};\n          attr.kv_layer = 0;",
    ),
    Mutant(
        "window_of_attention_forgotten",
        STAGE,
        "attr.window = static_cast<uint32_t>(attention.getWindow());",
        "attr.window = 0;",
    ),
    Mutant(
        "soft_cap_from_elsewhere",
        STAGE,
        "attr.soft_cap = attention.getSoftCap().convertToFloat();",
        "attr.soft_cap = 2 * attention.getSoftCap().convertToFloat();",
    ),
    Mutant("gelu_by_tanh", STAGE, "attr.approximate = gelu.getApproximate();", "attr.approximate = gelu.getApproximate() || true;"),
    Mutant("pairs_of_halves", STAGE, "attr.interleaved = rope.getInterleaved();", "attr.interleaved = false;"),
    Mutant(
        "multiplier_from_elsewhere",
        STAGE,
        "Append(stage_->scales, scale.getFactor().convertToFloat())",
        "Append(stage_->scales, 2 * scale.getFactor().convertToFloat())",
    ),
    Mutant(
        "rope_from_elsewhere",
        PLAN,
        "    out->inv_freq = rope.inv_freq;",
        "    out->inv_freq = rope.inv_freq;\n    out->inv_freq.back() *= 2;",
    ),
    Mutant(
        "attention_factor_from_elsewhere",
        PLAN,
        "    out->attention_factor = rope.attention_factor;",
        "    out->attention_factor = 0.5f * rope.attention_factor;",
    ),
    Mutant("chain_from_elsewhere", PLAN, 'facts.chain == "pair2"  ?', 'facts.chain != "pair2"  ?'),
    Mutant(
        "two_heads_as_one_in_rope",
        STAGE,
        "attr.heads = type.localSize(1);\n          attr.head_dim = type.getShape()[2];",
        "attr.heads = type.localSize(1) / 2;\n          attr.head_dim = type.getShape()[2] * 2;",
    ),
    Mutant(
        "padding_may_be_chosen",
        STAGE,
        "best.getVocabValid(), logits.getShape()[1] / contract::kVocabChunks,",
        "logits.getShape()[1], logits.getShape()[1] / contract::kVocabChunks,",
    ),
    Mutant(
        "fewer_candidates",
        STAGE,
        "static_cast<uint32_t>(element.getK()))",
        "static_cast<uint32_t>(element.getK() / 2))",
    ),
    Mutant(
        "first_end_token_alone",
        PLAN,
        "  out->eos = m.eos;",
        "  out->eos = m.eos;\n  while (out->eos.size() > 1) out->eos.pop_back();",
    ),
    Mutant("no_end_token", PLAN, "  out->eos = m.eos;", ""),
    Mutant(
        "temperature_from_elsewhere",
        PLAN,
        "out->sampling->temperature = m.sampling.temperature;",
        "out->sampling->temperature = m.sampling.top_p;",
    ),
    Mutant("top_k_forgotten", PLAN, "  out->sampling->top_k = m.sampling.top_k;\n", ""),
    Mutant("no_template", PLAN, "  out->chat_template = m.chat_template;\n", ""),
]
