"""The least loaded of many servers, and how many calls they take together, without a look at each for every call."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple, Protocol, TypeVar


class Balanced(Hashable, Protocol):
    """A server among others."""

    @property
    def usable(self) -> bool:
        """Return whether it is to be called."""
        ...

    @property
    def load(self) -> float:
        """Return the share of its room in use."""
        ...

    @property
    def room(self) -> int:
        """Return the number of calls it takes at once."""
        ...

    @property
    def most(self) -> int:
        """Return the maximum of `room`."""
        ...


B = TypeVar("B", bound=Balanced)


class _State(NamedTuple):
    place: int
    room: int
    most: int


class Balance(Generic[B]):
    """Servers by load. `note` is to be called after every change of one; it takes logarithmic time, `least` as well."""

    def __init__(self) -> None:
        self.room = self.most = 0
        """Sums over the usable servers."""
        self._states: dict[B, _State] = {}
        self._servers: list[B] = []
        self._heap: list[tuple[float, int]] = []
        """(load, place); an entry whose load is no longer that of its server is dropped when it is at the top."""

    def note(self, server: B) -> None:
        """Take note of a new server, or of a change of its load, its room or whether it is usable."""
        state = self._states.get(server)
        if state is None:
            state = _State(len(self._servers), 0, 0)
            self._servers.append(server)
        room, most = (server.room, server.most) if server.usable else (0, 0)
        if (room, most) != state[1:] or server not in self._states:
            self._states[server] = _State(state.place, room, most)
            self.room += room - state.room
            self.most += most - state.most
        if room:
            heappush(self._heap, (server.load, state.place))
            if len(self._heap) > 64 + 8 * len(self._servers):
                self._heap = [(s.load, place) for place, s in enumerate(self._servers) if s.usable]
                heapify(self._heap)

    def least(self) -> B | None:
        """Return the usable server with the smallest load, of several the first; None if no server is usable."""
        while self._heap:
            load, place = self._heap[0]
            server = self._servers[place]
            if server.usable and server.load == load:
                return server
            heappop(self._heap)
        return None
