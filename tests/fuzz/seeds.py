"""What each fuzz target starts from: inputs that reach deep, and the words of its grammar.

Most are the strings of the tests beside the parser, and the words those of its sources, so a key that is added is
fuzzed without anything written here. What tests put together at run time stands here whole.

make("cluster_file", folder)  ->  writes folder/seeds/0000 ... and folder/words.dict, returns the number of seeds
"""

import ast
import collections
import glob
import json
import os
import re
import struct

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAX_SEED = 16 << 10

Target = collections.namedtuple("Target", "tests sources made max_len", defaults=((), (), (), 4096))

CLUSTER = """version: 1
name: rack
network: 400Gbit/s
nodes:
  - count: 2
    addresses: [10.0.0.1, 10.0.0.2]
    names: [a, b]
    memory: 2TiB
    cores: 104
    sockets:
      - {numa: 0, arch: x86_64, vendor: GenuineIntel, cpu: 6/143}
      - numa: 1
    switches:
      - {name: s0, socket: 0, pcie: 32GT/s x16}
      - {name: s1, on: s0, host_bridge: true}
    devices:
      - {ordinal: 0, kind: cuda, model: H100-SXM, memory: 80GiB, bus: "0000:17:00.0", socket: 0, on: s1, pcie: gen5 x16}
      - {ordinal: 1, kind: cuda, model: H100-SXM, socket: 1}
    nics:
      - {name: mlx5_0, rate: 400Gbit/s, gpu_direct: true, bus: "0000:1a:00.0", socket: 0, on: s1}
    links:
      - {kind: nvlink, from: 0, to: fabric, count: 18, rate: 25GB/s}
      - {kind: c2c, from: 1, to: socket, count: 1}
    completed: [device 0: memory]
  - {count: 3, gpus: 8xH100-SXM}
  - {ranks: 4}
"""
NCCL = """<system version="1">
  <cpu host_hash="0x1" numaid="0" affinity="0000ffff" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="143">
    <pci busid="0000:15:00.0" class="0x060400" vendor="0x1000" device="0xc030" subsystem_vendor="0x1000" subsystem_device="0x1000" link_speed="32.0 GT/s PCIe" link_width="16">
      <pci busid="0000:16:00.0" class="0x060400" vendor="0x1000" device="0xc030" subsystem_vendor="0x1000" subsystem_device="0x0000" link_speed="32.0 GT/s PCIe" link_width="16">
        <pci busid="0000:17:00.0" class="0x030200" vendor="0x10de" device="0x2330" link_speed="32.0 GT/s PCIe" link_width="16">
          <gpu dev="0" sm="90" rank="0" gdr="1">
            <nvlink target="0000:18:00.0" count="12" tclass="0x030200"/>
            <nvlink target="ffff:ff:ff.f" count="6" tclass="0x068000"/>
            <c2c bw="400000" count="1"/>
          </gpu>
        </pci>
        <pci busid="0000:1a:00.0" class="0x020000" vendor="0x15b3" device="0x1021" link_speed="32.0 GT/s PCIe" link_width="16">
          <nic>
            <net name="mlx5_0" dev="0" latency="0" speed="400000" port="1" guid="0x1" maxconn="131072" gdr="1"/>
          </nic>
        </pci>
      </pci>
      <pcilink target="0000:19:00.0"/>
    </pci>
    <pci busid="0000:18:00.0" class="0x030200" vendor="0x10de" device="0x2330" link_speed="Unknown" link_width="0">
      <gpu dev="1" sm="90" rank="1" gdr="1"><nvlink target="0000:17:00.0" count="12" tclass="0x030200"/></gpu>
    </pci>
    <nic><net name="eth0" dev="1" speed="10000" port="0" gdr="0"/></nic>
  </cpu>
  <cpu host_hash="0x1" numaid="1" arch="x86_64" vendor="AuthenticAMD" familyid="25" modelid="1"/>
</system>
"""
RCCL = """<?xml version="1.0"?>
<system version="2">
  <cpu numaid="-1" affinity="ff" arch="x86_64" vendor="AuthenticAMD" familyid="175" modelid="49">
    <pci busid="0000:c1:00.0" class="0x038000" vendor="0x1002" device="0x74a1" link_speed="32.0 GT/s PCIe" link_width="16">
      <gpu dev="0" sm="94" gcn="gfx942" arch="38911" rank="0" gdr="1"><xgmi target="0000:c6:00.0" count="1" tclass="0x038000"/></gpu>
    </pci>
    <pci busid="0000:c6:00.0" class="0x120000" vendor="0x1002" device="0x74a1" link_speed="32.0 GT/s PCIe" link_width="16">
      <gpu dev="1" sm="94" gcn="gfx942" rank="1" gdr="1"><xgmi target="0000:c1:00.0" count="1" tclass="0x038000"/></gpu>
    </pci>
  </cpu>
</system>
"""
SKELETON = """<system version="1">
  <cpu numaid="0" affinity="" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="85">
    <pci busid="ffff:ff:01.0" class="0x060400" link_speed="16 GT/s" link_width="16">
      <pci busid="0000:10:1c.0" class="0x030200" vendor="0x10de" device="0x20b0" link_speed="16 GT/s" link_width="16"/>
      <pci busid="0000:10:1b.0" class="0x020000" vendor="0x1d0f" device="0xefa1" link_speed="16 GT/s" link_width="16"/>
    </pci>
  </cpu>
</system>
"""
MATRIX = (
    "\t\x1b[4mGPU0\tGPU1\tNIC0\tNIC1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tNV18\tPIX\tSYS\t0-51,104-155\t0\t\tN/A\n"
    "GPU1\tNV18\t X \tSYS\tPXB\t52-103\t1\t\tN/A\n"
    "NIC0\tPIX\tSYS\t X \tNODE\t\t\t\t\nNIC1\tSYS\tPXB\tNODE\t X \n"
    "\nLegend:\n  X    = Self\n  PHB = a host bridge\n\nNIC Legend:\n\n  NIC0: mlx5_0\n  NIC1: mlx5_bond_0\n"
)


def ring(**fields):
    config = {
        "master_ip": "10.0.0.1",
        "master_port": 9000,
        "port": 9001,
        "right_port": 9002,
        "right_ip": "10.0.0.2",
        "rank": 0,
        "world_size": 2,
        **fields,
    }
    return json.dumps({key: value for key, value in config.items() if value is not None}, indent=2) + "\n"


RINGS = [
    ring(),
    ring(rank=1, port=9002, right_port=9001, right_ip=None),
    ring(world_size=3),
    ring(rank=2),
    ring(rank=1, master_ip=None),
    ring(port=9000),
    ring(right_port=9001, right_ip=None),
    ring(port=0),
    ring(rank=-1),
    ring(world_size=1.5),
    ring(right_ip="fe80::1"),
    ring(right_ip="[fe80::1]"),
    ring(master_ip="http://a:1"),
    ring(master_ip=7),
    ring(port=None),
    ring(rihgt_port=1, nonsense=[{}]),
]


def joined_rings():
    """As check_fuzz.cc takes them: each before a line of 0x01, and a message at the end."""
    for message in ("m/config.json: 'port': line 3, column 5: expected", "checkpoint: a", "'rank' is missing"):
        for count in (1, 2, 4, 8):
            yield "".join(f"{text}\x01\n" for text in RINGS[:count]) + message
    for text in RINGS:
        yield f"{text}\x01\n{RINGS[1]}\x01\n'port': x"
    world = [ring(rank=rank, world_size=4, port=9001 + rank, right_port=9001 + (rank + 1) % 4) for rank in range(4)]
    yield "".join(f"{text}\x01\n" for text in world) + "x"


def wire_messages(kinds):
    """Headers of these types (runtime/world/wire.h) before bodies of zeros, as long as such bodies are."""
    with open(os.path.join(SOURCE, "runtime/world/wire.h"), encoding="utf-8") as file:
        text = file.read()
    magic = int(re.search(r"kMagic = (0x[0-9a-f]+)", text).group(1), 16)
    version = int(re.search(r"kVersion = (\d+)", text).group(1))
    for kind in kinds:
        for size in (0, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512):
            yield struct.pack("<IHHI", magic, version, kind, size) + bytes(size)


def handshakes():
    """As handshake_fuzz.cc takes them: to whom and how right, a hello, a proof, and two messages or what has a tag."""
    after = b"".join(wire_messages((32, 37)))
    for how in range(128):
        for magic, size in ((0x4853524D, 4), (0x4E53524D, 0)):
            streams = (4, 2) if size else (0, 0)
            hello = struct.pack("<5IHBB2I", magic, 3, 1 if how & 1 else 3, size, how >> 3 & 1, how >> 4 & 1, *streams,
                                2 if how & 1 else 3, 1 if how & 1 else 2)  # fmt: skip
            yield bytes([how]) + hello + bytes(32) + (after if how & 6 == 6 or how & 2 else b"")


def environments():
    """What schedulers and mistral.rs set, of two nodes (runtime/node/identity_fuzz.cc)."""
    lws = "LWS_LEADER_ADDRESS=m-0.m\nLWS_GROUP_SIZE=2\nLWS_WORKER_INDEX=1\n"
    slurm = "SLURM_NODEID=1\nSLURM_PROCID=1\nSLURM_LOCALID=0\nSLURM_STEP_NUM_NODES=2\nSLURM_STEP_NUM_TASKS=2\n"
    head = "MISTRALRS_MN_GLOBAL_WORLD_SIZE=4\nMISTRALRS_MN_HEAD_NUM_WORKERS=1\nMISTRALRS_MN_HEAD_PORT=9000\n"
    worker = "MISTRALRS_MN_GLOBAL_WORLD_SIZE=4\nMISTRALRS_MN_WORKER_ID=0\nMISTRALRS_MN_WORKER_SERVER_ADDR=[::1]:9000\n"
    lists = "SLURM_STEP_NODELIST=gpu-[01-02],x\nSLURM_JOB_ID=7\n"
    return [lws, slurm + lists, head, worker, lws + worker, "--head 10.0.0.1:9000\n" + slurm, "--head [fd00::1]:80\n"]


CLUSTER_SOURCES = ("planner/cluster/cluster_file.cc", "planner/cluster/node_reader.cc", "planner/cluster/units.cc")
TARGETS = {
    "cluster_file": Target(
        ("planner/cluster/cluster_*_test.cc", "planner/cluster/findings_test.cc", "planner/cluster/README.md"),
        CLUSTER_SOURCES + ("planner/cluster/cluster.schema.json",),
        (CLUSTER,),
        8192,
    ),
    "nccl_xml": Target(
        ("planner/cluster/nccl_xml_test.cc", "planner/cluster/paths_test.cc", "planner/cluster/import_file_test.cc"),
        ("planner/cluster/nccl_xml.cc",),
        (NCCL, RCCL, SKELETON),
        8192,
    ),
    "smi_matrix": Target(
        ("planner/cluster/smi_matrix_test.cc", "planner/cluster/import_file_test.cc"),
        ("planner/cluster/smi_matrix.cc", "planner/cluster/smi_table.cc"),
        (MATRIX, MATRIX.replace("\x1b", "^["), MATRIX.replace("\t", " | "), MATRIX + MATRIX),
    ),
    "ring_config": Target(("formats/ring_config_test.cc",), ("formats/ring_config.cc",), RINGS),
    "check": Target(
        ("planner/check/check_test.cc",),
        ("planner/check/find_inputs.cc", "planner/check/message_place.cc", "formats/ring_config.cc"),
        tuple(joined_rings()),
        8192,
    ),
    "doctor_json": Target(
        ("planner/cluster/doctor_json_test.cc",), ("planner/cluster/doctor_json.cc",), (), 8192
    ),
    "short_form": Target(
        ("planner/cluster/short_form_test.cc", "planner/cluster/catalogue_test.cc"),
        ("planner/cluster/short_form.cc", "planner/cluster/catalogue.cc", "planner/cluster/units.cc"),
        (),
        256,
    ),
    "json": Target(("formats/json*_test.cc",), ("formats/json.cc",)),
    "json_positions": Target(("formats/json*_test.cc",), ("formats/json.cc",)),
    "safetensors": Target(("formats/safetensors_test.cc",), ("formats/safetensors.cc",)),
    "tokenizer_json": Target(("formats/text/tokenizer*_test.cc",), ("formats/text/tokenizer*.cc",)),
    "chat_template": Target(("formats/text/chat_template_test.cc",), ("formats/text/chat_template*.cc",)),
    "api_request": Target(("runtime/serve/api_*_test.cc",), ("runtime/serve/api_request.cc",)),
    "http_head": Target(("runtime/serve/http_*_test.cc",), ("runtime/serve/http_*.cc",)),
    "plan": Target(),  # a file of any use is larger than what a fuzzer mutates well; plans/flip_test.cc flips whole ones
    "node_identity": Target(
        ("runtime/node/identity_test.cc",), ("runtime/node/hear_*.cc",), tuple(environments()), 2048
    ),
    "rendezvous": Target(("plans/cluster_nodes_test.cc",), (), tuple(wire_messages(range(32, 42)))),
    "handshake": Target(made=tuple(handshakes())),
    "wire": Target(made=tuple(wire_messages(range(1, 13)))),
}
GRAMMAR = list('{}[]()<>,:;="\'&*!|?-#%@`/\\ \n\t\r.+_~^$') + [": ", "- ", "\n  ", "\r\n", "---\n", "<<", "0x", "]]>",
    "<!--", "-->", "<?", "?>", "</", "/>", "<![CDATA[", "<!DOCTYPE ", "&amp;", "null", "true", "-1", "1e999", "65536",
    "4294967296", "9223372036854775808", "18446744073709551616", "\x00", "\x7f", "\xff", "\xef\xbb\xbf",
    "\u202e".encode().decode("latin-1"), "\uffff".encode().decode("latin-1"), "\x1b[0m"]  # fmt: skip

LITERAL = re.compile(r'//[^\n]*|/\*.*?\*/|\'(?:[^\'\\\n]|\\.)\'|(?P<raw>R"(?P<mark>[^(\s]*)\((?P<body>.*?)\)(?P=mark)")'
                     r'|"(?P<plain>(?:[^"\\\n]|\\.)*)"', re.S)  # fmt: skip
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}


def unescaped(text):
    """What a literal of C++ stands for, bytes as characters of the same number."""
    def one(match):
        code = match.group(1)
        if code[0] == "x":
            return chr(int(code[1:], 16) & 0xFF)
        if code[0] in "uU":
            return chr(int(code[1:], 16)).encode("utf-8", "replace").decode("latin-1")
        return ESCAPES.get(code, code)

    return re.sub(r"\\(x[0-9a-fA-F]+|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", one, text, flags=re.S)


def cpp_strings(text):
    """The strings of a C++ source, those that stand side by side as one; latin-1, as all here."""
    end, found = 0, []
    for match in LITERAL.finditer(text):
        if match.group("raw") is None and match.group("plain") is None:
            continue
        value = match.group("body") if match.group("raw") is not None else unescaped(match.group("plain"))
        beside = found and text[end : match.start()].strip() == ""
        if beside:
            found[-1] += value
        else:
            found.append(value)
        end = match.end()
    return found


def strings_of(path):
    with open(path, encoding="latin-1") as file:
        text = file.read()
    if path.endswith(".md"):
        return re.findall(r"```\w*\n(.*?)```", text, re.S) + re.findall(r"(?:^    .*\n)+", text, re.M)
    if path.endswith(".json"):
        return re.findall(r'"(\w+)"', text)
    if path.endswith(".py"):
        return [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)
                and isinstance(node.value, str)]  # fmt: skip
    return cpp_strings(text)


def strings(patterns):
    found = {}
    for pattern in patterns:
        paths = sorted(glob.glob(os.path.join(SOURCE, pattern)))
        if not paths:
            raise SystemExit(f"seeds.py: no file is {pattern}; the table of targets is out of date")
        for path in paths:
            found.update(dict.fromkeys(strings_of(path)))
    return list(found)


def make(name, folder):
    target = TARGETS.get(name, Target())
    os.makedirs(os.path.join(folder, "seeds"))
    inputs = [text if isinstance(text, bytes) else text.encode("utf-8") for text in target.made]
    inputs += [text.encode("latin-1", "replace") for text in strings(target.tests) if 1 < len(text) <= MAX_SEED]
    for number, data in enumerate(inputs):
        with open(os.path.join(folder, "seeds", f"{number:04}"), "wb") as file:
            file.write(data)
    words = [text for text in strings(target.sources) if 1 < len(text) <= 24 and "{}" not in text] + GRAMMAR
    with open(os.path.join(folder, "words.dict"), "w", encoding="ascii") as file:
        for word in dict.fromkeys(words):
            file.write('"' + "".join(f"\\x{byte:02x}" for byte in word.encode("latin-1", "replace")) + '"\n')
    return len(inputs)
