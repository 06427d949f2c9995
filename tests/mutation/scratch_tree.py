"""A copy of the sources in which one text is exchanged for another, built, tried, and put back.

with ScratchTree(folder) as tree:
    tree.build("mrs-plan")                        # once, unchanged
    with tree.changed(file, old, new):
        tree.build("mrs-plan")                    # False: does not compile
"""

import contextlib
import os
import shutil
import subprocess
import tempfile

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class StaleMutant(Exception):
    """The source has changed under a mutant: its old text does not stand there exactly once."""


class ScratchTree:
    """`folder`: a copy of the repository that may be changed, with its own build/; None: a new one, for this run."""

    def __init__(self, folder=None, jobs=2):
        self.own = folder is None
        self.folder = tempfile.mkdtemp(prefix="mrs_mutants_") if self.own else os.path.abspath(folder)
        if self.folder == REPOSITORY:
            raise SystemExit("--tree is this repository; give a copy, which may be changed")
        self.jobs = jobs

    def __enter__(self):
        if not os.path.exists(f"{self.folder}/CMakeLists.txt"):
            ignore = shutil.ignore_patterns(".git", "build", "build-*", "__pycache__")
            shutil.copytree(REPOSITORY, self.folder, ignore=ignore, dirs_exist_ok=True)
        if not os.path.exists(f"{self.folder}/build/build.ninja"):
            subprocess.run(["cmake", "--preset", "release"], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        if self.own:
            shutil.rmtree(self.folder)

    @property
    def programs(self):
        return f"{self.folder}/build/cli"

    def build(self, *targets):
        """(whether it was built, what the compiler said)."""
        argv = ["cmake", "--build", f"{self.folder}/build", f"-j{self.jobs}", "--target", *targets]
        done = subprocess.run(argv, capture_output=True, text=True)
        return done.returncode == 0, done.stdout[-2000:] + done.stderr[-500:]

    @contextlib.contextmanager
    def changed(self, file, old, new):
        path = os.path.join(self.folder, file)
        with open(path) as source:
            text = source.read()
        if text.count(old) != 1:
            raise StaleMutant(f"{file}: {text.count(old)} times {old!r}, expected once")
        try:
            with open(path, "w") as source:
                source.write(text.replace(old, new))
            yield
        finally:
            with open(path, "w") as source:
                source.write(text)
