"""Asks ONNX Runtime what attention with sinks is: writes sinks_golden.h. Needs onnx and onnxruntime (asked: 1.32).

    python3 kernels/testing/make_sinks_golden.py

Its GroupQueryAttention has an input head_sink, a part of the softmax's sum that has no value. It computes in f32 on the
CPU.
"""

import os
import subprocess

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

TOKENS, HEADS, HEAD_DIM = 4, 2, 8  # one KV head
SCALE = 0.25
SINKS = (1.5, -0.5)
CASES = (("plain", 0, 0.0), ("windowed", 2, 0.0), ("capped", 0, 1.0))  # window, soft cap
HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sinks_golden.h")


def values(first, *shape):
    """Eighths between -2 and 2, which bf16 has, too; AttentionSinks.AreWhatOnnxRuntimeHas makes the same."""
    count = int(numpy.prod(shape))
    return numpy.array([(i * 37 + 11) % 33 - 16 for i in range(first, first + count)], numpy.float32).reshape(shape) / 8


def ask(window, soft_cap):
    inputs = {
        "q": values(0, 1, TOKENS, HEADS * HEAD_DIM),
        "k": values(100, 1, TOKENS, HEAD_DIM),
        "v": values(200, 1, TOKENS, HEAD_DIM),
        "past_k": numpy.zeros((1, 1, 0, HEAD_DIM), numpy.float32),
        "past_v": numpy.zeros((1, 1, 0, HEAD_DIM), numpy.float32),
        "last": numpy.array([TOKENS - 1], numpy.int32),
        "total": numpy.array(TOKENS, numpy.int32),
        "sinks": numpy.array(SINKS, numpy.float32),
    }
    node = helper.make_node(
        "GroupQueryAttention", ["q", "k", "v", "past_k", "past_v", "last", "total", "", "", "", "", "sinks"],
        ["y", "present_k", "present_v"], domain="com.microsoft", num_heads=HEADS, kv_num_heads=1, scale=SCALE,
        softcap=soft_cap, local_window_size=window if window else -1)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output]
    model = helper.make_model(
        helper.make_graph([node], "attention", infos, outputs), ir_version=10,
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], inputs)[0].reshape(TOKENS * HEADS, HEAD_DIM)


def main():
    lines = [
        "// Attention with sinks by ONNX Runtime: make_sinks_golden.py wrote this file and says what was asked.",
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        "namespace mrs::kernels {",
        "",
        f"inline constexpr int64_t kGoldenTokens = {TOKENS}, kGoldenHeads = {HEADS}, kGoldenHeadDim = {HEAD_DIM};"
        "  // one KV head",
        f"inline constexpr float kGoldenScale = {SCALE}f, kGoldenSinks[] = {{{', '.join(f'{s}f' for s in SINKS)}}};",
        "struct SinksGolden {",
        "  const char* name;",
        "  int64_t window;",
        "  float soft_cap;",
        "  float y[kGoldenTokens][kGoldenHeads][kGoldenHeadDim];",
        "};",
        "inline constexpr SinksGolden kSinksGoldens[] = {",
    ]
    for name, window, soft_cap in CASES:
        y = ask(window, soft_cap)
        lines.append(f'    {{"{name}", {window}, {soft_cap}f, {{')
        for token in range(TOKENS):
            rows = y[token * HEADS:(token + 1) * HEADS]
            texts = [", ".join(f"{v:.9g}f" if v % 1 else f"{v:.1f}f" for v in row) for row in rows]
            lines.append("{{" + "}, {".join(texts) + "}},")
        lines.append("    }},")
    lines += ["};", "", "}  // namespace mrs::kernels", ""]
    with open(HEADER, "w") as out:
        subprocess.run(["clang-format", f"--assume-filename={HEADER}"], input="\n".join(lines), stdout=out, text=True,
                       check=True)


if __name__ == "__main__":
    main()
