"""What mrs-exec says to bad inputs: exact message and exit code on the command line, exact error body over HTTP.

    python3 bad_inputs.py --bin build/cli

Nothing here may start an answer, leave a process, or keep a server from answering the next request.
"""

import hashlib
import json
import os
import socket
import struct
import subprocess

from harness import (MINI, Run, Server, Workplace, check, check_equal, parse_arguments, run_cases, run_main,
                     without_root_rights)

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ONE_OF = "a string, a list of strings, token ids, or lists of token ids"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def header_of(safetensors):
    return safetensors[:8 + struct.unpack("<Q", safetensors[:8])[0]]


def split_weights(whole, folder):
    """The tensors of one safetensors file in two, with their index; the two names."""
    head = header_of(whole)
    entries = {name: entry for name, entry in json.loads(head[8:]).items() if name != "__metadata__"}
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    parts, weight_map = [({}, b""), ({}, b"")], {}
    for number, (name, entry) in enumerate(entries.items()):
        part, data = parts[number % 2]
        begin, end = entry["data_offsets"]
        part[name] = {**entry, "data_offsets": [len(data), len(data) + end - begin]}
        parts[number % 2] = part, data + whole[len(head) + begin:len(head) + end]
        weight_map[name] = names[number % 2]
    for name, (part, data) in zip(names, parts):
        text = json.dumps(part).encode()
        write(os.path.join(folder, name), struct.pack("<Q", len(text)) + text + data)
    write(os.path.join(folder, "model.safetensors.index.json"), json.dumps({"weight_map": weight_map}).encode())
    return names


def sealed(body):
    """A plan's body with the SHA-256 that closes it."""
    return body + hashlib.sha256(body).digest()


def with_format(plan, major, minor):
    """The plan with another format version: the first two fields of its root table, sealed again."""
    body = bytearray(plan[:-32])
    table = struct.unpack_from("<I", body, 0)[0]
    vtable = table - struct.unpack_from("<i", body, table)[0]
    for slot, value in enumerate((major, minor)):
        offset = struct.unpack_from("<H", body, vtable + 4 + 2 * slot)[0]
        if offset == 0:
            check_equal(value, 0, "a field that is absent can only stay 0")
        else:
            struct.pack_into("<H", body, table + offset, value)
    return sealed(bytes(body))


class CommandLine:
    """Cases of the command line: each is refused with one message."""

    def __init__(self, work):
        self.work = work
        self.plan = work.plan(MINI)
        self.vocab = json.loads(read(os.path.join(MINI, "config.json")))["vocab_size"]
        self.cases = []

    def refuse(self, name, code, message, *arguments, plan=None, model=MINI, quiet=True, before_start=None):
        """mrs-exec with --plan, --model and these arguments ends with the code, and `message` is all that it says."""
        plan = self.plan if plan is None else plan
        given = (["--plan", plan] if plan else []) + (["--model", model] if model else [])

        def case():
            run = Run(self.work, *given, *(["--quiet"] if quiet else []), *arguments, before_start=before_start)
            try:
                check_equal(run.ended(30), code, f"exit code\n  {run.described()}")
                check_equal("\n".join(run.lines), message, "stderr")
                check_equal(run.output.strip(), b"", "stdout")
            finally:
                run.clean_up()

        self.cases.append((name, case))

    def folder(self, name, leave_out=(), **changed):
        """A copy of the bundled model with some files left out and some changed: {stem}={function of its bytes}."""
        folder = self.work.path(name, "")
        for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                     "generation_config.json"):
            data = read(os.path.join(MINI, file))
            stem = file.split(".")[0]
            if file not in leave_out:
                write(os.path.join(folder, file), changed[stem](data) if stem in changed else data)
        return folder.rstrip("/")

    def weights(self):
        good = read(os.path.join(MINI, "model.safetensors"))
        size, header = len(good), header_of(good)
        rank = "mrs-exec: prompt 0: rank 0 failed while loading weights: "
        ids = ("--prompt-ids", "1")

        def refuse(name, why, **changed):
            folder = self.folder(name.replace(" ", "-"), **changed)
            self.refuse(name, 1, f"{rank}{folder}/model.safetensors: {why}", *ids, model=folder)

        refuse("missing weights",
               "cannot be opened: No such file or directory; --model must name the folder the plan was "
               "built from",
               leave_out=("model.safetensors",))
        refuse("truncated weights",
               f"truncated: the plan expects {size} bytes, the file has {size - 1000}; copy it again",
               model=lambda data: data[:-1000])
        refuse("weights cut in the header",
               f"truncated: the plan expects {size} bytes, the file has 100; copy it again",
               model=lambda data: data[:100])
        refuse("empty weights",
               f"truncated: the plan expects {size} bytes, the file has 0; copy it again",
               model=lambda data: b"")
        refuse("longer weights",
               f"the plan expects {size} bytes, the file has {size + 1}; copy it again, or rebuild the plan "
               "with mrs-plan build",
               model=lambda data: data + b"\0")
        other = header.replace(b"model.norm.weight", b"model.Norm.weight")
        check(other != header, "the header lacks model.norm.weight")
        refuse("plan of another model", f"its header does not match the plan (expected sha256 {sha256(header)}, actual "
               f"{sha256(other)}): this plan was made for another checkpoint; rebuild it with mrs-plan build",
               model=lambda data: other + data[len(header):])
        folder = self.folder("weights are a folder", leave_out=("model.safetensors",))
        os.mkdir(os.path.join(folder, "model.safetensors"))
        self.refuse("weights are a folder",
                    1,
                    f"{rank}{folder}/model.safetensors: is a directory, expected a file",
                    *ids,
                    model=folder)

        folder = self.folder("weights-are-a-pipe", leave_out=("model.safetensors",))
        os.mkfifo(os.path.join(folder, "model.safetensors"))
        self.refuse("weights are a pipe",
                    1,
                    f"{rank}{folder}/model.safetensors: is a pipe, expected a file",
                    *ids,
                    model=folder)
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {size}\n"
        refuse("weights are a git-lfs pointer",
               "is a git-lfs pointer, not the file that it stands for; run 'git lfs pull' where it was cloned",
               model=lambda data: pointer.encode())
        folder = self.folder("weights-not-for-us")
        os.chmod(os.path.join(folder, "model.safetensors"), 0)
        self.refuse("weights that may not be read",
                    1, f"{rank}{folder}/model.safetensors: cannot be opened: Permission denied; let this user (uid "
                    f"{os.geteuid()}) read it and search its folders",
                    *ids,
                    model=folder,
                    before_start=without_root_rights)

        # With several ranks the message names the one that saw it.
        self.folder("copies/0")
        self.folder("copies/1", model=lambda data: data[:-1])
        copies = self.work.path("copies", "{rank}")
        self.refuse(
            "truncated weights of rank 1",
            1, "mrs-exec: prompt 0: rank 1 failed while loading weights: "
            f"{copies.format(rank=1)}/model.safetensors: truncated: the plan expects {size} bytes, the file has "
            f"{size - 1}; copy it again",
            *ids,
            "--transport",
            "shm",
            plan=self.work.plan(MINI, tp=2),
            model=copies)
        # Weights in several files, one of them missing, beside the plan and by --model.
        whole = self.folder("in-two", leave_out=("model.safetensors",))
        names = split_weights(good, whole)
        plan = self.work.plan(whole)
        beside = self.work.path("beside", "x.mrsplan")
        write(beside, read(plan))
        write(self.work.path("beside", names[0]), read(os.path.join(whole, names[0])))
        self.refuse("one file of two beside the plan",
                    1, f"mrs-exec: the plan's weights: {os.path.dirname(beside)} lacks {names[1]} (1 of 2 files are "
                    "there); copy what is missing, or say where all are with --model DIR",
                    *ids,
                    plan=beside,
                    model="")
        lacking = self.folder("one-of-two", leave_out=("model.safetensors",))
        write(os.path.join(lacking, names[0]), read(os.path.join(whole, names[0])))
        self.refuse("one file of two",
                    1,
                    f"{rank}{lacking}/{names[1]}: cannot be opened: No such file or directory; --model must name the "
                    "folder the plan was built from",
                    *ids,
                    plan=plan,
                    model=lacking)
        self.refuse("no model folder",
                    1, f"mrs-exec: the plan's weights (model.safetensors) are neither in "
                    f"{os.path.dirname(self.plan)} nor in the current folder; say where they are with --model DIR",
                    *ids,
                    model="")

    def tokenizer(self):
        good = read(os.path.join(MINI, "tokenizer.json"))

        def refuse(name, why, **changed):
            folder = self.folder(name.replace(" ", "-"), **changed)
            self.refuse(name, 1, f"mrs-exec: {folder}/tokenizer.json: {why}", "--prompt-ids", "1", model=folder)

        refuse("missing tokenizer",
               "cannot be opened: No such file or directory; --model must name the folder the plan was "
               "built from",
               leave_out=("tokenizer.json",))
        changed = good.replace(b'"BPE"', b'"BPF"')
        refuse("changed tokenizer", f"its content does not match the plan (expected sha256 {sha256(good)}, actual "
               f"{sha256(changed)}): this plan was made for another file; rebuild it with mrs-plan build",
               tokenizer=lambda data: changed)
        # What mrs-exec could not load never gets into a plan.
        def unplanned(name, folder, why):

            def case():
                done = subprocess.run([
                    self.work.tools.plan_program, "build", folder, "--memory", "1GiB", "-o",
                    self.work.path("unplanned", "x.mrsplan")
                ],
                                      capture_output=True,
                                      text=True,
                                      timeout=60)
                check_equal((done.returncode, done.stderr, done.stdout), (1, f"mrs-plan: tokenizer.json: {why}\n", ""),
                            "mrs-plan")

            self.cases.append((name, case))

        for name, text, why in (("tokenizer is cut", b"{\n",
                                 "line 2, column 1: syntax error while parsing object key - unexpected end of input; "
                                 "expected string literal"),
                                ("tokenizer is a list", b"[1]",
                                 "expected an object with 'model', got an array of 1 values"),
                                ("tokenizer without a model", b"{}", "'model' is missing; expected an object"),
                                ("tokenizer of another kind", changed,
                                 "model type 'BPF' is not supported; supported: BPE")):
            unplanned(name, self.folder(name.replace(" ", "-"), tokenizer=lambda data, text=text: text), why)

    def plans(self):
        good = read(self.plan)
        middle = len(good) // 2

        def refuse(name, why, data):
            path = write(self.work.path("broken", name.replace(" ", "-") + ".mrsplan"), data)
            self.refuse(name, 1, f"mrs-exec: plan {path}: {why}", "--prompt-ids", "1", plan=path)

        changed = "its SHA-256 does not match its content: the file was changed or truncated; rebuild it with mrs-plan"
        refuse("flipped plan", changed, good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:])
        refuse("truncated plan", changed, good[:-1])
        refuse("plan cut short", "has 20 bytes, a plan has at least 40; it was truncated; rebuild it with mrs-plan",
               good[:20])
        refuse("no plan", "is no plan (its identifier is not MRSP); rebuild it with mrs-plan", b"#!/bin/sh\n" * 10)
        refuse("empty plan", "is empty", b"")
        refuse("later format", "has format 3.2, this version reads 3.0 to 3.1; rebuild it with mrs-plan",
               with_format(good, 3, 2))
        refuse("other format", "has format 2.0, this version reads 3.0 to 3.1; rebuild it with mrs-plan",
               with_format(good, 2, 0))
        missing = self.work.path("broken", "missing.mrsplan")
        self.refuse("missing plan file",
                    1,
                    f"mrs-exec: plan {missing}: cannot open: No such file or directory",
                    "--prompt-ids",
                    "1",
                    plan=missing)
        self.refuse("plan is a folder",
                    1,
                    f"mrs-exec: plan {self.work.folder}: is a directory, expected a file",
                    "--prompt-ids",
                    "1",
                    plan=self.work.folder)

    def options(self):
        ids = ("--prompt-ids", "1")
        see = "; see mrs-exec --help"

        def wrong(*arguments, why, name=None):
            self.refuse(f"command line: {name or ' '.join(arguments)!r}", 2, f"mrs-exec: {why}", *arguments)

        self.refuse("no --plan", 2, "mrs-exec: --plan is required" + see, *ids, plan="")
        # Numbers: the option, the value, the range.
        numbers = {
            "--threads": "a whole number from 1 to 1024",
            "--chunk": "a whole number from 1 to 1048576",
            "--port": "a whole number from 0 to 65535",
            "--max-tokens": "a whole number from 1 to 2147483647",
            "--top-k": "a whole number from 0 to 2147483647",
            "--seed": "a whole number from 0 to 18446744073709551615",
            "--hang-timeout": "a number from 0.1 to 86400",
            "--temperature": "a number from 0 to 100",
            "--top-p": "a number above 0 and at most 1",
        }
        for option, expected in numbers.items():
            for value in ("-1", "99999999999999999999", "1x", "nan", "+1"):
                wrong(option, value, why=f"{option} {value}: expected {expected}")
            for empty in ((option, ""), (option + "=",)):
                wrong(*empty, why=f'{option} "": expected {expected}')
            wrong(option, " 1", why=f'{option} " 1": expected {expected}')
            wrong(option, why=f"{option}: nothing follows; expected {expected}")
            wrong(option, "--json", why=f"{option} --json: expected {expected}")
            wrong(option, "1", option, "1", why=f"{option} is given more than once")
        for option, value in (("--threads", "0"), ("--threads", "1025"), ("--threads", "1.5"), ("--chunk", "0"),
                              ("--chunk", "1048577"), ("--max-tokens", "0"), ("--max-tokens", "2147483648")):
            wrong(option, value, why=f"{option} {value}: expected {numbers[option]}")
        wrong("--port", "70000", why="--port 70000: expected a whole number from 0 to 65535")
        wrong("--port=70000", why="--port 70000: expected a whole number from 0 to 65535")
        wrong("--temperature", "100.5", why="--temperature 100.5: expected a number from 0 to 100")
        wrong("--top-p", "2", why="--top-p 2: expected a number above 0 and at most 1")
        wrong("--top-p", "0", why="--top-p 0: expected a number above 0 and at most 1")
        # Names.
        wrong("--dependent-launch", "maybe", why="--dependent-launch maybe: expected one of on, off")
        for value in ("pigeon", "SHM"):
            wrong("--transport", value, why=f"--transport {value}: expected one of auto, local, shm, tcp, ring")
        wrong("--transport", "", why='--transport "": expected one of auto, local, shm, tcp, ring')
        wrong("--plan=", why='--plan is given more than once')
        self.refuse("empty --plan", 2, 'mrs-exec: --plan "": expected a file name', "--plan", "", plan="")
        self.refuse("empty --model", 2, 'mrs-exec: --model "": expected a folder', "--model", "", model="")
        wrong("--logits-out", "", *ids, why='--logits-out "": expected a file name')
        wrong("--host", "", why='--host "": expected a host name or address')
        wrong("--stop", "", *ids, why='--stop "": expected a text of at least one byte')
        wrong("--json=yes", why="--json takes no value")
        # What there is not.
        wrong("--nonsense", why="--nonsense: there is no such option" + see)
        wrong("--thread", "2", why="--thread: there is no such option; did you mean --threads?" + see)
        wrong("--promt=secret text", why="--promt: there is no such option; did you mean --prompt?" + see)
        wrong("-x", why="-x: there is no such option" + see)
        wrong("stray", why="stray: not expected here" + see)
        no_key = "not there yet: the server binds 127.0.0.1 only and asks for no key; leave it out"
        by_plan = "the plan decides it: build one with mrs-plan build --tp N, --pp N and --cluster FILE"
        for arguments, why in {
                "--api-key-file k": no_key,
                "--no-auth": no_key,
                "--gpus 2": "the plan decides it: build one with mrs-plan build --gpus or --cluster FILE, and --devices for some of them",
                "--pp 2": by_plan,
                "-pp=2": by_plan,
                "-n 2": by_plan,
                "--nnodes=2": by_plan,
                "--node-rank 1": "use --node K",
                "--master-addr a": "use --head ADDRESS[:PORT]",
                "--master-port 1": "use --cluster-port N",
                "--tp 2": "the plan decides it: build one with mrs-plan build --tp N",
                "--max-model-len 9": "the plan decides it: build one with mrs-plan build --max-len N",
                "-m x": "use --model DIR, with --plan x.mrsplan",
                "--min-p 0.1": "not there yet on the command line; ask over HTTP",
                "serve": "leave the word out: mrs-exec --plan x.mrsplan serves",
        }.items():
            wrong(*arguments.split(), why=f"{arguments.replace('=', ' ').split()[0]}: {why}")
        wrong("--quiet", "doctor", why="doctor: the verb comes first: mrs-exec doctor [--json]")
        # A key by argv: refused, and not said again.
        no_secret = (
            "a secret on the command line can be read by everybody on this host, so none is taken there; leave it "
            "out: the server binds 127.0.0.1 only and asks for no key yet")
        for arguments in (("--api-key", "sk-1"), ("--api-key=sk-1",), ("--hf-token", "sk-1"),
                          ("--admin-password=sk-1",)):
            wrong(*arguments, why=f"{arguments[0].partition('=')[0]}: {no_secret}")
        self.refuse("a key before anything else",
                    2,
                    f"mrs-exec: --api-key: {no_secret}",
                    "--api-key",
                    "sk-1",
                    plan="",
                    model="")
        people = "this verb is for mrs-exec itself; serve with mrs-exec --plan x.mrsplan"
        for arguments in ((), ("--fd",), ("--fd", "3", "x"), ("--socket", "3")):
            self.refuse(f"rank {' '.join(arguments)}",
                        2,
                        f"mrs-exec: rank: expected --fd N; {people}",
                        "rank",
                        *arguments,
                        plan="",
                        model="",
                        quiet=False)
        for value, shown in (("", '""'), ("ten", "ten"), ("-1", "-1"), ("0", "0"), ("2", "2"), ("3x", "3x"),
                             ("1000000", "1000000"), ("99999999999999999999", "99999999999999999999")):
            self.refuse(f"rank --fd {shown}",
                        2,
                        f"mrs-exec: rank: --fd {shown}: expected the number of an open socket, 3 or more; {people}",
                        "rank",
                        "--fd",
                        value,
                        plan="",
                        model="",
                        quiet=False)
        self.refuse("--json without a prompt", 2, "mrs-exec: --json and --logits-out are for --prompt and --prompt-ids",
                    "--json")
        self.refuse("--host wider than loopback", 1,
                    "mrs-exec: --host 0.0.0.0: mrs-exec binds 127.0.0.1 only until API keys "
                    "come", "--host", "0.0.0.0")
        with_port = socket.socket()
        with_port.bind(("127.0.0.1", 0))
        with_port.listen()
        self.busy = with_port  # until the last case has run
        port = with_port.getsockname()[1]
        self.refuse("busy port", 1,
                    f"mrs-exec: port {port} on 127.0.0.1 is in use by another process; choose another with "
                    "--port", "--port", port)

    def prompts(self):
        for given in ("1,,2", "1,2,", "one", "99999999999", "", "1, 2"):
            shown = given if given and " " not in given else json.dumps(given)
            self.refuse(f"--prompt-ids {shown}", 2, f"mrs-exec: --prompt-ids {shown}: expected token ids like 1,2,3",
                        "--prompt-ids", given)
        prompt = "mrs-exec: prompt 0: "
        for id in (-1, self.vocab):
            self.refuse(f"--prompt-ids={id}", 1, f"{prompt}the prompt has token {id}, expected 0 to {self.vocab - 1}",
                        f"--prompt-ids={id}")
        self.refuse(
            "--prompt-ids too long", 1, f"{prompt}the prompt has 512 tokens, but the plan's sequences hold 512 with at "
            "least one token of answer; shorten it, or build a plan with a larger --max-len", "--prompt-ids",
            ",".join(["1"] * 512))
        self.refuse("--prompt not UTF-8", 1, "mrs-exec: the text is not UTF-8 at byte 2", "--prompt",
                    os.fsdecode(b"ab\xff"))
        bare = self.folder("bare", leave_out=("tokenizer.json", "tokenizer_config.json"))
        self.refuse("--prompt without a tokenizer",
                    1, "mrs-exec: --prompt needs a tokenizer and this plan has none; use "
                    "--prompt-ids 1,2,3",
                    "--prompt",
                    "Hello",
                    model=bare,
                    plan=self.work.plan(bare))


class Api:
    """Cases over HTTP: each is answered with one status and error body, and the server goes on."""

    def __init__(self, server, vocab):
        self.server, self.vocab, self.cases = server, vocab, []

    def case(self, name, status, message, param, code, ask):
        kind = "server_error" if status >= 500 else "invalid_request_error"

        def run():
            expected = (status, {"error": {"message": message, "type": kind, "param": param, "code": code}})
            check_equal(ask(), expected, name)
            check_equal(self.server.get("/health")[0], 200, "health afterwards")

        self.cases.append((f"HTTP: {name}", run))

    def refuse(self, name, path, body, message, param=None, code=None, status=400):
        self.case(name, status, message, param, code, lambda: self.server.post(path, body))

    def bodies(self):

        def raw(name, body, message):
            self.case(name, 400, f"request body: {message}", None, "invalid_json",
                      lambda: self.server.request("POST", CHAT, body, {"Content-Type": "application/json"}))

        raw(
            "bad JSON", b'{"messages": [],\n  oops}',
            "line 2, column 3: syntax error while parsing object key - invalid literal; "
            """last read: '"messages": [],<U+000A>  o'; expected string literal""")
        raw(
            "JSON cut", b'{"messages": [',
            "line 1, column 15: syntax error while parsing value - unexpected end of input; "
            "expected '[', '{', or a literal")
        raw("NaN", b'{"temperature": NaN}',
            "line 1, column 17: NaN is Python, not JSON; write a JSON value in its place")
        raw(
            "no body", b"",
            "line 1, column 1: syntax error while parsing value - unexpected end of input; expected '[', '{', or "
            "a literal")
        raw("body is a list", b"[1, 2]", "expected a JSON object, got an array of 2 values")
        raw("deep body", b'{"a":' + b"[" * 1000, "line 1, column 69: nested deeper than 64 levels")

        too_large = "the request body has more than 50000000 bytes; send less"

        def exchange(head, pieces):
            """A refusal may come before all has been sent."""
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as client:
                client.sendall(
                    f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}\r\n\r\n".
                    encode())
                try:
                    for piece in pieces:
                        client.sendall(piece)
                except ConnectionError:
                    pass
                received = b""
                while part := client.recv(65536):
                    received += part
            head, _, body = received.partition(b"\r\n\r\n")
            return int(head.split()[1]), json.loads(body)

        megabyte = b"a" * 1_000_000
        self.case("oversized body, announced", 413, too_large, None, "body_too_large",
                  lambda: exchange("Content-Length: 60000000", []))
        self.case("oversized body, sent all the same", 413, too_large, None, "body_too_large",
                  lambda: exchange("Content-Length: 60000000", [megabyte] * 60))
        chunk = b"%x\r\n%s\r\n" % (len(megabyte), megabyte)
        self.case("oversized body, chunked", 413, too_large, None, "body_too_large",
                  lambda: exchange("Transfer-Encoding: chunked", [chunk] * 60 + [b"0\r\n\r\n"]))

    def routes(self):

        def ask(name, status, message, code, method, path, body=None, headers=()):
            self.case(name, status, message, None, code, lambda: self.server.request(method, path, body, headers))

        ask(
            "unknown route", 404, '"/v1/embeddings" is not served here; there are /v1/models, /v1/chat/completions, '
            "/v1/completions, /health and /version", "not_found", "POST", "/v1/embeddings", b"{}")
        ask("GET of chat", 405, f'"GET" is not allowed on "{CHAT}"; use POST', "method_not_allowed", "GET", CHAT)
        ask("DELETE of models", 405, '"DELETE" is not allowed on "/v1/models"; use GET', "method_not_allowed", "DELETE",
            "/v1/models")
        ask("wrong content type", 415, 'Content-Type "text/plain": expected application/json', "unsupported_media_type",
            "POST", CHAT, b"{}", {"Content-Type": "text/plain"})
        ask("foreign host", 421, 'host "evil.example": this server answers to localhost and 127.0.0.1 only',
            "misdirected_request", "GET", "/v1/models", None, {"Host": "evil.example"})
        self.case("unknown model, looked up", 404, 'model "gpt" is not served here; this server has "mini"', "model",
                  "model_not_found", lambda: self.server.get("/v1/models/gpt"))
        self.refuse("unknown model", COMPLETIONS, {
            "model": "gpt",
            "prompt": [1]
        }, 'model: "gpt" is not served here; this '
                    'server has "mini"', "model", "model_not_found", 404)

    def parameters(self):

        def refuse(name, value, why):
            self.refuse(f"{name} {json.dumps(value)}", COMPLETIONS, {
                "prompt": [1],
                name: value
            }, f"{name}: {why}", name)

        refuse("temperature", -1, "expected a number from 0 to 100, got -1")
        refuse("temperature", "hot", 'expected a number from 0 to 100, got "hot"')
        refuse("top_p", 2, "expected a number above 0 and at most 1, got 2")
        refuse("top_p", 0, "expected a number above 0 and at most 1, got 0")
        refuse("top_k", -2, "expected an integer from -1 to 2147483647, got -2")
        refuse("max_tokens", 0, "expected an integer from 1 to 2147483647, got 0")
        refuse("max_tokens", 1.5, "expected an integer from 1 to 2147483647, got 1.5")
        refuse("logprobs", 99, "expected an integer from 0 to 20, got 99")
        refuse("presence_penalty", 3, "expected a number from -2 to 2, got 3")
        refuse("stream", "yes", 'expected true or false, got "yes"')
        refuse("stop", ["a"] * 65, "65 stop strings, at most 64 are accepted")
        refuse("stop", [""], 'expected strings of 1 to 1024 bytes, got ""')
        refuse("n", 2, "2 is not supported; leave it out")
        refuse("logit_bias", {"5": 101}, "expected a bias from -100 to 100 for token 5, got 101")
        chat = {"messages": [{"role": "user", "content": "Hello!"}]}
        self.refuse("top_logprobs 21", CHAT, {
            **chat, "logprobs": True,
            "top_logprobs": 21
        }, "top_logprobs: expected an integer from 0 to 20, got 21", "top_logprobs")
        self.refuse("top_logprobs alone", CHAT, {
            **chat, "top_logprobs": 2
        }, "top_logprobs: needs logprobs set to true", "top_logprobs")

    def prompts(self):

        def refuse(name, prompt, why, param="prompt", code=None):
            self.refuse(name, COMPLETIONS, {"prompt": prompt}, f"{param}: {why}", param, code)

        refuse("prompt id negative", [1, -1], f"expected a token id from 0 to {self.vocab - 1}, got -1", "prompt[1]")
        refuse("prompt id too large", [1, 2, self.vocab],
               f"expected a token id from 0 to {self.vocab - 1}, got {self.vocab}", "prompt[2]")
        refuse("prompt empty", [], "has no tokens")
        refuse("prompt of another kind", {}, f"expected {ONE_OF}, got an object of 0 keys")
        refuse("prompt too long", [1] * 512,
               "this model's maximum context length is 512 tokens, prompt and answer together, and 512 tokens leave no "
               "room for an answer (context_length_exceeded); send less",
               code="context_length_exceeded")
        self.refuse("prompt missing", COMPLETIONS, {}, f"prompt: is missing; expected {ONE_OF}", "prompt")

        def messages(name, value, why, param="messages"):
            self.refuse(name, CHAT, {"messages": value}, f"{param}: {why}", param)

        messages("messages empty", [], "expected a list of at least one message, got an array of 0 values")
        messages("message without content", [{
            "role": "user"
        }], "is missing or null; expected a string or a list of text parts", "messages[0].content")
        messages("message of nobody", [{
            "role": "king",
            "content": "Hello!"
        }], 'expected system, developer, user or assistant, got "king"', "messages[0].role")
        self.refuse("messages missing", CHAT, {}, "messages: is missing; expected a list of messages", "messages")


def main():
    options = parse_arguments(__doc__)
    with Workplace("bad-inputs", options.bin) as work:
        line = CommandLine(work)
        for group in (line.weights, line.tokenizer, line.plans, line.options, line.prompts):
            group()
        failures = run_cases(line.cases, workers=3, only=options.only)
        with Server(work, work.plan(MINI), MINI, "--quiet") as server:
            api = Api(server, line.vocab)
            for group in (api.bodies, api.routes, api.parameters, api.prompts):
                group()
            failures += run_cases(api.cases, workers=2, only=options.only)
    return 1 if failures else 0


if __name__ == "__main__":
    run_main(main)
