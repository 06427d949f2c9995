# The compiler's tests: each .mlir file is the manual of one pass, run by mrs-opt and read by FileCheck.
import os

import lit.formats

config.name = "mrs"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = config.mrs_lit_output
config.environment["PATH"] = os.pathsep.join([config.mrs_bin, config.llvm_tools, config.environment.get("PATH", "")])
