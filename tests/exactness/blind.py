"""Each rank reads nothing but its planned bytes of the checkpoint.

    python3 blind.py --bin build/cli

Every rank gets its own copy of the model folder. In it config.json has another name, and every byte of the weight files
is 0xff (a NaN in f32, bf16 and f16) except the header and what `mrs-plan inspect --json` says this rank's weights are
made of. The hash must stay what it is with the whole checkpoint. Two controls: with rank 0's copy for rank 1, and with
one planned element turned to NaN, it must not.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile

import random_checkpoint
from mrs_tools import MINI, Failed, Tools

ELEMENT_BYTES = {"f32": 4, "bf16": 2, "f16": 2}
SEEDS = (1, 9, 11, 12, 16)  # random models: see what they are in the output


def span(dimension, coordinates, extent):
    """[begin, end) of a plan.fbs Slice for a rank, cut to what the tensor has (the rest is padding)."""
    coordinate = 0 if dimension["axis"] == "none" else coordinates[dimension["axis"]]
    begin = dimension["start"] + dimension["step"] * (coordinate // dimension["every"])
    return max(0, min(begin, extent)), max(0, min(begin + dimension["size"], extent))


def planned_ranges(plan, rank):
    """(file index, begin, end) of every run of bytes that this rank's weights are made of."""
    coordinates = plan["ranks"][rank]
    stage = plan["stages"][coordinates["stage"]]
    for weight in stage["weights"]:
        for source in stage["sources"][weight["source_begin"] : weight["source_begin"] + weight["source_count"]]:
            size = ELEMENT_BYTES[source["dtype"]]
            row_begin, row_end = span(source["rows"], coordinates, source["row_count"])
            row_begin, row_end = row_begin + source["row_begin"], row_end + source["row_begin"]
            column_begin, column_end = span(source["columns"], coordinates, source["tensor_columns"])
            if (column_begin, column_end) == (0, source["tensor_columns"]):  # whole rows lie together
                column_end *= max(0, row_end - row_begin)
                row_end = min(row_end, row_begin + 1)
            for row in range(row_begin, row_end):
                at = source["file_offset"] + row * source["tensor_columns"] * size
                yield source["file"], at + column_begin * size, at + column_end * size


def blind_copy(model, plan, ranks, folder):
    """Writes the copy of these ranks; yields the bytes of each weight file, blind and whole."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("training", "README.md"))
    os.rename(os.path.join(folder, "config.json"), os.path.join(folder, "was-config.json"))
    ranges = [one for rank in ranks for one in planned_ranges(plan, rank)]
    for index, file in enumerate(plan["files"]):
        path = os.path.join(folder, file["name"])
        with open(path, "rb") as source:
            data = source.read()
        blind = bytearray(b"\xff" * len(data))
        keep = [(0, file["header_bytes"])] + [(b, e) for f, b, e in ranges if f == index]
        for begin, end in keep:
            blind[begin:end] = data[begin:end]
        with open(path, "wb") as out:
            out.write(blind)
        yield blind, data


def blind_copy_of_rank(model, plan, rank, folder):
    """Writes the rank's copy; returns planned and all bytes of the weight files."""
    planned = total = 0
    for blind, data in blind_copy(model, plan, [rank], folder):
        planned += len(blind) - sum(1 for a, b in zip(blind, data) if a == 0xFF and b != 0xFF)
        total += len(data)
    return planned, total


def check_model(tools, name, model, vocab, tp, scratch):
    plan_path = tools.build(model, f"{scratch}/{name}-{tp}.mrsplan", tp=tp)
    plan = tools.inspect(plan_path)
    rng = random.Random(f"blind {name}")
    prompts = [[rng.randrange(vocab) for _ in range(100)]]

    def sha256(folder, transport="shm"):
        return tools.run(plan_path, folder, prompts, 16, transport=transport)[0]["logits_sha256"]

    whole = sha256(model)
    root = f"{scratch}/{name}-{tp}"
    sizes = [blind_copy_of_rank(model, plan, rank, f"{root}/{rank}") for rank in range(tp)]
    for transport in ("local", "shm", "tcp"):
        found = sha256(root + "/{rank}", transport)
        if found != whole:
            raise Failed(f"{name} tp {tp} {transport}: blind {found}, whole {whole}")
    shares = ", ".join(f"{100 * planned // total} %" for planned, total in sizes)
    print(f"{name} tp {tp}: the same hash, rank by rank from {shares} of the bytes")

    def must_differ(what):
        try:
            found = sha256(root + "/{rank}")
        except Failed:
            return
        if found == whole:
            raise Failed(f"{name} tp {tp}: control: the same hash with {what}")

    if tp > 1:
        os.rename(f"{root}/1", f"{root}/1-own")
        shutil.copytree(f"{root}/0", f"{root}/1")
        must_differ("rank 0's bytes for rank 1")
        shutil.rmtree(f"{root}/1")
        os.rename(f"{root}/1-own", f"{root}/1")
    # Rank 0's last range is of the head: the first words of the vocabulary, which every model has.
    index, begin, _ = list(planned_ranges(plan, 0))[-1]
    with open(os.path.join(root, "0", plan["files"][index]["name"]), "r+b") as file:
        file.seek(begin)
        file.write(b"\xff" * 4)
    must_differ("a NaN in a planned range")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of mrs-plan and mrs-exec")
    options = parser.parse_args()
    tools = Tools(options.bin)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for tp in (1, 2, 4, 8):
                check_model(tools, "mini", MINI, 2003, tp, scratch)
            for seed in SEEDS:
                name = f"random-{seed}"
                config, dtype = random_checkpoint.write_checkpoint(seed, f"{scratch}/{name}")
                print(f"{name}: {random_checkpoint.describe(config, dtype)}")
                for tp in random_checkpoint.legal_tp(config):
                    check_model(tools, name, f"{scratch}/{name}", config["vocab_size"], tp, scratch)
    except Failed as failure:
        print(f"FAILED: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
