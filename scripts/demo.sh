#!/usr/bin/env bash
# Plans the bundled model for two ranks, serves it, asks it a question and streams the answer.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh
cmake --preset release -DMRS_TESTS=OFF >build.log 2>&1 || { cat build.log >&2; exit 1; }
echo "building (a few minutes the first time) ..." >&2
cmake --build --preset release --target mrs-plan mrs-exec >>build.log 2>&1 || { tail -n 50 build.log >&2; exit 1; }

plan=build/mini.mrsplan
build/cli/mrs-plan build models/mini --tp 2 --name mini --max-len 1024 -o "$plan"

port=${MRS_DEMO_PORT:-8642}
build/cli/mrs-exec --plan "$plan" --model models/mini --port "$port" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
ready=
for _ in $(seq 300); do
  # Its own server, not another's on that port: one that could not bind is gone by now.
  kill -0 "$server" 2>/dev/null || { echo "demo.sh: mrs-exec stopped; see its message above (another port: MRS_DEMO_PORT)" >&2; exit 1; }
  [ -n "$ready" ] && break
  curl -sf "http://127.0.0.1:$port/health" >/dev/null && ready=1
  sleep 0.1
done
[ -n "$ready" ] || { echo "demo.sh: mrs-exec was not ready within 30 s" >&2; exit 1; }

question="Tom has a red ball. Tom goes to the garden. Where is the red ball?"
echo
echo "question: $question"
printf 'answer:   '
# Server-sent events, one JSON a line: print each piece of text as it comes.
curl -sN "http://127.0.0.1:$port/v1/chat/completions" -H 'Content-Type: application/json' \
  -d "{\"model\": \"mini\", \"stream\": true, \"temperature\": 0, \"messages\": [{\"role\": \"user\", \"content\": \"$question\"}]}" |
  sed -u -n 's/.*"delta":{[^}]*"content":"\([^"]*\)".*/\1/p' | while IFS= read -r piece; do printf '%b' "$piece"; done
echo
