#!/usr/bin/env bash
# On a machine with a GPU, its driver, python3 and what was built (nothing else is needed): what of the GPU's part holds
# here, and how fast it is. One table within 8 minutes; exit code 1 where a row fails, and the others are run all the same.
#
#   scripts/gpu-check.sh --plans OUT [--bin build/cli] [--cuda-check FILE] [--products-check FILE]
#   scripts/gpu-check.sh --plans OUT --emulated                    where no GPU is: mrs-exec-emulated, which each row names
#
# OUT is what scripts/gpu-check-plans.sh made, anywhere. The programs it compares with are built by
# cmake --build build --target cuda_check products_check.
set -euo pipefail
command -v python3 >/dev/null || { echo "gpu-check.sh: no python3 here; its standard library is all that is needed" >&2; exit 1; }
exec python3 -B "$(dirname "$0")/gpu_check.py" "$@"
