"""The choice of the least loaded server agrees with a look at each of them, whatever happens to them."""

from __future__ import annotations

import random

from evals.model_adapters.common.balance import Balance
from tests.support.tables import table


class Server:
    def __init__(self, place: int) -> None:
        self.place, self.usable = place, True
        self.calls, self.capacity, self.max_capacity = 0, 4, 8

    @property
    def load(self) -> float:
        return self.calls / self.capacity


def change(server: Server, chance: random.Random) -> None:
    match chance.randrange(10):
        case 0:
            server.usable = not server.usable
        case 1:
            server.capacity = chance.randint(1, 8)
        case 2:
            server.max_capacity = chance.randint(8, 16)
        case 3 | 4 | 5:
            server.calls = max(0, server.calls - 1)
        case _:
            server.calls += 1


@table("seed", range(20))
def test_it_agrees_with_a_look_at_each(seed: int) -> None:
    chance = random.Random(seed)
    balance, servers = Balance[Server](), [Server(place) for place in range(chance.randint(1, 12))]
    assert balance.least_loaded() is None
    for server in servers:
        balance.update(server)
    for _ in range(2000):
        changed = chance.choice(servers)
        change(changed, chance)
        balance.update(changed)
        usable = [server for server in servers if server.usable]
        expected = min(usable, key=lambda server: (server.load, server.place), default=None)
        assert balance.least_loaded() is expected
        assert balance.capacity == sum(server.capacity for server in usable)
        assert balance.max_capacity == sum(server.max_capacity for server in usable)
