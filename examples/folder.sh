#!/bin/sh
# Ask the same about every PNG of a folder: answers go to a JSON Lines file, what fails to stderr.
#   sh examples/folder.sh examples answers.jsonl
set -u
if [ $# -ne 2 ] || [ ! -d "$1" ]; then
    echo "usage: sh folder.sh FOLDER ANSWERS.jsonl" >&2
    exit 2
fi
vip ask "$1"/*.png --box 55%,5%,95%,60% "What is @1?" --json --model tiny >"$2"
