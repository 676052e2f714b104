"""Load balancing over many servers: the least loaded one, and their total capacity, without a scan for every call."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple, Protocol, TypeVar


class Server(Hashable, Protocol):
    """A server whose load is balanced."""

    @property
    def usable(self) -> bool:
        """Return whether the server can be called."""
        ...

    @property
    def load(self) -> float:
        """Return the fraction of the capacity that is in use."""
        ...

    @property
    def capacity(self) -> int:
        """Return the number of calls that the server may process concurrently."""
        ...

    @property
    def max_capacity(self) -> int:
        """Return the largest value that `capacity` can reach."""
        ...


S = TypeVar("S", bound=Server)


class _State(NamedTuple):
    position: int
    capacity: int
    max_capacity: int


class Balance(Generic[S]):
    """Servers by load. `update` must be called after every change of a server; both methods take logarithmic time."""

    def __init__(self) -> None:
        self.capacity = self.max_capacity = 0
        """Sums over the usable servers."""
        self._states: dict[S, _State] = {}
        self._servers: list[S] = []
        self._heap: list[tuple[float, int]] = []
        """(load, position); entries whose load is out of date are dropped when they reach the top."""

    def update(self, server: S) -> None:
        """Add a server, or process a change of its load, capacity or usability."""
        state = self._states.get(server)
        if state is None:
            state = _State(len(self._servers), 0, 0)
            self._servers.append(server)
        capacity, max_capacity = (server.capacity, server.max_capacity) if server.usable else (0, 0)
        if (capacity, max_capacity) != state[1:] or server not in self._states:
            self._states[server] = _State(state.position, capacity, max_capacity)
            self.capacity += capacity - state.capacity
            self.max_capacity += max_capacity - state.max_capacity
        if capacity:
            heappush(self._heap, (server.load, state.position))
            if len(self._heap) > 64 + 8 * len(self._servers):  # most entries are out of date
                self._heap = [(s.load, position) for position, s in enumerate(self._servers) if s.usable]
                heapify(self._heap)

    def least_loaded(self) -> S | None:
        """Return the usable server with the smallest load (the first of several); None if no server is usable."""
        while self._heap:
            load, position = self._heap[0]
            server = self._servers[position]
            if server.usable and server.load == load:
                return server
            heappop(self._heap)
        return None
