"""What `mrs-plan export` writes is read as it was meant by whoever reads it, whatever names and paths are like, and
starts: shells, systemd, YAML, mrs-plan check; plans of one node and of two are served by each export's own commands.

tests/planner/exports.py --bin build/cli
"""

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
import unittest

import plan_tools

try:
    import yaml
except ImportError:  # what is YAML is then held against its own text alone
    yaml = None

# Each may stand in a path, and means something to a shell, systemd, YAML or Kubernetes.
HOSTILE = [
    "a b", "it's", 'say "x"', "100%n", "$HOME ${HOME} $(id)", "`id`", "back\\slash\\", ";id #x", "*[?]~!{a,b}", "- {a: &b}",
    "ü 漢字", "--rehearse", "%d", "\\x41\\n", "=:,@", "EOF", "'\"'\"'",
]  # fmt: skip
TWO = """nodes:
  - {name: gpu-a, address: 10.9.0.1, memory: 8GiB, ranks: 2}
  - {name: gpu-b, address: "fd00::2", memory: 8GiB, ranks: 2}
"""


def systemd_words(text):
    """The words of an ExecStart= as systemd.service(5) reads them, specifiers but %% and %d refused."""
    words, at = [], 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        word, quoted = "", text[at] == '"'
        at += quoted
        while at < len(text) and text[at] != ('"' if quoted else " "):
            if quoted and text[at] == "\\":
                assert text[at + 1] in '"\\', f"escape {text[at : at + 2]}"
                word, at = word + text[at + 1], at + 2
            elif text[at] in "%$":
                if text[at : at + 2] == "%d":
                    word = word + "<credentials>"
                else:
                    assert text[at + 1] == text[at], f"specifier or variable {text[at : at + 2]}"
                    word = word + text[at]
                at += 2
            else:
                assert quoted or text[at] not in "\"'\\;", f"not plain: {text}"
                word, at = word + text[at], at + 1
        at += quoted
        words.append(word)
    return words


def free_port(count=1):
    """The first of so many in a row, below those that the kernel gives to whoever asks for any."""
    while True:
        first = random.randrange(10000, 20000)
        try:
            with contextlib.ExitStack() as held:
                for port in range(first, first + count):
                    held.enter_context(socket.socket()).bind(("0.0.0.0", port))
            return first
        except OSError:
            continue


def ask(port, method, path, body=None):
    """(status, body); 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or "{}")
    except OSError:
        return 0, {}
    finally:
        connection.close()


class Exports(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_exports_")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text, executable=False):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        if executable:
            os.chmod(self.path(name), stat.S_IRWXU)
        return self.path(name)

    def plan(self, name, *options):
        plan_tools.checked([self.tools.plan, "build", plan_tools.MINI, "-o", self.path(name), *options])
        return self.path(name)

    def two(self, addresses=True):
        text = TWO if addresses else re.sub(r" address: [^,]+,", "", TWO)
        cluster = self.write(f"cluster-{addresses}.yaml", text)
        return self.plan(f"two-{addresses}.mrsplan", "--cluster", cluster, "--tp", "4")

    def export(self, target, plan, out, *options):
        return plan_tools.checked(
            [self.tools.plan, "export", "--for", target, plan, "-o", self.path(out), *options]
        )

    def read(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as file:
            return file.read()

    def stub(self, name):
        """A program that writes its words, and RING_CONFIG's text, as JSON."""
        text = ("#!/usr/bin/env python3\nimport json, os, sys\nring = os.environ.get('RING_CONFIG')\n"
                "print(json.dumps([sys.argv[1:], ring and open(ring).read(), sorted(k for k in os.environ if "
                "k.startswith('SLURM_'))]))\n")  # fmt: skip
        return self.write(name, text, executable=True)

    def srun(self):
        """As on one node: what stands behind its own options is run."""
        return self.write("srun", '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n', executable=True)

    def rehearsed(self, said):
        """What the command that serves was started with, after a rehearsal that was started with the same."""
        rehearsal, serving = (json.loads(line) for line in said.splitlines())
        self.assertEqual([word for word in rehearsal[0] if word != "--rehearse"], serving[0])
        self.assertEqual(len(rehearsal[0]), len(serving[0]) + 1)
        return serving

    def run_here(self, command, **variables):
        path = f"{self.folder}:{os.environ['PATH']}"
        return plan_tools.checked(command, env={**os.environ, "PATH": path, **variables})

    def lws_pods(self, out):
        """The pod specifications of a LeaderWorkerSet."""
        if yaml is None:
            self.skipTest("no yaml module")
        with open(self.path(out, "mini.yaml"), encoding="utf-8") as file:
            documents = list(yaml.safe_load_all(file))
        self.assertEqual(len(documents), 1)
        template = documents[0]["spec"]["leaderWorkerTemplate"]
        return [template[key]["spec"] for key in ("leaderTemplate", "workerTemplate") if key in template]


class Names(Exports):
    """The same words reach the program, whatever stands in them."""

    def cases(self):
        for number, name in enumerate(HOSTILE):
            yield number, f"/srv/{name}/m", f"/srv/{name}/x y.mrsplan"

    def test_slurm(self):
        self.srun()
        self.stub("mrs-exec")
        plan, two = self.plan("one.mrsplan"), self.two()
        for number, model, where in self.cases():
            with self.subTest(model):
                self.export("slurm", plan, f"s{number}", "--model", model, "--plan-path", where)
                words, _, _ = self.rehearsed(self.run_here(["bash", self.path(f"s{number}", "mini.sbatch")]))
                self.assertEqual(words, ["--plan", where, "--model", model, "--port", "1234"])
                secret = f"/etc/{HOSTILE[number]}/s"
                self.export("slurm", two, f"t{number}", "--model", model, "--plan-path", where, "--secret-file", secret)
                for node, host in enumerate(("gpu-a", "gpu-b")):
                    said = self.run_here(
                        ["bash", self.path(f"t{number}", "mini.sbatch")], SLURMD_NODENAME=host, SLURM_NODEID="7"
                    )
                    words, _, slurm = self.rehearsed(said)
                    self.assertEqual(words, ["--plan", where, "--model", model, "--cluster-secret-file", secret,
                                             "--port", "1234", "--node", str(node)])  # fmt: skip
                    self.assertEqual(slurm, [])

    def test_slurm_runs_on_no_other_host(self):
        self.srun()
        self.stub("mrs-exec")
        self.export("slurm", self.two(), "s")
        done = plan_tools.run(["bash", self.path("s", "mini.sbatch")],
                              env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "SLURMD_NODENAME": "c"})  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (1, "no node of the plan is called c\n"))

    def test_systemd(self):
        two = self.two()
        units = []
        for number, model, where in self.cases():
            with self.subTest(model):
                program = "/bin/true"
                secret = f"/etc/{HOSTILE[number]}/s"
                self.export("systemd", two, f"s{number}", "--model", model, "--plan-path", where, "--program", program,
                            "--secret-file", secret)  # fmt: skip
                unit = self.path(f"s{number}", "mini-1.service")
                units.append(unit)
                lines = dict(line.split("=", 1) for line in self.read(unit).splitlines() if "=" in line and line[0] != "#")
                self.assertEqual(
                    systemd_words(lines["ExecStart"]),
                    [program, "--plan", where, "--model", model, "--node", "1", "--cluster-secret-file",
                     "<credentials>/cluster-secret", "--port", "1234"],
                )  # fmt: skip
                self.assertEqual(lines["ExecStartPre"], lines["ExecStart"] + " --rehearse")
                self.assertEqual(lines["LoadCredential"].replace("%%", "%"), f"cluster-secret:{secret}")
        if shutil.which("systemd-analyze") is None:
            self.skipTest("no systemd-analyze")
        for unit in units:
            done = plan_tools.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit])
            mine = [line for line in done.stderr.splitlines() if "mini-1.service" in line]
            self.assertEqual((mine, done.returncode), ([], 0), done.stderr)

    def test_lws(self):
        two = self.two(addresses=False)
        for number, model, where in self.cases():
            with self.subTest(model):
                if ":" in model:
                    continue  # refused: a mount cannot have it
                image = f"registry.example.com/{HOSTILE[number]}"
                self.export("lws", two, f"s{number}", "--model", model, "--plan-path", where, "--image", image)
                pods = self.lws_pods(f"s{number}")
                self.assertEqual(len(pods), 2)
                for pod in pods:
                    container = pod["containers"][0]
                    self.assertEqual(container["image"], image)
                    # As Kubernetes expands them: $$ is $, and no $(NAME) is left.
                    words = [re.sub(r"\$(.)", lambda m: m[1] if m[1] == "$" else self.fail(m[0]), word)
                             for word in container["command"]]  # fmt: skip
                    self.assertEqual(words, ["mrs-exec", "--plan", where, "--model", model, "--cluster-secret-file",
                                             "/etc/mrs/secret/cluster-secret", "--port", "1234"])  # fmt: skip
                    (rehearsal,) = pod["initContainers"]
                    self.assertEqual(rehearsal["command"], container["command"] + ["--rehearse"])
                    self.assertEqual(rehearsal["volumeMounts"], container["volumeMounts"])
                    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
                    folders = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"]
                               if "hostPath" in volume}  # fmt: skip
                    self.assertEqual(mounts, {**folders, "secret": "/etc/mrs/secret"})
                    self.assertEqual(folders, {"plan": os.path.dirname(where), "model": model})

    def test_mistralrs(self):
        self.stub("mistralrs")
        two = self.two()
        for number, model, _ in self.cases():
            with self.subTest(model):
                out = f"s{number}"
                self.export("mistralrs", two, out, "--model", model)
                plan_tools.checked([self.tools.plan, "check", self.path(out)])
                for rank in range(4):
                    words, ring, _ = json.loads(self.run_here(["sh", self.path(out, f"ring_{rank}.sh")]))
                    self.assertEqual(words, ["serve", "-m", model, "-p", "1234", "--max-seqs", "16", "--dtype", "bf16",
                                             "--cpu"])  # fmt: skip
                    self.assertEqual(json.loads(ring)["rank"], rank)
                self.assertEqual(json.loads(ring)["right_ip"], "10.9.0.1")
                self.assertEqual(json.loads(self.read(out, "ring_1.json"))["right_ip"], "[fd00::2]")

    def test_a_plan_of_any_name(self):
        for number, name in enumerate(["$(id)", "\\nExecStart=/bin/x", "漢字", "%n -o x", "'; id #", "..", "x" * 255]):
            with self.subTest(name):
                plan = self.plan(f"n{number}.mrsplan", "--name", name)
                for target in ("slurm", "systemd"):
                    self.export(target, plan, f"{target}{number}")
                    for file in os.listdir(self.path(f"{target}{number}")):
                        self.assertRegex(file, r"^[a-z][a-z0-9-]*\.(sbatch|service)$")
                        lines = self.read(f"{target}{number}", file).splitlines()
                        self.assertEqual([line for line in lines if line.startswith("ExecStart=/bin/x")], [])

    def test_refusals(self):
        plan = self.plan("one.mrsplan")
        for arguments, message in (
            (("--for", "lws"), "export --for lws: which image has mrs-exec? Say it with --image"),
            (("--for", "systemd", "--model", "a"),
             "--model a: expected a path from the root folder on, as it is on every node"),
            (("--for", "systemd", "--model", "/a\nb"),
             '--model: "/a\\x0ab": byte 2 is \\x0a, a character that is not seen; rename it'),
            (("--for", "mistralrs", "--model", "/m"),
             "a ring of mistral.rs has 2, 4, 8, ... ranks, and the plan 1; plan for a power of two, or serve it with "
             "mrs-exec alone"),
        ):  # fmt: skip
            with self.subTest(arguments):
                done = plan_tools.run([self.tools.plan, "export", plan, "-o", self.path("refused"), *arguments])
                self.assertEqual(done.stderr, f"mrs-plan: {message}\n")
                self.assertIn(done.returncode, (1, 2))
                self.assertFalse(os.path.exists(self.path("refused")))
        self.write("file", "")
        done = plan_tools.run([self.tools.plan, "export", plan, "--for", "slurm", "-o", self.path("file", "x")])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, f"mrs-plan: -o {self.path('file', 'x')}: cannot be made: Not a directory\n")

    def test_the_same_bytes_again(self):
        two = self.two()
        for target in ("slurm", "systemd", "mistralrs"):
            for _ in range(2):
                self.export(target, two, target, "--model", "/m")
                self.export(target, two, f"{target}-again", "--model", "/m")
            for file in os.listdir(self.path(target)):
                self.assertEqual(self.read(target, file), self.read(f"{target}-again", file))


class Starts(Exports):
    """The plan of one node, served as each export starts it, from a folder whose name asks for trouble."""

    def setUp(self):
        super().setUp()
        self.model = self.path("it's 100% $HOME \"x\"")
        shutil.copytree(plan_tools.MINI, self.model)
        self.one = self.plan("one.mrsplan", "--tp", "2")
        self.port = free_port()

    @contextlib.contextmanager
    def serving(self, command, **variables):
        log = open(self.path("log"), "w+", encoding="utf-8")
        path = f"{self.folder}:{os.path.dirname(self.tools.exec)}:{os.environ['PATH']}"
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PATH": path, **variables})
        try:
            deadline = time.monotonic() + 60
            while self.ask("GET", "/health")[0] != 200:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    self.fail(f"{command} does not serve: {log.read()}")
                time.sleep(0.05)
            yield
        finally:
            if process.poll() is None:
                process.terminate()
            self.assertEqual(process.wait(60), 0)
            log.close()

    def ask(self, method, path, body=None):
        return ask(self.port, method, path, body)

    def assert_answers(self):
        status, answer = self.ask("POST", "/v1/completions", {"prompt": "The sun", "max_tokens": 4, "temperature": 0})
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["usage"]["completion_tokens"], 4)

    def test_slurm(self):
        self.srun()
        self.export("slurm", self.one, "s", "--model", self.model, "--port", str(self.port))
        slurm = {"SLURM_NODEID": "0", "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0",
                 "SLURM_LOCALID": "0", "SLURM_STEP_NODELIST": "gpu-[07]"}  # fmt: skip
        with self.serving(["bash", self.path("s", "mini.sbatch")], **slurm):
            self.assert_answers()

    def test_systemd(self):
        self.export("systemd", self.one, "s", "--model", self.model, "--port", str(self.port))
        unit = self.read("s", "mini.service")
        words = systemd_words(re.search(r"^ExecStart=(.*)$", unit, re.M)[1])
        self.assertEqual(words[0], "/usr/local/bin/mrs-exec")
        with self.serving([self.tools.exec, *words[1:]]):
            self.assert_answers()

    def test_lws(self):
        self.export("lws", self.one, "s", "--model", self.model, "--port", str(self.port), "--image", "x")
        (pod,) = self.lws_pods("s")
        container = pod["containers"][0]
        ready, alive = (container[probe]["exec"]["command"] for probe in ("readinessProbe", "livenessProbe"))
        self.assertNotEqual(plan_tools.run(ready).returncode, 0)  # nobody is there
        self.assertNotEqual(plan_tools.run(alive).returncode, 0)
        words = [word.replace("$$", "$") for word in container["command"]]
        lws = {"LWS_LEADER_ADDRESS": "mini-0.mini.default", "LWS_GROUP_SIZE": "1", "LWS_WORKER_INDEX": "0"}
        with self.serving(words, **lws):
            self.assert_answers()
            self.assertEqual(plan_tools.run(ready).returncode, 0)
            self.assertEqual(plan_tools.run(alive).returncode, 0)


class StartsTwo(Exports):
    """The plan of two nodes, started by each export's own commands with the variables that the target sets, on two
    addresses of this machine's loopback: they rehearse, meet with a secret, answer, and end together."""

    def setUp(self):
        super().setUp()
        self.model = self.path("it's 100% $HOME \"x\"")
        shutil.copytree(plan_tools.MINI, self.model)
        self.cluster_port = free_port(4)
        self.port = self.cluster_port + 3  # behind those of the head and the two ranks
        self.secret = self.write("the secret", "a secret of the tests, long enough\n")
        self.logs = [self.path(f"log{node}") for node in range(2)]

    def two_here(self, addresses):
        text = ""
        for node, name in enumerate(("gpu-a", "gpu-b")):
            where = f"address: 127.0.0.{node + 1}, " if addresses else ""
            text += f"  - {{name: {name}, {where}memory: 4GiB, ranks: 1}}\n"
        cluster = self.write("here.yaml", "nodes:\n" + text)
        return self.plan("two here.mrsplan", "--cluster", cluster, "--tp", "2", "--max-len", "256", "--max-seqs", "4")

    def export_here(self, target, addresses, *options):
        self.export(target, self.two_here(addresses), "out", "--model", self.model, "--port", str(self.port), "--secret-file",
                    self.secret, "--cluster-port", str(self.cluster_port), *options)  # fmt: skip

    def start(self, command, node, **variables):
        log = open(self.logs[node], "a", encoding="utf-8")
        path = f"{self.folder}:{os.path.dirname(self.tools.exec)}:{os.environ['PATH']}"
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PATH": path, **variables})
        log.close()
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def said(self):
        return "\n".join(f"node {node}:\n{self.read(os.path.basename(log))}" for node, log in enumerate(self.logs))

    def assert_end(self, nodes):
        for process in nodes:
            try:
                self.assertEqual(process.wait(60), 0, self.said())
            except subprocess.TimeoutExpired:
                self.fail(f"it does not end: {self.said()}")

    def assert_serve(self, nodes):
        deadline = time.monotonic() + 60
        while ask(self.port, "GET", "/health")[0] != 200:
            if any(process.poll() is not None for process in nodes) or time.monotonic() > deadline:
                self.fail(f"it does not serve: {self.said()}")
            time.sleep(0.05)
        status, answer = ask(self.port, "POST", "/v1/completions", {"prompt": "The sun", "max_tokens": 4, "temperature": 0})
        self.assertEqual((status, answer["usage"]["completion_tokens"]), (200, 4), answer)
        nodes[0].terminate()
        self.assert_end(nodes)
        self.assertRegex(self.read("log1"), "(?m)^integrity +AES-GMAC between nodes")
        self.assertRegex(self.read("log1"), "(?m)^ended +by the head, in order$")

    def test_slurm_by_name(self):
        self.srun()
        self.export_here("slurm", True)
        self.assert_serve([
            self.start(["bash", self.path("out", "mini.sbatch")], node, SLURMD_NODENAME=name, SLURM_NODEID=str(1 - node),
                       SLURM_STEP_NUM_NODES="2", SLURM_STEP_NODELIST="gpu-[a-b]")
            for node, name in enumerate(("gpu-a", "gpu-b"))])  # fmt: skip

    def test_slurm_by_order(self):
        self.srun()
        self.export_here("slurm", False)
        self.assert_serve([
            self.start(["bash", self.path("out", "mini.sbatch")], node, SLURM_NODEID=str(node), SLURM_PROCID=str(node),
                       SLURM_LOCALID="0", SLURM_STEP_NUM_NODES="2", SLURM_STEP_NUM_TASKS="2",
                       SLURM_STEP_NODELIST="localhost,nowhere")
            for node in range(2)])  # fmt: skip

    def test_systemd(self):
        self.export_here("systemd", True)
        units = [self.read("out", f"mini-{node}.service") for node in range(2)]
        for key in ("ExecStartPre", "ExecStart"):
            nodes = []
            for node, unit in enumerate(units):
                words = systemd_words(re.search(rf"^{key}=(.*)$", unit, re.M)[1])
                self.assertEqual(re.search(r"^LoadCredential=cluster-secret:(.*)$", unit, re.M)[1], self.secret)
                words = [word.replace("<credentials>/cluster-secret", self.secret) for word in words[1:]]
                nodes.append(self.start([self.tools.exec, *words], node))
            self.assert_serve(nodes) if key == "ExecStart" else self.assert_end(nodes)

    def test_lws(self):
        self.export_here("lws", False, "--image", "x")
        pods = self.lws_pods("out")
        self.assertEqual(len(pods), 2)
        for kind in ("initContainers", "containers"):
            nodes = []
            for node, pod in enumerate(pods):
                (container,) = pod[kind]
                (mount,) = (m["mountPath"] for m in container["volumeMounts"] if m["name"] == "secret")
                words = [word.replace("$$", "$").replace(f"{mount}/cluster-secret", self.secret)
                         for word in container["command"]]  # fmt: skip
                nodes.append(self.start(words, node, LWS_LEADER_ADDRESS="localhost", LWS_GROUP_SIZE="2",
                                        LWS_WORKER_INDEX=str(node)))  # fmt: skip
            self.assert_serve(nodes) if kind == "containers" else self.assert_end(nodes)


if __name__ == "__main__":
    plan_tools.main([Names, Starts, StartsTwo], plan_tools.Tools(plan_tools.parser(__doc__).parse_args().bin))
