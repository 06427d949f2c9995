#!/usr/bin/env bash
# Makes the folder that scripts/gpu-check.sh takes to a machine with a GPU: plans, small checkpoints, and what the CPU
# answers to them. Here mrs-plan must run; there it need not.
#
#   scripts/gpu-check-plans.sh OUT [--bin build/cli] [--small]     a new folder; --small: seconds, for an emulated GPU
set -euo pipefail
exec python3 -B "$(dirname "$0")/gpu_check_plans.py" "$@"
