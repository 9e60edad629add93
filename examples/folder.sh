#!/bin/sh
# Ask the same about every PNG of a folder: answers go to a JSON Lines file, what fails to stderr.
#   sh examples/folder.sh examples answers.jsonl
set -u
folder=${1:?usage: folder.sh FOLDER ANSWERS.jsonl}
answers=${2:?usage: folder.sh FOLDER ANSWERS.jsonl}
vip ask "$folder"/*.png --box 55%,5%,95%,60% "What is @1?" --json --model tiny >"$answers"
