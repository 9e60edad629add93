#!/bin/sh
# Ask the same about every picture of a folder; answers go to a JSON Lines file, failures to stderr.
#   sh examples/folder.sh examples answers.jsonl
set -u
folder=${1:?usage: folder.sh FOLDER ANSWERS.jsonl}
answers=${2:?usage: folder.sh FOLDER ANSWERS.jsonl}
vip ask "$folder"/meadow.png "$folder"/pond.png "$folder"/lost.png \
    --box 60%,5%,95%,60% "What is @1?" --json --model tiny >"$answers"
