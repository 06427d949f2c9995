"""Bad inputs to mrs-plan: each with its exact message and exit code, and no plan left behind.

tests/planner/bad_inputs.py --bin build/cli
"""

import json
import os
import re
import shutil
import tempfile
import unittest

import plan_tools

WEIGHTS = "model.safetensors"
OPTIONS = ["--numerics", "pair2", "--memory", "1GiB"]
ABSENT = "cannot be opened: No such file or directory; give the folder of a Hugging Face checkpoint"
CUT_SHORT = (
    "line 1, column {}: syntax error while parsing value - unexpected end of input; expected '[', '{{', or a literal"
)


class BadInputs(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mrs_bad_")
        self.model = os.path.join(self.folder, "m")
        os.mkdir(self.model)
        self.config = plan_tools.llama_config(plan_tools.TINY)
        self.tensors = plan_tools.llama_tensors(plan_tools.TINY)
        self.write_weights(*plan_tools.header(self.tensors))

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, name, content):
        with open(os.path.join(self.model, name), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def write_weights(self, head, data_bytes):
        plan_tools.write_sparse(os.path.join(self.model, WEIGHTS), head, data_bytes)

    def entries(self):
        head, data_bytes = plan_tools.header(self.tensors)
        return json.loads(head[8:]), data_bytes

    def run_build(self, *extra, model="m", write_config=True):
        if write_config:
            self.write("config.json", json.dumps(self.config))
        return plan_tools.run([self.tools.plan, "build", model, *OPTIONS, *extra], cwd=self.folder)

    def assert_says(self, done, code, message):
        self.assertEqual((done.returncode, done.stderr, done.stdout), (code, f"mrs-plan: {message}\n", ""))
        left = sorted(os.listdir(self.folder))
        self.assertEqual([name for name in left if "mrsplan" in name], [], "something was left behind")

    def refused(self, message, *extra, **options):
        self.assert_says(self.run_build(*extra, **options), 1, message)

    def test_the_model_is_good_before_it_is_spoilt(self):
        done = self.run_build("--tp", "2", "-o", "good.mrsplan")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")

    # Weights.

    def test_missing_weights(self):
        os.remove(os.path.join(self.model, WEIGHTS))
        self.refused(
            "m: has neither model.safetensors nor model.safetensors.index.json; give the folder of a Hugging Face "
            "checkpoint in safetensors format"
        )

    def test_missing_file_of_an_index(self):
        os.rename(os.path.join(self.model, WEIGHTS), os.path.join(self.model, "a.safetensors"))
        weight_map = {name: "a.safetensors" for name, _ in self.tensors}
        weight_map["lm_head.weight"] = "b.safetensors"
        self.write(WEIGHTS + ".index.json", json.dumps({"weight_map": weight_map}))
        self.refused(
            "m: lacks b.safetensors, which model.safetensors.index.json names (1 of its 2 files are missing); download "
            "what is missing"
        )

    def test_tensor_that_only_the_index_knows(self):
        os.rename(os.path.join(self.model, WEIGHTS), os.path.join(self.model, "a.safetensors"))
        weight_map = {name: "a.safetensors" for name, _ in self.tensors}
        weight_map["model.layers.0.self_attn.rotary_emb.inv_freq"] = "a.safetensors"
        self.write(WEIGHTS + ".index.json", json.dumps({"weight_map": weight_map}))
        done = self.run_build("-o", "ghost.mrsplan")
        self.assertEqual(
            (done.returncode, done.stderr),
            (
                0,
                'mrs-plan: warning: checkpoint: the index puts tensor "model.layers.0.self_attn.rotary_emb.inv_freq" '
                "into a.safetensors, whose header has no such tensor; the model does not need it\n",
            ),
        )

    def test_files_that_may_not_be_read(self):
        self.write("tokenizer.json", json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}))
        self.write("config.json", json.dumps(self.config))
        for name in (WEIGHTS, "config.json", "tokenizer.json"):
            os.chmod(os.path.join(self.model, name), 0)
            done = plan_tools.run(
                [self.tools.plan, "build", "m", *OPTIONS],
                cwd=self.folder,
                preexec_fn=plan_tools.without_root_rights,
            )
            self.assert_says(
                done,
                1,
                f"m/{name}: cannot be opened: Permission denied; let this user (uid {os.geteuid()}) read it and search "
                "its folders",
            )
            os.chmod(os.path.join(self.model, name), 0o644)

    def test_git_lfs_pointers(self):
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
        pulled = " is a git-lfs pointer, not the file that it stands for; run 'git lfs pull' where it was cloned"
        for name in (WEIGHTS, "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            path = os.path.join(self.model, name)
            kept = os.path.exists(path) and open(path, "rb").read()
            self.write(name, pointer)
            self.refused(f"m/{name}:" + pulled)
            self.write(name, kept) if kept else os.remove(path)

    def test_links_to_nothing(self):
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
            os.symlink("../../blobs/0", os.path.join(self.model, name))
            self.refused(f"m/{name}: is a symbolic link to ../../blobs/0, where nothing is")
            os.remove(os.path.join(self.model, name))

    def test_index_that_leaves_the_folder(self):
        os.remove(os.path.join(self.model, WEIGHTS))
        self.write(WEIGHTS + ".index.json", json.dumps({"weight_map": {"a": "../a.safetensors"}}))
        self.refused(
            'model.safetensors.index.json: tensor "a": expected the plain name of a .safetensors file in the same '
            'folder, got "../a.safetensors"'
        )

    def test_truncated_weights(self):
        head, data_bytes = plan_tools.header(self.tensors)
        self.write_weights(head, data_bytes - 1)
        size = len(head) + data_bytes
        self.refused(
            f"m/model.safetensors: expected {size} bytes by its header, the file has {size - 1}; it is truncated: "
            "download it again"
        )

    def test_empty_weights(self):
        self.write_weights(b"", 0)
        self.refused(
            "m/model.safetensors: 0 bytes, but a safetensors file starts with an 8-byte header length; "
            "download it again"
        )

    def test_header_longer_than_the_file(self):
        self.write_weights((10**9).to_bytes(8, "little") + b"{}", 0)
        self.refused(
            "m/model.safetensors: its first 8 bytes announce a header of 1000000000 bytes, but only 2 bytes follow; "
            "the file is truncated or not safetensors: download it again"
        )

    def test_header_that_is_no_json(self):
        self.write_weights((4).to_bytes(8, "little") + b"{]  ", 0)
        self.refused(
            "m/model.safetensors: header: line 1, column 2: syntax error while parsing object key - unexpected ']'; "
            "expected string literal"
        )

    def test_overlapping_tensors(self):
        entries, data_bytes = self.entries()
        first, second = list(entries)[:2]
        begin, end = entries[second]["data_offsets"]
        entries[second]["data_offsets"] = [begin - 2, end - 2]
        self.write_weights(plan_tools.packed(entries), data_bytes)
        self.refused(
            f'm/model.safetensors: tensors "{first}" and "{second}" overlap: [{begin - 2}, {end - 2}) '
            f"begins before {begin}"
        )

    def test_wrong_dtype(self):
        self.tensors[1] = (*self.tensors[1], "I16")
        self.write_weights(*plan_tools.header(self.tensors))
        self.refused(
            "checkpoint: tensor 'model.layers.0.input_layernorm.weight' is I16; supported are F32, BF16 and F16 "
            "(quantized checkpoints are not supported yet)"
        )

    def test_wrong_shape(self):
        name, _ = self.tensors[2]
        self.tensors[2] = (name, [64, 63])
        self.write_weights(*plan_tools.header(self.tensors))
        self.refused(f"checkpoint: tensor '{name}' has shape [64, 63]; config.json makes it [64, 64]")

    def test_missing_tensor(self):
        name, _ = self.tensors.pop(2)
        self.write_weights(*plan_tools.header(self.tensors))
        self.refused(
            f"checkpoint: tensor '{name}' [64, 64] is missing (1 missing in all); it is incomplete or of another model "
            "than config.json"
        )

    # config.json.

    def test_missing_config(self):
        self.refused(f"m/config.json: {ABSENT}", write_config=False)

    def test_missing_folder(self):
        self.refused(f"nowhere/config.json: {ABSENT}", model="nowhere")

    def test_malformed_config(self):
        self.write("config.json", '{"architectures": [')
        self.refused("config.json: " + CUT_SHORT.format(20), write_config=False)
        self.write("config.json", "[]")
        self.refused(
            "config.json: expected an object with 'architectures', got an array of 0 values", write_config=False
        )

    def test_malformed_tokenizer_files(self):
        for name in ("tokenizer_config.json", "generation_config.json"):
            self.write(name, '{"a": [')
            self.refused(f"{name}: " + CUT_SHORT.format(8))
            os.remove(os.path.join(self.model, name))
        self.write("tokenizer_config.json", '{"chat_template": 5}')
        self.refused("tokenizer_config.json: 'chat_template': expected a string, got 5")
        os.remove(os.path.join(self.model, "tokenizer_config.json"))
        os.mkdir(os.path.join(self.model, "tokenizer.json"))
        self.refused("m/tokenizer.json: is a directory, expected a file")

    def test_config_of_wrong_types(self):
        self.config["hidden_size"] = "64"
        self.refused("config.json: 'hidden_size': expected an integer from 1 to 16777216, got \"64\"")

    def test_config_out_of_range(self):
        self.config["num_hidden_layers"] = 0
        self.refused("config.json: 'num_hidden_layers': expected an integer from 1 to 4096, got 0")

    def test_unknown_architecture(self):
        self.config["architectures"] = ["MambaForCausalLM"]
        self.refused(
            'config.json: architecture "MambaForCausalLM" is not supported yet; supported: '
            "Exaone4ForCausalLM, Gemma2ForCausalLM, Gemma3ForCausalLM, GemmaForCausalLM, Glm4ForCausalLM, "
            "GlmForCausalLM, GraniteForCausalLM, LlamaForCausalLM, Ministral3ForCausalLM, "
            "MinistralForCausalLM, MistralForCausalLM, "
            "Olmo2ForCausalLM, Olmo3ForCausalLM, Phi3ForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, "
            "SmolLM3ForCausalLM, StableLmForCausalLM"
        )

    # Options.

    def test_illegal_tp(self):
        legal = "; legal tensor-parallel sizes of this model: 1, 2, 4"
        self.refused(f"tp 3: not a power of two{legal}; what works: --tp 2", "--tp", "3")
        self.refused(f"tp 8: 4 attention heads do not divide by 8{legal}; what works: --tp 4", "--tp", "8")

    def test_illegal_layout(self):
        self.refused("--pp 2: the model has 1 layer, and a stage at least one; what works: --pp 1", "--pp", "2")
        for layers, why in (
            ("0:2", "its stages have 2 layers together, the model has 1"),
            ("0:1;0:1", "device 0 stands twice; a device has one run of layers, so it stands once, in the order of the layers"),
            ("0:1;1:0", "device 1 has no layers; leave it out, or give it some"),
            (
                "1:1",
                "device 1 is unknown; without a cluster the devices are CPU ranks of this host, or their groups of --tp, "
                "one for each of the 1 stage: 0 to 0",
            ),
            (
                "0:1,1:1",
                '"0:1,1:1" is no stage; expected DEVICE:LAYERS for each stage, separated by semicolons, e.g. 0:16;1:16',
            ),
        ):
            for option in ("--device-layers", "-n"):
                self.refused(
                    f"--device-layers {layers}: {why}; what works: --tp 1, without --device-layers", option, layers
                )
        self.refused(
            "--device-layers 0:1: --pp 1 says how many stages there are, too; give one; what works: without --pp; or "
            "without --device-layers",
            *("-n", "0:1", "--pp", "1"),
        )

    def test_max_len(self):
        self.refused(
            "--max-len 129: the model was made for 1 to 128 tokens (max_position_embeddings); what works: --max-len 128",
            *("--max-len", "129"),
        )

    def test_too_little_memory(self):
        self.write("config.json", json.dumps(self.config))
        done = plan_tools.run(
            [self.tools.plan, "build", "m", "--numerics", "pair2", "--memory", "100KiB"], cwd=self.folder
        )
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            done.stderr,
            r"^mrs-plan: the plan does not fit: a rank may use 102400 bytes, but its weights take \d+, "
            r"activations \d+, and the KV cache of one sequence of 128 tokens \d+: \d+ bytes "
            r"\([0-9.]+ [KM]?i?B\) too few; (what works: .*; or|nothing listed suffices .*;) --memory \d+",
        )

    def usage(self, *arguments):
        done = plan_tools.run([self.tools.plan, *arguments], cwd=self.folder)
        self.assertEqual(done.returncode, 2, done.stderr)
        return done.stderr

    def test_usage(self):
        self.write("config.json", json.dumps(self.config))
        self.assertEqual(
            self.usage("build"), "mrs-plan: build: give a model folder, or a module with --ir FILE; one of the two\n"
        )
        self.assertEqual(
            self.usage("build", "m", "--ir", "x.mlir"),
            "mrs-plan: build: give a model folder, or a module with --ir FILE; one of the two\n",
        )

    def assert_wrong(self, *arguments, why):
        self.assertEqual(self.usage(*arguments), f"mrs-plan: {why}\n")

    def test_values_of_options(self):
        memory = "1 to 281474976710656 bytes, perhaps with a unit: 512MiB, 8GiB"
        for option, expected in (
            ("--tp", "a whole number from 1 to 16"),
            ("--pp", "a whole number from 1 to 4096"),
            ("--max-len", "a whole number from 1 to 2147483647"),
            ("--max-seqs", "a whole number from 1 to 4096"),
            ("--max-batched-tokens", "a whole number from 1 to 65536"),
            ("--memory", memory),
            ("--numerics", "one of auto, pair2, block32, fast"),
            ("--dtype", "one of auto, f32, bf16"),
            ("--reduction", "one of canonical, rank_order"),
        ):
            for value in ("-2", "0", "99999999999999999999", "two", "1x", "1.5", "nan", "+1", "BF16"):
                self.assert_wrong("build", "m", option, value, why=f"{option} {value}: expected {expected}")
            for empty in ((option, ""), (option + "=",)):
                self.assert_wrong("build", "m", *empty, why=f'{option} "": expected {expected}')
            self.assert_wrong("build", "m", option, why=f"{option}: nothing follows; expected {expected}")
            good = {"--numerics": "auto", "--dtype": "auto", "--reduction": "canonical"}.get(option, "1")
            self.assert_wrong("build", option, good, "m", option, good, why=f"{option} is given more than once")
        self.assert_wrong("build", "m", "--tp", "17", why="--tp 17: expected a whole number from 1 to 16")
        self.assert_wrong(
            "build", "m", "--max-seqs", "4097", why="--max-seqs 4097: expected a whole number from 1 to 4096"
        )
        for value in ("lots", "8GiBs", "GiB", "8 GiB", "512TiB", "16777216EiB", "8XB"):
            shown = f'"{value}"' if " " in value else value
            self.assert_wrong("build", "m", "--memory", value, why=f"--memory {shown}: expected {memory}")
        for option in ("--ir", "--ir-source", "--ir-out", "-o", "--output"):
            self.assert_wrong("build", "m", option, "", why=f'{option} "": expected a file name')
        self.assert_wrong("build", "m", "--name", "", why='--name "": expected a name')
        self.assert_wrong("build", "", why='model "": expected a folder')
        self.assert_wrong("verify", "", why='plan "": expected a file name')
        self.assert_wrong("inspect", "x", "--json=1", why="--json takes no value")
        # What is wrong first is told.
        wrong = ("--tp", "0"), ("--dtype", "x"), ("--fast",)
        self.assert_wrong("build", *wrong[0], *wrong[1], *wrong[2], why="--tp 0: expected a whole number from 1 to 16")
        self.assert_wrong("build", *wrong[1], *wrong[2], *wrong[0], why="--dtype x: expected one of auto, f32, bf16")
        self.assert_wrong(
            "build", *wrong[2], *wrong[0], *wrong[1], why="--fast: there is no such option; see mrs-plan build --help"
        )

    def test_sizes(self):
        self.write("config.json", json.dumps(self.config))
        for value in ("1073741824", "1073741824B", "1GiB", "1gb", "1G", "1024MiB"):
            done = plan_tools.run(
                [self.tools.plan, "build", "m", "--memory", value, "-o", "sized.mrsplan"], cwd=self.folder
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            plan = json.loads(
                plan_tools.checked([self.tools.plan, "inspect", "sized.mrsplan", "--json"], cwd=self.folder)
            )
            self.assertIn({"name": "memory", "value": "1073741824"}, plan["options"])
            os.remove(os.path.join(self.folder, "sized.mrsplan"))

    def test_options_that_are_not_there(self):
        see = "; see mrs-plan build --help"
        self.assert_wrong("build", "m", "--fast", why="--fast: there is no such option" + see)
        self.assert_wrong(
            "build", "m", "--max-seq", "2", why="--max-seq: there is no such option; did you mean --max-seqs?" + see
        )
        cluster = (
            "say what there is with --gpus 2x8xH100-SXM+400G, --cpus 4 or --cluster FILE, and the layout with --tp N and "
            "--pp N"
        )
        for arguments, why in (
            (("--world-size=2",), cluster),
            (("--ep", "2"), "not there yet: replicas and expert parallelism; use --tp N and --pp N"),
            (("--tensor-parallel-size", "2"), "use --tp N"),
            (("--pipeline-parallel-size", "2"), "use --pp N"),
            (("--max-model-len", "9"), "use --max-len N"),
            (("--isq", "4"), "not there yet: quantized weights and caches"),
            (("--port", "80"), "that is an option of mrs-exec"),
            (
                ("--api-key-file", "k"),
                "not there yet, and mrs-exec's to take: it binds 127.0.0.1 only and asks for no key",
            ),
        ):
            self.assert_wrong("build", "m", *arguments, why=f"{arguments[0].partition('=')[0]}: {why}")
        for arguments in (("--api-key", "sk-1"), ("--hf-token=sk-1",)):
            said = self.usage("build", "m", *arguments)
            self.assertRegex(said, r"^mrs-plan: --(api-key|hf-token): a secret on the command line can be read by")
            self.assertNotIn("sk-1", said)
        listed = plan_tools.checked([self.tools.plan, "--help"]).split("Subcommands:\n")[1]
        verbs = ", ".join(line.split()[0] for line in listed.splitlines() if re.match(r"  \w", line))
        self.assertTrue(verbs.startswith("build, inspect, verify, "), verbs)
        self.assert_wrong(why=f"a verb is missing; there are {verbs}")
        self.assert_wrong("destroy", why=f"destroy: there is no such verb; there are {verbs}")
        self.assert_wrong("explain", why="explain: not there yet; see mrs-plan --help")
        self.assert_wrong("build", "m", "n", why="n: not expected here; see mrs-plan --help")
        self.assert_wrong("inspect", why="plan is required; see mrs-plan --help")
        self.assert_wrong("verify", why="plan is required; see mrs-plan --help")

    # Output.

    def test_output_in_no_folder(self):
        self.refused(
            "no/x.mrsplan: cannot create a file in no: No such file or directory; nothing was written",
            "-o",
            "no/x.mrsplan",
        )

    def test_output_is_a_folder(self):
        self.refused("m: is a directory, expected a file name; nothing was written", "-o", "m")
        self.assertEqual(sorted(os.listdir(self.model)), ["config.json", WEIGHTS])

    def test_output_on_a_full_disk(self):
        # A file size limit of the process, as a full disk needs root: nothing may be left, and an old plan stays.
        import resource
        import signal

        self.write("config.json", json.dumps(self.config))
        self.write("old.mrsplan", "old")

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        done = plan_tools.run(
            [self.tools.plan, "build", "m", *OPTIONS, "-o", "m/old.mrsplan"], cwd=self.folder, preexec_fn=limit
        )
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            done.stderr, r"^mrs-plan: m/old.mrsplan: cannot write \d+ bytes: File too large; nothing was written\n$"
        )
        self.assertEqual(sorted(os.listdir(self.model)), ["config.json", WEIGHTS, "old.mrsplan"])
        with open(os.path.join(self.model, "old.mrsplan")) as file:
            self.assertEqual(file.read(), "old")

    # Plans.

    def read(self, verb, path):
        done = plan_tools.run([self.tools.plan, verb, path], cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        return done.stderr

    def test_not_a_plan(self):
        self.write("x", "a text of more than a few bytes, which is as far from a plan as can be; " * 4)
        for verb in ("inspect", "verify"):
            self.assertEqual(
                self.read(verb, "m/x"),
                "mrs-plan: plan m/x: is no plan (its identifier is not MRSP); rebuild it with mrs-plan\n",
            )
            self.assertEqual(
                self.read(verb, "m/none"), "mrs-plan: plan m/none: cannot open: No such file or directory\n"
            )

    def test_truncated_plan(self):
        done = self.run_build("-o", "m/whole.mrsplan")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(self.model, "whole.mrsplan"), "rb") as file:
            whole = file.read()
        said = set()
        for size in (0, 1, 31, 32, 40, len(whole) // 2, len(whole) - 1):
            self.write("cut.mrsplan", whole[:size])
            for verb in ("inspect", "verify"):
                said.add(self.read(verb, "m/cut.mrsplan"))
        short = (
            "mrs-plan: plan m/cut.mrsplan: has {} bytes, a plan has at least 40; it was truncated; "
            "rebuild it with mrs-plan\n"
        )
        self.assertEqual(
            said,
            {
                "mrs-plan: plan m/cut.mrsplan: is empty\n",
                short.format(1),
                short.format(31),
                short.format(32),
                "mrs-plan: plan m/cut.mrsplan: its SHA-256 does not match its content: "
                "the file was changed or truncated; "
                "rebuild it with mrs-plan\n",
            },
        )

    def test_no_module(self):
        done = plan_tools.run([self.tools.plan, "build", "--ir", "none.mlir"], cwd=self.folder)
        self.assert_says(done, 1, "none.mlir: cannot be opened: No such file or directory")

    def test_module_that_nests_without_end(self):
        with open(os.path.join(self.folder, "deep.mlir"), "w") as file:
            file.write("module attributes {mrs.a = " + "[" * 300000 + "]" * 300000 + "} {}")
        done = plan_tools.run([self.tools.plan, "build", "--ir", "deep.mlir"], cwd=self.folder)
        self.assert_says(done, 1, "deep.mlir: brackets nest deeper than 256")

    def test_module_as_bytecode(self):
        with open(os.path.join(self.folder, "code.mlir"), "wb") as file:
            file.write(b"ML\xefR" + bytes(60))
        done = plan_tools.run([self.tools.plan, "build", "--ir", "code.mlir"], cwd=self.folder)
        self.assert_says(done, 1, "code.mlir: MLIR bytecode; expected a module as text")

    def test_module_in_and_out(self):
        done = plan_tools.run([self.tools.plan, "build", "--ir", "a.mlir", "--ir-out", "a.mlir"], cwd=self.folder)
        message = "build: --ir makes a plan of a module, --ir-out writes a model's module; one of the two"
        self.assert_says(done, 2, message)

    def test_source_without_a_module(self):
        done = plan_tools.run([self.tools.plan, "build", "m", "--ir-source", "a.mlir"], cwd=self.folder)
        message = "build: --ir-source goes with --ir FILE; a model folder is always held against its own graph"
        self.assert_says(done, 2, message)

    def test_option_of_a_model_with_a_module(self):
        done = plan_tools.run([self.tools.plan, "build", "--ir", "a.mlir", "--tp", "2"], cwd=self.folder)
        message = "build: --tp is for a model folder; the module of --ir says it itself: give one of the two"
        self.assert_says(done, 2, message)


if __name__ == "__main__":
    plan_tools.main([BadInputs], plan_tools.Tools(plan_tools.parser(__doc__.split("\n")[0]).parse_args().bin))
