from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.topology import (
    MARKET_SELECTOR,
    NODE_ID,
    ORDERS,
    PAPER,
    SWEEP_SELECTOR,
    Costs,
    Demand,
    Node,
    Topology,
    demands,
    executor_name,
    moved,
    place,
    shards,
)
from spyhop.errors import UserError

HEAD = Node(name="head", cpus=4, memory_gb=16, is_head=True)
SWEEP = Node(name="sweep-1", cpus=64, memory_gb=256, labels={"role": "sweep"})


def market(count: int, cpus: float = 8, memory_gb: float = 32) -> list[Node]:
    return [
        Node(name=f"market-{number}", cpus=cpus, memory_gb=memory_gb, labels={"role": "market"}, id=f"id{number}")
        for number in range(count)
    ]


def session(symbols: int = 8, executors: tuple[str, ...] = ("executor:paper:main",)) -> tuple[Demand, ...]:
    return demands(shards([f"S{number}" for number in range(symbols)]), executors)


def roles(topology: Topology) -> set[str]:
    return {placed.node.role for placed in topology.places}


nodes = st.lists(
    st.builds(
        Node,
        name=st.text("abcdef", min_size=1, max_size=4),
        cpus=st.sampled_from([0.0, 2.0, 4.0, 8.0, 64.0]),
        memory_gb=st.sampled_from([8.0, 16.0, 64.0]),
        labels=st.sampled_from([{}, {"role": "market"}, {"role": "market", "zone": "a"}, {"role": "sweep"}]),
        is_head=st.booleans(),
    ),
    min_size=2,
    max_size=8,
    unique_by=lambda node: node.name,
)
wanted = st.builds(
    session,
    st.integers(1, 40),
    st.lists(st.text("xyz", min_size=1, max_size=3), min_size=1, max_size=4, unique=True).map(
        lambda names: tuple(f"executor:{name}:main" for name in names)
    ),
)


def placed_or_none(asked: tuple[Demand, ...], cluster: list[Node]) -> Topology | None:
    try:
        return place(asked, cluster)
    except UserError:
        return None


@given(wanted, nodes)
def test_everything_has_one_place_where_it_may_be_and_fits(asked: tuple[Demand, ...], cluster: list[Node]) -> None:
    topology = placed_or_none(asked, cluster)
    if topology is None:
        return
    assert sorted(each.actor for each in topology.places) == sorted(each.actor for each in asked)
    assert all(each.node.role == "market" and not each.node.is_head for each in topology.places)
    for node in cluster:
        held = topology.on(node.name)
        assert sum(each.cpus for each in held) <= node.cpus + 1e-6
        assert sum(each.memory_gb for each in held) <= node.memory_gb + 1e-6
    assert not {node.name for node in topology.market} & {node.name for node in topology.sweep}


@given(wanted, nodes, st.randoms(use_true_random=False))
def test_the_order_of_what_is_told_decides_nothing(asked: tuple[Demand, ...], cluster: list[Node], random) -> None:
    topology = placed_or_none(asked, cluster)
    random.shuffle(cluster)
    assert placed_or_none(tuple(random.sample(asked, len(asked))), cluster) == topology


@given(wanted, st.integers(2, 8), st.data())
def test_a_lost_node_moves_what_was_on_it_and_nothing_else(asked: tuple[Demand, ...], count: int, data) -> None:
    cluster = market(count, cpus=16, memory_gb=64)
    before = place(asked, cluster)
    lost = data.draw(st.sampled_from(cluster))
    after = place(asked, [node for node in cluster if node != lost], before.nodes_of_actors())
    assert set(moved(before, after)) == {each.actor for each in before.on(lost.name)}
    # and nothing runs back by itself when the node comes back
    again = place(asked, cluster, after.nodes_of_actors())
    assert moved(after, again) == {}


@given(st.integers(1, 6), st.integers(1, 6))
def test_executors_share_a_node_only_when_every_node_has_one(accounts: int, count: int) -> None:
    executors = tuple(f"executor:{number}:main" for number in range(accounts))
    topology = place(session(4, executors), market(count))
    held = [sum(each.apart == "executor" for each in topology.on(node.name)) for node in topology.market]
    assert max(held) - min(held) <= 1
    assert any("neighbour" in note for note in topology.notes) == (count > 1 and accounts > count)


def test_symbols_are_spread_by_load() -> None:
    topology = place(session(40), market(4))
    counts = [sum(bool(each.symbols) for each in topology.on(node.name)) for node in topology.market]
    assert sum(counts) == 40
    assert max(counts) - min(counts) <= 5
    loads = [sum(each.cpus for each in topology.on(node.name)) / node.cpus for node in topology.market]
    assert max(loads) - min(loads) <= 0.1 / 8 + 1e-9


def test_a_large_node_takes_more_than_a_small_one() -> None:
    small, large = market(2)
    topology = place(session(30), [small, msgspec.structs.replace(large, cpus=32, memory_gb=128)])
    assert len(topology.on("market-1")) > 3 * len(topology.on("market-0"))


def test_neither_head_nor_sweep_nodes_trade_however_empty() -> None:
    head = msgspec.structs.replace(HEAD, labels={"role": "market"})
    topology = place(session(), [head, SWEEP, *market(2)])
    assert roles(topology) == {"market"}
    assert {each.node.name for each in topology.places} == {"market-0", "market-1"}
    assert topology.sweep == (SWEEP,)


def test_a_machine_that_is_alone_carries_everything() -> None:
    lone = Node(name="laptop", cpus=4, memory_gb=16, is_head=True)
    topology = place(session(4), [lone])
    assert all(each.node is lone for each in topology.places)
    assert topology.sweep == (lone,)
    assert "label_selector" not in topology.of("risk").options()
    with pytest.raises(UserError, match="nothing may trade"):
        place(session(4), [SWEEP])


@pytest.mark.parametrize(
    ("cluster", "sentence"),
    [
        ([HEAD, SWEEP], "nothing may trade: none of 2 nodes has CPUs and the label role=market"),
        (market(2, cpus=0), "nothing may trade"),
        ([*market(1), *market(1)], "two nodes are called market-0"),
        (
            market(2, cpus=1),
            "feed:S.* needs 0.1 CPUs and 0.27 GB, which no market node has left .2 of them, together 0.* CPUs",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(cluster: list[Node], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        place(session(20), cluster)


def test_ray_is_told_the_node_and_where_to_go_without_it() -> None:
    asked = place(session(), [HEAD, SWEEP, *market(2)]).of("feed:S0")
    assert asked.options() == {
        "num_cpus": pytest.approx(0.1),
        "memory": 270_000_000,
        "label_selector": {NODE_ID: asked.node.id},
        "fallback_strategy": [{"label_selector": MARKET_SELECTOR}],
    }
    planned = place(session(), [msgspec.structs.replace(node, id="") for node in market(2)]).of("risk")
    assert planned.options()["label_selector"] == MARKET_SELECTOR


def test_ray_reads_the_selectors() -> None:
    from ray._private.label_utils import validate_fallback_strategy, validate_label_selector

    for selector in (MARKET_SELECTOR, SWEEP_SELECTOR, {NODE_ID: "0a1b"}):
        assert validate_label_selector(selector) is None
    assert validate_fallback_strategy([{"label_selector": MARKET_SELECTOR}]) is None
    assert validate_label_selector({"role": "!!market"}) is not None


def test_symbols_are_cut_into_shards_that_appending_does_not_move() -> None:
    symbols = [f"S{number}" for number in range(10)]
    assert list(shards(symbols)) == [f"feed:{symbol}" for symbol in symbols]
    cut, more = shards(symbols, 4), shards([*symbols, "new"], 4)
    assert cut == {"feed:0": tuple(symbols[:4]), "feed:1": tuple(symbols[4:8]), "feed:2": tuple(symbols[8:])}
    assert {name: more[name][: len(held)] for name, held in cut.items()} == cut
    costs = Costs(symbol_cpus=0.2, symbol_gb=0.5, process_gb=1.0)
    by_name = {each.actor: each for each in demands(cut, ["executor:live:dydx:main"], costs)}
    assert (by_name["feed:0"].cpus, by_name["feed:0"].memory_gb) == (pytest.approx(0.8), pytest.approx(3.0))
    with pytest.raises(UserError, match="at least one symbol"):
        shards(symbols, 0)


def test_the_order_stage_is_an_actor_of_its_own_where_desks_are() -> None:
    feeds = shards(["A"])
    assert ORDERS not in {each.actor for each in demands(feeds, [PAPER])}
    by_name = {each.actor: each for each in demands(feeds, [executor_name("a:main"), executor_name("b:main")])}
    assert {name for name, each in by_name.items() if each.apart} == {"executor:live:a:main", "executor:live:b:main"}
    assert ORDERS in by_name
