#!/usr/bin/env bash
# Surprise: the first highspy.Highs() of a process prints to standard output, before output_flag can be set.
# Guess: making a solver is silent, as in highspy 1.15.1; only a run prints, and output_flag turns that off.
# Seen: highspy 1.16.0 prints lines with its version and licence when the first object is made, 1.15.1 none.
# In this project: the adapter makes its first solver with standard output kept away, so that `--json` stays JSON.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > finding.py <<'PY'
import highspy

solver = highspy.Highs()
solver.setOptionValue("output_flag", False)
PY
for release in 1.15.1 1.16.0; do
    python3 -m venv "$release"
    "$release/bin/pip" install --quiet --no-compile numpy==2.4.6 "highspy==$release"
    "$release/bin/python" finding.py > "$release.txt"
    echo "highspy $release prints $(wc -l < "$release.txt") lines:"
    cat "$release.txt"
done
if [ -s 1.15.1.txt ] || [ ! -s 1.16.0.txt ]; then
    echo "The behaviour has changed."
    exit 1
fi
echo "As seen before."
