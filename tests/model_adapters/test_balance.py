"""`Balance` chooses the same server as a linear search, after any sequence of changes."""

from __future__ import annotations

import random

from evals.model_adapters.common.balance import Balance
from tests.support.tables import table


class Server:
    def __init__(self, position: int) -> None:
        self.position, self.usable = position, True
        self.calls, self.capacity, self.max_capacity = 0, 4, 8

    @property
    def load(self) -> float:
        return self.calls / self.capacity


def change(server: Server, rng: random.Random) -> None:
    """Change the state of a server at random."""
    match rng.randrange(10):
        case 0:
            server.usable = not server.usable
        case 1:
            server.capacity = rng.randint(1, 8)
        case 2:
            server.max_capacity = rng.randint(8, 16)
        case 3 | 4 | 5:
            server.calls = max(0, server.calls - 1)
        case _:
            server.calls += 1


@table("seed", range(20))
def test_the_least_loaded_server_is_the_one_that_a_linear_search_finds(seed: int) -> None:
    rng = random.Random(seed)
    balance, servers = Balance[Server](), [Server(position) for position in range(rng.randint(1, 12))]
    assert balance.least_loaded() is None
    for server in servers:
        balance.update(server)
    for _ in range(2000):
        changed = rng.choice(servers)
        change(changed, rng)
        balance.update(changed)
        usable = [server for server in servers if server.usable]
        expected = min(usable, key=lambda server: (server.load, server.position), default=None)
        assert balance.least_loaded() is expected
        assert balance.capacity == sum(server.capacity for server in usable)
        assert balance.max_capacity == sum(server.max_capacity for server in usable)
