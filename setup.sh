#!/bin/sh
# Make .venv with the exact versions that were tested (constraints.txt), once; later calls return at once.
# torch is the CPU build, so that a fresh machine doesn't fetch gigabytes of CUDA; see the README for GPUs.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup.sh: vip needs Python 3.11 or newer; name it with PYTHON=python3.11 sh setup.sh" >&2
    exit 1
fi
stamp=.venv/set-up-for
want=$(cat pyproject.toml constraints.txt setup.sh | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && .venv/bin/python -c 'import vipcli' 2>/dev/null; then exit 0; fi

echo "setting up .venv, which takes a minute or two" >&2
"$python" -m venv --clear .venv
pip=".venv/bin/python -m pip --disable-pip-version-check -q"
torch=$(sed -n 's/^torch==//p' constraints.txt)
case "$(uname -s)" in
Linux)
    # The CPU build lies on torch's own index; where that can't be reached, whatever pip finds must do.
    if ! $pip install --no-deps --retries 1 --index-url https://download.pytorch.org/whl/cpu "torch==$torch+cpu" 2>/dev/null
    then
        echo "torch's own index can't be reached: taking torch $torch from elsewhere, which may be a large CUDA build" >&2
        $pip install --no-deps "torch==$torch"
    fi
    ;;
*) $pip install --no-deps "torch==$torch" ;;
esac
$pip install -c constraints.txt -e '.[dev]'
echo "$want" >"$stamp"
