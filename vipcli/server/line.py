"""Who is next: in turn by machine, and of one machine in turn by connection; nobody waits for another's many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["Client", "Line"]

Client = tuple[str, int]
"""A machine's address and the port of one of its connections."""

Item = TypeVar("Item")


class Line(Generic[Item]):
    """Those who wait, each by the `Client` it came from."""

    def __init__(self) -> None:
        self._machines: dict[str, dict[int, deque[Item]]] = {}  # in the order of their turns, as dictionaries keep it

    def __len__(self) -> int:
        return sum(map(self.of, self._machines))

    def __iter__(self) -> Iterator[Item]:
        for connections in self._machines.values():
            for items in connections.values():
                yield from items

    def of(self, machine: str) -> int:
        """How many wait that came from `machine`."""
        return sum(map(len, self._machines.get(machine, {}).values()))

    def put(self, client: Client, item: Item) -> None:
        """Let `item` wait."""
        machine, connection = client
        self._machines.setdefault(machine, {}).setdefault(connection, deque()).append(item)

    def take(self, may: Callable[[str], bool] = lambda _: True) -> Item | None:
        """Whoever is next of the machines that `may`, whose turn comes again after all others'; None: nobody."""
        machine = next(filter(may, self._machines), None)
        if machine is None:
            return None
        connections = self._machines.pop(machine)
        connection = next(iter(connections))
        items = connections.pop(connection)
        item = items.popleft()
        if items:
            connections[connection] = items
        if connections:
            self._machines[machine] = connections
        return item

    def drop(self, client: Client, item: Item) -> bool:
        """Take `item` out, which waits no longer; whether it was there."""
        machine, connection = client
        connections = self._machines.get(machine, {})
        items = connections.get(connection, deque())
        if item not in items:
            return False
        items.remove(item)
        if not items:
            del connections[connection]
        if not connections:
            del self._machines[machine]
        return True

    def clear(self) -> None:
        """Send everybody away."""
        self._machines.clear()
