"""mrs-exec doctor on this host: its JSON has the fields that runtime/doctor/README.md lists and agrees with its text, and
it finds what this script does to the host around it (limits, affinity, an instruction set, a driver's environment).

    python3 doctor.py --bin build/cli
"""

import json
import os
import re
import resource
import signal
import socket
import subprocess

from harness import MINI, Workplace, check, check_equal, parse_arguments, run_cases, run_main, write_zeros_model

TEXT, NUMBER, FLAG = (str, ), (int, float), (bool, )
NONE = (type(None), )
MAYBE_TEXT, MAYBE_NUMBER, MAYBE_FLAG = TEXT + NONE, NUMBER + NONE, FLAG + NONE

LIBRARY = {"library": TEXT, "found": FLAG, "error": MAYBE_TEXT, "code": MAYBE_NUMBER, "count": NUMBER}
# A tuple: the types of a value. A list: every item is like its first.
SCHEMA = {
    "format": TEXT,
    "mrs_exec": TEXT,
    "verdict": TEXT,
    "host": {"name": MAYBE_TEXT, "kernel": MAYBE_TEXT, "arch": MAYBE_TEXT},
    "cpu": {
        "vendor": MAYBE_TEXT, "model": MAYBE_TEXT, "family": MAYBE_NUMBER, "model_number": MAYBE_NUMBER,
        "sockets": MAYBE_NUMBER, "online": MAYBE_NUMBER,
        "affinity": MAYBE_NUMBER, "cores": NUMBER, "isa": TEXT, "isa_wanted": MAYBE_TEXT, "baseline": FLAG,
        "native_numerics": [TEXT], "emulated_numerics": [TEXT]
    },
    "memory": {"total_bytes": MAYBE_NUMBER, "free_bytes": MAYBE_NUMBER, "machine_bytes": MAYBE_NUMBER},
    "numa": [{"node": NUMBER, "cpus": TEXT, "memory_bytes": NUMBER}],
    "huge_pages": {"transparent": MAYBE_TEXT, "page_bytes": MAYBE_NUMBER, "total": NUMBER, "free": NUMBER},
    "limits": {
        "known": FLAG, "memlock_bytes": MAYBE_NUMBER, "open_files": MAYBE_NUMBER, "processes": MAYBE_NUMBER,
        "address_space_bytes": MAYBE_NUMBER, "core_bytes": MAYBE_NUMBER, "core_pattern": MAYBE_TEXT,
        "pids_max": MAYBE_NUMBER, "pids_now": NUMBER, "shm_total_bytes": MAYBE_NUMBER, "shm_free_bytes": MAYBE_NUMBER
    },
    "loopback": {"usable": FLAG, "error": MAYBE_TEXT},
    "nics": [{
        "name": TEXT, "kind": TEXT, "up": FLAG, "gigabits": MAYBE_NUMBER, "bus_id": MAYBE_TEXT, "numa": MAYBE_NUMBER,
        "path": [TEXT]
    }],
    "gpu_direct": FLAG,
    "gpus": {
        "error": MAYBE_TEXT,
        "nvml": LIBRARY,
        "cuda": LIBRARY,
        "driver_version": MAYBE_TEXT,
        "cuda_version": MAYBE_TEXT,
        "environment": {"CUDA_VISIBLE_DEVICES": MAYBE_TEXT, "CUDA_DEVICE_ORDER": MAYBE_TEXT},
        "on_bus": [{"bus_id": TEXT, "vendor": TEXT}],
        "devices": [{
            "index": NUMBER, "error": MAYBE_TEXT, "name": MAYBE_TEXT, "uuid": MAYBE_TEXT, "bus_id": MAYBE_TEXT,
            "memory_total_bytes": MAYBE_NUMBER, "memory_free_bytes": MAYBE_NUMBER, "compute_capability": MAYBE_TEXT,
            "pcie": {"gen": MAYBE_NUMBER, "gen_max": MAYBE_NUMBER, "width": MAYBE_NUMBER, "width_max": MAYBE_NUMBER},
            "mig": MAYBE_FLAG, "compute_mode": MAYBE_NUMBER, "fabric_state": NUMBER, "fabric_status": NUMBER,
            "fabric_cluster": MAYBE_TEXT, "fabric_clique": MAYBE_NUMBER,
            "nvlinks": [{
                "link": NUMBER, "active": FLAG, "to": MAYBE_TEXT, "bus_id": MAYBE_TEXT,
                "megabytes_a_second": MAYBE_NUMBER
            }],
            "c2c": [{"link": NUMBER, "active": FLAG, "megabytes_a_second": MAYBE_NUMBER}],
            "ecc": {
                "enabled": MAYBE_FLAG, "uncorrected": MAYBE_NUMBER, "remap_pending": MAYBE_FLAG,
                "remap_failed": MAYBE_FLAG
            },
            "numa": MAYBE_NUMBER, "path": [TEXT]
        }],
        "visible": [{
            "ordinal": NUMBER, "name": MAYBE_TEXT, "uuid": MAYBE_TEXT, "bus_id": MAYBE_TEXT,
            "memory_total_bytes": MAYBE_NUMBER, "compute_capability": MAYBE_TEXT
        }]
    },
    "plan": NONE,
    "findings": [{"id": TEXT, "verdict": TEXT, "says": TEXT, "fix": MAYBE_TEXT}]
}
PLAN = {
    "sha256": TEXT, "ranks": NUMBER, "transport": TEXT, "threads": NUMBER, "needed_bytes": NUMBER,
    "needed_at_start_bytes": NUMBER, "numerics": TEXT, "port": NUMBER, "links_error": MAYBE_TEXT,
    "links": [{"from": NUMBER, "to": NUMBER, "latency_ns": NUMBER, "bytes_per_second": NUMBER}]
}
README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "runtime", "doctor", "README.md")


def deviations(value, schema, at="doctor"):
    """Where a value is not of the schema, in words."""
    if isinstance(schema, tuple):
        right = isinstance(value, schema) and (not isinstance(value, bool) or bool in schema)
        return [] if right else [f"{at}: {value!r} is none of {[one.__name__ for one in schema]}"]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{at}: {value!r} is no list"]
        return [line for i, item in enumerate(value) for line in deviations(item, schema[0], f"{at}[{i}]")]
    if not isinstance(value, dict):
        return [f"{at}: {value!r} is no object"]
    found = [f"{at}: '{key}' is only on one side" for key in set(schema) ^ set(value)]
    for key in set(schema) & set(value):
        found += deviations(value[key], schema[key], f"{at}.{key}")
    return found


def names(schema):
    """Every key of the schema."""
    if isinstance(schema, list):
        return names(schema[0])
    if isinstance(schema, dict):
        return {key for key in schema} | {name for inner in schema.values() for name in names(inner)}
    return set()


class Cases:

    def __init__(self, work):
        self.work = work
        self.program = work.tools.exec_program

    def run(self, *arguments, environment=None, before_start=None):
        done = subprocess.run([self.program, "doctor", *arguments],
                              stdin=subprocess.DEVNULL,
                              capture_output=True,
                              timeout=120,
                              env={**os.environ, **(environment or {})},
                              preexec_fn=before_start)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def report(self, **more):
        code, out, errors = self.run("--json", **more)
        check_equal(errors, "", "stderr of doctor --json")
        report = json.loads(out)
        check_equal(code, 1 if report["verdict"] == "bad" else 0, f"exit code beside verdict {report['verdict']}")
        return report

    def finding(self, name, **more):
        found = [one for one in self.report(**more)["findings"] if one["id"] == name]
        check(len(found) == 1, f"{len(found)} findings {name}")
        return found[0]["verdict"], found[0]["says"]

    def schema(self):
        report = self.report()
        check_equal(deviations(report, SCHEMA), [], "the schema")
        check_equal(report["format"], "mrs-doctor 1", "format")
        check_equal(report["host"]["name"], socket.gethostname(), "the host's name")
        check_equal(report["cpu"]["affinity"], len(os.sched_getaffinity(0)), "affinity")
        verdicts = ["ok", "warn", "bad"]
        worst = max((verdicts.index(one["verdict"]) for one in report["findings"]), default=0)
        check_equal(report["verdict"], verdicts[worst], "the verdict is the worst of the findings")
        ids = [one["id"] for one in report["findings"]]
        check_equal(sorted(set(ids)), sorted(ids), "ids are there once")
        for one in report["findings"]:
            check(one["verdict"] == "ok" or one["fix"], f"{one['id']} is {one['verdict']} without what to do")

    def schema_sees(self):
        """A schema that takes anything would hold nothing."""
        report = self.report()
        for spoil in (lambda r: r.pop("numa"), lambda r: r.update(more=1), lambda r: r["cpu"].update(cores="2"),
                      lambda r: r["loopback"].update(usable=1), lambda r: r["findings"][0].pop("fix")):
            spoiled = json.loads(json.dumps(report))
            spoil(spoiled)
            check_equal(len(deviations(spoiled, SCHEMA)), 1, "deviations of a spoiled report")

    def readme(self):
        with open(README, encoding="utf-8") as file:
            words = set(re.findall(r"\w+", file.read()))
        check_equal(sorted(names(SCHEMA) - words), [], "fields that README.md does not list")

    def text(self):
        code, out, errors = self.run()
        check_equal(errors, "", "stderr of doctor")
        lines = out.splitlines()
        report = self.report()
        check_equal(re.findall(r"^(ok|warn|bad) +([\w.:-]+)  ", out, re.MULTILINE),
                    [(one["verdict"], one["id"]) for one in report["findings"]], "lines and findings")
        check(lines[-1].startswith(f"{report['verdict']}: "), f"the last line: {lines[-1]}")
        check_equal(code, 1 if report["verdict"] == "bad" else 0, "exit code")

    def few_files(self):
        few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))  # noqa: E731
        check_equal(self.finding("limits.open_files", before_start=few),
                    ("bad", "32 open files: the server takes one for each client"), "32 files")
        check_equal(self.run(before_start=few)[0], 1, "exit code of a bad finding")

    def one_core(self):
        core = min(os.sched_getaffinity(0))
        report = self.report(before_start=lambda: os.sched_setaffinity(0, {core}))
        check_equal((report["cpu"]["affinity"], report["cpu"]["cores"]), (1, 1), "one core")

    def lesser_isa(self):
        report = self.report(environment={"MRS_ISA": "avx2"})
        check_equal((report["cpu"]["isa"], report["cpu"]["native_numerics"]), ("avx2", []), "kept to AVX2")
        check_equal(self.finding("cpu.isa", environment={"MRS_ISA": "sse9"})[0], "warn", "MRS_ISA=sse9")

    def hidden_gpus(self):
        environment = self.report(environment={"CUDA_VISIBLE_DEVICES": "1,\x7f", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
        check_equal(environment["gpus"]["environment"],
                    {"CUDA_VISIBLE_DEVICES": "1,\x7f", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "the environment")

    def ignored_children(self):
        """Whoever starts it may have ignored SIGCHLD; the child that asks the driver must still be heard to end."""
        ignore = lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # noqa: E731
        check_equal(self.report(before_start=ignore)["gpus"]["error"], None, "SIGCHLD ignored at the start")

    def imported(self):
        """mrs-plan reads what doctor wrote, and writes the cluster file that it reads to the same again."""
        report = self.work.path("host.json")
        with open(report, "w") as file:
            json.dump(self.report(), file)
        plan = self.work.tools.plan_program
        written = self.work.tools.call([plan, "cluster", "import", report])
        check(f'name: "{socket.gethostname()}"' in written, f"the host's name in\n{written}")
        again = self.work.path("again.yaml")
        with open(again, "w") as file:
            file.write(written)
        check_equal(self.work.tools.call([plan, "cluster", "import", again]), written, "the cluster file, imported")

    def plan(self, transport):
        plan = self.work.plan(MINI, tp=2)
        code, out, errors = self.run("--plan", plan, "--transport", transport, "--threads", "1", "--port", "0", "--json")
        report = json.loads(out)
        check_equal(errors, "", "stderr")
        check_equal(code, 1 if report["verdict"] == "bad" else 0, "exit code")
        check_equal(deviations(report, {**SCHEMA, "plan": PLAN}), [], "the schema")
        with open(README, encoding="utf-8") as file:
            words = set(re.findall(r"\w+", file.read()))
        check_equal(sorted(names(PLAN) - words), [], "fields that README.md does not list")
        check_equal((report["plan"]["ranks"], report["plan"]["transport"], report["plan"]["threads"]), (2, transport, 1),
                    "how it would run")
        check_equal(sorted((link["from"], link["to"]) for link in report["plan"]["links"]), [(0, 1), (1, 0)], "links")
        found = {one["id"]: one for one in report["findings"]}
        # A host without the instruction has the plan's order of sums all the same, and is told so.
        isa = "ok" if "pair2" in report["cpu"]["native_numerics"] else "warn"
        for name, verdict in (("memory", "ok"), ("isa", isa), ("port", "ok"), ("links", "ok")):
            check_equal(found[f"plan.{name}"]["verdict"], verdict, f"plan.{name}: {found[f'plan.{name}']['says']}")
        check("plan.latency" in found and "plan.bandwidth" in found and "plan.cores" in found, sorted(found))
        check_equal(found["plan.links"]["says"], f"2 over {transport}, each checked by data", "links")

    def plan_text(self):
        """A busy port and a plan that is larger than the host are bad, and so is the exit code."""
        model = write_zeros_model(self.work.path("large"), 32)
        plan = self.work.plan(model, tp=1, max_len=4096, max_seqs=4096, memory="8TiB")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            code, out, _ = self.run("--plan", plan, "--port", str(port))
        check_equal(code, 1, "exit code")
        for pattern in (rf"^bad +plan\.port +port {port} on 127\.0\.0\.1 is in use by another process",
                        r"^bad +plan\.memory +the plan takes .* here for 1 rank ", r"^ok +plan\.links +one rank: no links$"):
            check(re.search(pattern, out, re.MULTILINE), f"no line like {pattern} in\n{out}")

    def plan_unreadable(self):
        path = self.work.path("none.mrsplan")
        code, out, errors = self.run("--plan", path)
        check((code, out) == (1, "") and errors.startswith(f"mrs-exec: plan {path}: cannot open"), f"{code} {out} {errors}")

    def full_disk(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([self.program, "doctor", "--json"], stdout=full, stderr=subprocess.PIPE, timeout=120)
        check_equal((done.returncode, done.stderr),
                    (1, b"mrs-exec: standard output: cannot write: No space left on device\n"), "a full disk")

    def usage(self):
        see = "; see mrs-exec doctor --help\n"
        for arguments, why in {
                "--jso": "--jso: there is no such option; did you mean --json?" + see,
                "--json=1": "--json takes no value\n",
                "host": "host: not expected here" + see,
                "--model x": "--model: doctor reads no weights; hold a model against its plan with mrs-plan check\n",
                "--port 1": "doctor: --transport, --threads and --port are for --plan\n",
                "-o x": "-o: there is --json; write it to a file with > host.json\n"
        }.items():
            check_equal(self.run(*arguments.split()), (2, "", f"mrs-exec: {why}"), arguments)
        code, out, _ = self.run("--help")
        check(code == 0 and "mrs-exec doctor --json > host.json" in out, "--help has an example")

    def list(self):
        transports = [(f"a plan over {one}", lambda one=one: self.plan(one)) for one in ("local", "shm", "tcp", "ring")]
        return transports + [(name, getattr(self, name)) for name in ("plan_text", "plan_unreadable", "schema", "schema_sees", "readme", "text", "few_files", "one_core",
                                                         "lesser_isa", "hidden_gpus", "ignored_children", "imported", "full_disk", "usage")]


def main():
    arguments = parse_arguments(__doc__)
    with Workplace("doctor", arguments.bin) as work:
        return 1 if run_cases(Cases(work).list(), workers=1, only=arguments.only) else 0


if __name__ == "__main__":
    run_main(main)
