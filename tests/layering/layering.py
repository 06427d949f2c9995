"""Who may include and link whom: the table of the design, held against every source and both programs; and the places
that a new operation touches, as kernels/README.md lists them.

tests/layering/layering.py --bin build/cli
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Folder -> (folders of the project, libraries from outside) that its sources may include. The C and C++ standard
# libraries and POSIX are for everybody; tests (see is_test) may include anything.
ALLOWED = {
    "host": ({"host", "plans/status.h"}, {"fmt"}),
    "plans": ({"plans"}, {"flatbuffers", "openssl", "xxhash", "fmt"}),
    "formats": (
        {"formats", "plans/status.h", "plans/recorded_file.h", "plans/printable.h"},
        {"nlohmann", "openssl", "fmt", "pcre2", "icu"},
    ),
    "ir": ({"ir"}, {"mlir"}),
    "planner": ({"planner", "ir", "plans", "formats", "host"}, {"mlir", "fmt", "yaml", "pugixml"}),
    "kernels": ({"kernels"}, {"cuda"}),
    "runtime": (
        {"runtime", "plans", "formats", "kernels", "host"},
        {"fmt", "spdlog", "openssl", "boost", "prometheus", "hwloc", "cuda"},
    ),
    # Two programs live in cli/; each has its own row.
    "cli: mrs-plan, mrs-opt": ({"cli", "planner", "ir", "plans", "formats", "host"}, {"mlir", "fmt", "cli11"}),
    "cli: mrs-exec": ({"cli", "runtime", "plans", "formats", "kernels", "host"}, {"fmt", "cli11"}),
}
PLANNER_MAINS = {"cli/mrs_plan.cc", "cli/mrs_opt.cc", "cli/cluster_options.cc", "cli/cluster_options.h"}
PLANNER_VERBS = re.compile(r"cli/(?!doctor_)\w+_verb\.(cc|h)")  # of mrs-plan; the doctor is mrs-exec's

# How the libraries are known by their headers.
LIBRARIES = [
    ("mlir", r"(mlir|llvm)/"),
    ("flatbuffers", r"flatbuffers/"),
    ("openssl", r"openssl/"),
    ("xxhash", r"xxhash\.h"),
    ("nlohmann", r"nlohmann/"),
    ("fmt", r"fmt/"),
    ("spdlog", r"spdlog/"),
    ("cli11", r"CLI/"),
    ("boost", r"boost/"),
    ("pcre2", r"pcre2\.h$"),
    ("icu", r"unicode/"),
    ("yaml", r"yaml-cpp/"),
    ("pugixml", r"pugixml"),
    ("sentencepiece", r"sentencepiece"),
    ("prometheus", r"prometheus/"),
    ("hwloc", r"hwloc"),
    ("gtest", r"(gtest|gmock)/"),
    ("benchmark", r"benchmark/"),
    ("cuda", r"(cuda|cublas|nccl|cub/|nvml|cooperative_groups|curand|nvrtc)"),
]
PLATFORM = re.compile(r"(sys|sanitizer|linux|netinet|arpa|net|bits|asm)/[\w/]+\.h$|[\w]+(\.h)?$")

# Programs and the dynamic libraries they may need. mrs-exec runs in a slim container: only libc is there.
SLIM = re.compile(r"(libc|libm|libdl|libpthread|librt|ld-linux-[\w-]+)\.so(\.\d+)?$")
MOST_BYTES = 25_000_000
CUDA = re.compile(r"lib(cuda|cudart|cublas|cublasLt|nccl|nvrtc|nvidia-ml)\.so")


def is_test(path):
    return bool(
        re.search(r"_(test|fuzz)(_\w+)?\.(cc|h)$|_for_test\.h$|/testing/|^runtime/comm/(bench_|conformance_)", path)
    )


def row_of(path):
    folder = path.split("/")[0]
    if folder != "cli":
        return folder
    return "cli: mrs-plan, mrs-opt" if path in PLANNER_MAINS or PLANNER_VERBS.fullmatch(path) else "cli: mrs-exec"


def include_violations(path, text):
    """What the includes of one source break, in words."""
    if is_test(path):
        return []
    row = row_of(path)
    folders, libraries = ALLOWED[row]
    found = []
    for quote, name in re.findall(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"\n]+)[>"]', text, re.MULTILINE):
        if name.split("/")[0] in {rule.split(":")[0] for rule in ALLOWED} and "/" in name:
            if name.split("/")[0] not in folders and name not in folders:
                found.append(f"{path}: includes {name}, but {row} may include {', '.join(sorted(folders))}")
            continue
        library = next((known for known, pattern in LIBRARIES if re.match(pattern, name)), None)
        if library is not None:
            if library not in libraries:
                found.append(
                    f"{path}: includes <{name}> of {library}, but {row} may use {', '.join(sorted(libraries))}"
                )
        elif quote == '"' or not PLATFORM.match(name):
            found.append(f"{path}: includes {name}, which no row of {os.path.basename(__file__)} knows")
    return found


def link_violations(lists):
    """What the mrs_library(... LINK ...) of the build files break; `lists` is {path: text of a CMakeLists.txt}."""
    declared = {
        path: re.findall(r"^\s*mrs_library\(\s*([\w-]+)\s+([^)]*)\)", text, re.MULTILINE)
        for path, text in lists.items()
    }
    home = {target: path.split("/")[0] for path, targets in declared.items() for target, _ in targets}
    found = []
    for path, targets in declared.items():
        folder = path.split("/")[0]
        if folder == "cli":
            continue  # judged by what its programs need
        allowed = {name.split("/")[0] for name in ALLOWED[folder][0]}
        for target, body in targets:
            if target.endswith("_testing"):
                continue
            links = body.split("LINK", 1)[1].split() if "LINK" in body else []
            for link in links:
                if home.get(link, folder) not in allowed:
                    found.append(
                        f"{path}: {target} links {link} of {home[link]}/, "
                        f"but {folder} may link {', '.join(sorted(allowed))}"
                    )
                if link in ("MLIR", "LLVM") and "mlir" not in ALLOWED[folder][1]:
                    found.append(f"{path}: {target} links {link}")
    return found


def program_violations(program, needed):
    """What the dynamic libraries of a program break: mrs-exec starts where neither CUDA nor its driver is."""
    if program == "mrs-exec":
        return [f"mrs-exec needs {name}, which a slim container lacks" for name in needed if not SLIM.match(name)]
    return [f"{program} needs {name}, but no part of the planner may need CUDA" for name in needed if CUDA.match(name)]


def needed_by(path):
    out = subprocess.run(
        ["readelf", "-d", path], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}
    ).stdout
    return re.findall(r"\(NEEDED\)\s+Shared library: \[([^\]]+)\]", out)


def size_violations(program, stripped_bytes):
    if program != "mrs-exec" or stripped_bytes <= MOST_BYTES:
        return []
    return [f"mrs-exec has {stripped_bytes:,} bytes stripped, and may have {MOST_BYTES:,}"]


def stripped_bytes_of(path):
    with tempfile.TemporaryDirectory(prefix="mrs_layering_") as folder:
        stripped = os.path.join(folder, "stripped")
        subprocess.run(["strip", "-o", stripped, path], check=True)
        return os.path.getsize(stripped)


def sources(endings):
    for folder in sorted({row.split(":")[0] for row in ALLOWED}):
        for place, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(names):
                if name.endswith(endings):
                    full = os.path.join(place, name)
                    with open(full, encoding="utf-8") as file:
                        yield os.path.relpath(full, ROOT), file.read()


def place_violations(readme, texts, rows=11):
    """Where the places that kernels/README.md lists for its example of an operation are not those of the sources."""
    where, chapter = "kernels/README.md", readme.split("## A new operation", 1)[1]
    places = re.findall(r"^\| (`.*?) \|", chapter, re.MULTILINE)
    listed = {path for place in places for path in re.findall(r"`([\w/.]+)`", place)}
    known = {path for path, text in texts.items() if re.search(r"GeluMul|gelu_mul|GluAttr|\bglus\b", text)}
    found = [] if len(places) == rows else [f"{where}: {len(places)} places of a new operation, expected {rows}"]
    unlisted = {path for path in known if not is_test(path)} - listed
    found += [f"{where}: {path} knows of gelu_mul and is no place of a new operation" for path in sorted(unlisted)]
    found += [f"{where}: {path} knows nothing of gelu_mul" for path in sorted(listed - known)]
    return found


# Each must be caught, or the check is blind.
PLANTED = [
    place_violations("## A new operation\n| `ir/a.td` | x |\n", {"ir/a.td": "GeluMul", "ir/b.cc": "glus"}, rows=1),
    place_violations("## A new operation\n| `ir/a.td`, `k/testing/b.cc` | x |\n", {"ir/a.td": "GeluMul"}, rows=1),
    place_violations("## A new operation\n| `ir/a.td` | x |\n", {"ir/a.td": "GeluMul"}, rows=2),
    include_violations("runtime/rank/bind.cc", '#include "planner/build.h"\n'),
    include_violations("runtime/rank/bind.cc", '#include <string>\n#include "mlir/IR/Value.h"\n'),
    include_violations("kernels/pack.cc", '  #  include "plans/status.h"\n'),
    include_violations("kernels/pack.cc", "#include <fmt/format.h>\n"),
    include_violations("plans/reader.cc", '#include "formats/json.h"\n'),
    include_violations("formats/json.cc", '#include "plans/reader.h"\n'),
    include_violations("ir/program.cc", '#include "plans/status.h"\n'),
    include_violations("planner/build.cc", '#include "runtime/rank/executor.h"\n'),
    include_violations("planner/build.cc", "#include <cuda_runtime.h>\n"),
    include_violations("cli/mrs_plan.cc", '#include "runtime/rank/executor.h"\n'),
    include_violations("cli/mrs_exec.cc", '#include "planner/build.h"\n'),
    include_violations("runtime/rank/bind.cc", "#include <some_library/it.h>\n"),
    link_violations(
        {
            "ir/CMakeLists.txt": "mrs_library(mrs_ir SOURCES a.cc LINK MLIR)\n",
            "runtime/CMakeLists.txt": "mrs_library(mrs_run\n  SOURCES b.cc\n  LINK fmt::fmt mrs_ir)\n",
        }
    ),
    link_violations({"kernels/CMakeLists.txt": "mrs_library(mrs_kernels SOURCES a.cc LINK MLIR)\n"}),
    program_violations("mrs-exec", ["libc.so.6", "libMLIR.so.22.1"]),
    program_violations("mrs-exec", ["libc.so.6", "libfmt.so.9"]),
    program_violations("mrs-exec", ["libc.so.6", "libcuda.so.1"]),
    size_violations("mrs-exec", 25_000_001),
    program_violations("mrs-plan", ["libMLIR.so.22.1", "libcudart.so.13"]),
]
# And these must pass.
INNOCENT = [
    place_violations("## A new operation\n| `ir/a.td` | x |\n", {"ir/a.td": "GeluMul", "ir/a_test.cc": "glus"}, rows=1),
    include_violations(
        "formats/json.h", '#include <nlohmann/json.hpp>\n#include "plans/status.h"\n#include <sys/mman.h>\n'
    ),
    include_violations("kernels/pack_test.cc", '#include "plans/reader.h"\n'),
    program_violations("mrs-exec", ["libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"]),
    size_violations("mrs-exec", 25_000_000),
    program_violations("mrs-plan", ["libMLIR.so.22.1", "libstdc++.so.6"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", required=True, help="folder with the programs")
    arguments = parser.parse_args()
    blind = [number for number, found in enumerate(PLANTED) if len(found) != 1]
    nervous = [found for found in INNOCENT if found]
    if blind or nervous:
        sys.exit(
            f"the check itself is broken: planted violations {blind} not found once; innocent ones refused: {nervous}"
        )

    violations, count = [], 0
    for path, text in sources((".cc", ".h", ".cu", ".cuh", ".td", ".inc")):
        violations += include_violations(path, text)
        count += 1
    if count < 100:
        sys.exit(f"only {count} sources found under {ROOT}: the check looks in the wrong place")
    violations += link_violations(dict(sources("CMakeLists.txt")))
    with open(os.path.join(ROOT, "kernels", "README.md"), encoding="utf-8") as readme:
        violations += place_violations(readme.read(), dict(sources((".cc", ".h", ".cu", ".cuh", ".td", ".inc", ".fbs"))))
    programs = [
        name for name in ("mrs-exec", "mrs-plan", "mrs-opt") if os.path.exists(os.path.join(arguments.bin, name))
    ]
    if "mrs-exec" not in programs:
        sys.exit(f"{arguments.bin}: no mrs-exec; give the folder of the built programs with --bin")
    for name in programs:
        violations += size_violations(name, stripped_bytes_of(os.path.join(arguments.bin, name)))
        violations += program_violations(name, needed_by(os.path.join(arguments.bin, name)))
    print("\n".join(violations) or f"{count} sources, {', '.join(programs)}: every include and link is allowed")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
