"""Writes the checkpoint that a folder of this directory describes instead of holding: the same bytes on any host.

    python3 tiny_checkpoint.py gemma2 FOLDER        writes FOLDER/config.json and FOLDER/model.safetensors (bf16)

golden.json says the names and shapes that transformers gave the tensors, and how large values are; each tensor's values
follow from the seed and its name. Its hash is kept beside them, so that answers can only be compared with the weights
that they were made from. Standard library only.
"""

import array
import hashlib
import json
import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def names():
    """The folders that describe their checkpoint, sorted."""
    folders = (os.path.join(HERE, name) for name in sorted(os.listdir(HERE)))
    return [
        os.path.basename(folder)
        for folder in folders
        if os.path.exists(os.path.join(folder, "golden.json"))
        and not os.path.exists(os.path.join(folder, "model.safetensors"))
    ]


def to_bf16(values):
    """Little-endian bf16, cut from f32: any bits will do."""
    floats = array.array("f", values)
    if sys.byteorder == "big":
        floats.byteswap()
    data = floats.tobytes()
    half = bytearray(len(data) // 2)
    half[0::2], half[1::2] = data[2::4], data[3::4]
    return bytes(half)


def is_norm(name):
    return "norm" in name and name.endswith(".weight")


def tensor_values(name, shape, recipe):
    """Uniform values. recipe: seed; norm: middle of the norms' factors, final_norm: of the last one; norm_base: 1 where
    a norm multiplies by 1 + w; matrix, embed, bias: largest value, of matrices times sqrt(columns)."""
    rng = random.Random(f"{recipe['seed']} {name}")
    count = 1
    for extent in shape:
        count *= extent
    if is_norm(name):
        middle = recipe["final_norm"] if name == "model.norm.weight" else recipe["norm"]
        return [middle * (0.7 + 0.6 * rng.random()) - recipe["norm_base"] for _ in range(count)]
    if name.endswith(".bias"):
        scale = recipe["bias"]
    else:
        scale = recipe["embed" if "embed_tokens" in name or "lm_head" in name else "matrix"] / shape[1] ** 0.5
    return [scale * (2 * rng.random() - 1) for _ in range(count)]


def weights_file(recipe):
    """The bytes of model.safetensors."""
    header, parts, offset = {}, [], 0
    for name, shape in recipe["tensors"].items():
        data = to_bf16(tensor_values(name, shape, recipe))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def write(source, folder, config="config.json"):
    """Makes the checkpoint of the golden folder `source`, with that configuration. Refuses weights that are not those
    of the golden answers."""
    with open(os.path.join(source, "golden.json")) as file:
        golden = json.load(file)
    data = weights_file(golden["weights"])
    found = hashlib.sha256(data).hexdigest()
    if found != golden["weights_sha256"]:
        raise SystemExit(f"{source}: weights have the SHA-256 {found}, golden.json says {golden['weights_sha256']}")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(source, config)) as file, open(os.path.join(folder, "config.json"), "w") as copy:
        copy.write(file.read())
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(data)
    return golden


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    write(os.path.join(HERE, sys.argv[1]), sys.argv[2])
