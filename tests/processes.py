"""Starting processes whose memory is measured."""

from __future__ import annotations

# A process inherits the peak (ru_maxrss) of the one that starts it, which in a long test run is that of torch and every
# model loaded before; a shell in between has none worth speaking of.
WITH_ITS_OWN_PEAK = ["sh", "-c", '"$0" "$@"; exit $?']
