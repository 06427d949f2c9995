"""The unmodified `openai` client against the bundled model.

    python3 openai_test.py --bin build/cli --python build/venv/bin/python

--python is an interpreter that has the client; scripts/test.sh makes one in build/venv.
"""

import os
import subprocess

from harness import HERE, MINI, Server, Workplace, check, parse_arguments, run_main


def main():
    options = parse_arguments(__doc__, ("--python", {
        "required": True,
        "help": "an interpreter with the openai package"
    }))
    check(
        os.access(options.python, os.X_OK),
        f"{options.python}: no such program; make it with\n  python3 -m venv build/venv && "
        "build/venv/bin/pip install openai")
    with Workplace("openai", options.bin) as work:
        with Server(work, work.plan(MINI, tp=2), MINI, "--quiet") as server:
            client = [options.python, os.path.join(HERE, "openai_client.py"), f"http://127.0.0.1:{server.port}/v1"]
            done = subprocess.run(client, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
            check(done.returncode == 0,
                  f"exit code {done.returncode}\n{done.stdout}{done.stderr}\n{server.described()}")
            print(done.stdout, end="")


if __name__ == "__main__":
    run_main(main)
