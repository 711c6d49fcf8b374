from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from spyhop.clock import NS_PER_S
from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx import messages as pb
from spyhop.venuesim.faults import Fault, FaultKind

MID = 60_000
OTHER_SECRET = "22" * 32


def run(bench: Callable[..., Any], story: Callable[[Any], Any], faults: tuple[Fault, ...] = ()) -> None:
    async def go() -> None:
        async with bench(faults) as sim:
            await story(sim)

    asyncio.run(go())


def later(sim: Any, seconds: int = 500) -> int:
    """A goodTilBlockTime."""
    return int(chain.time_of(sim.height) // NS_PER_S) + seconds


async def status_of(sim: Any, client_id: int) -> str:
    orders = await sim.get("/orders", address=sim.signer.address, subaccountNumber=0)
    return next((str(order["status"]) for order in orders if order["clientId"] == str(client_id)), "")


def test_an_order_is_seen_at_once_and_filled_with_the_next_block(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        order = sim.signer.order(1, lots=100, price=MID + 1, time_in_force=1, good_til_block=sim.height + 5)
        answer = await sim.broadcast(sim.signer.sign(order))
        assert answer["code"] == 0
        assert answer["codespace"] == ""
        owner = {"address": sim.signer.address, "subaccountNumber": 0}
        assert (await sim.get("/fills", **owner))["fills"] == []  # no block yet
        sim.next_block()
        fills = (await sim.get("/fills", **owner))["fills"]
        assert [(fill["price"], fill["size"], fill["liquidity"]) for fill in fills] == [("60001", "0.01", "TAKER")]
        assert fills[0]["createdAtHeight"] == str(sim.height)
        assert Decimal(fills[0]["fee"]) == Decimal("0.300005")  # 5 bp of 600.01
        assert await status_of(sim, 1) == "FILLED"
        position = (await sim.get("/perpetualPositions", **owner, status="OPEN"))["positions"][0]
        assert (position["size"], position["entryPrice"], position["sumOpen"]) == ("0.01", "60001", "0.01")
        subaccount = (await sim.get(f"/addresses/{sim.signer.address}/subaccountNumber/0"))["subaccount"]
        usdc = Decimal(subaccount["assetPositions"]["USDC"]["size"])
        assert usdc == Decimal(100_000) - Decimal("600.01") - Decimal("0.300005")

    run(bench, story)


def test_a_resting_order_expires_without_a_word_and_the_height_tells(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        until = sim.height + 3
        assert (await sim.broadcast(sim.signer.sign(sim.signer.order(1, good_til_block=until))))["code"] == 0
        async with sim.ws() as ws:
            await ws.receive_json()
            await ws.send_json({"type": "subscribe", "channel": "v4_subaccounts", "id": f"{sim.signer.address}/0"})
            while not any(one["subscriptions"] for one in sim.front.state()["sessions"]):
                await asyncio.sleep(0.001)
            sim.turn(0.1)
            snapshot = await ws.receive_json()
            assert [order["status"] for order in snapshot["contents"]["orders"]] == ["BEST_EFFORT_OPENED"]
            while sim.height < until:
                assert sim.floor.exchange.open_orders(f"{sim.signer.address}/0")
                sim.next_block()
            assert not sim.floor.exchange.open_orders(f"{sim.signer.address}/0")
            assert await status_of(sim, 1) == "CANCELED"
            await ws.send_json({"type": "subscribe", "channel": "v4_nonsense"})
            assert (await ws.receive_json())["type"] == "error"  # nothing was said before

    run(bench, story)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"side": 0}, 3),
        ({"quantums": 0}, 4),
        ({"quantums": 1_500_000}, 4),
        ({"subticks": 0}, 6),
        ({"subticks": 6_000_000_001}, 6),
        ({"good_til_block": None}, 5),
        ({"good_til_block": -1}, 10),
        ({"good_til_block": 40}, 0),
        ({"good_til_block": 41}, 11),
        ({"good_til_block_time": 9}, 5),
        ({"time_in_force": 3}, 48),
        ({"reduce_only": True}, 9003),
        ({"reduce_only": True, "time_in_force": 1}, 2001),
        ({"condition_type": 1}, 6000),
        ({"time_in_force": 2, "subticks": 6_100_000_000}, 2003),
        ({"order_id": "pair 9"}, 8),
        ({"order_id": "flags 1"}, 3000),
        ({"order_id": "twap"}, 49),
    ],
)
def test_bad_orders_have_the_chains_codes(bench: Callable[..., Any], change: dict[str, Any], code: int) -> None:
    async def story(sim: Any) -> None:
        columns: dict[str, Any] = {"good_til_block": 5, **change}
        if columns["good_til_block"] is not None:
            columns["good_til_block"] += sim.height
        named = columns.get("order_id")
        if named is not None:
            columns["order_id"] = {
                "pair 9": sim.signer.order_id(1, pair=9),
                "flags 1": sim.signer.order_id(1, 1),
                "twap": sim.signer.order_id(1, 128),
            }[named]
        answer = await sim.broadcast(sim.signer.sign(sim.signer.order(1, **columns)))
        assert answer["code"] == code
        assert answer["codespace"] == ("clob" if code else "")
        assert bool(sim.floor.exchange.open_orders(f"{sim.signer.address}/0")) == (code == 0)

    run(bench, story)


def test_wrong_signers_are_refused(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer = sim.signer
        order = signer.order(1, good_til_block=sim.height + 5)
        refused = await sim.broadcast(signer.sign(order, number=9))
        assert (refused["codespace"], refused["code"]) == ("sdk", 4)
        assert "signature verification failed" in refused["log"]
        assert (await sim.broadcast(signer.sign(order, chain_id="dydx-testnet-4")))["code"] == 4
        stranger = type(signer)(OTHER_SECRET, 2)
        assert (await sim.broadcast(stranger.sign(order)))["code"] == 9  # the chain never saw this address
        url = sim.endpoints.dydx.node_rest + "/faucet/tokens"
        async with sim.http.post(
            url, json={"address": stranger.address, "subaccountNumber": 0, "amount": 2000}
        ) as reply:
            assert reply.status == 200
        refused = await sim.broadcast(stranger.sign(order))  # signed rightly, but another's subaccount
        assert (refused["codespace"], refused["code"]) == ("sdk", 4)
        own = stranger.order(1, good_til_block=sim.height + 5)
        assert (await sim.broadcast(stranger.sign(own)))["code"] == 0
        assert not sim.floor.exchange.open_orders(f"{signer.address}/0")

    run(bench, story)


def test_the_same_bytes_are_taken_once(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        raw = sim.signer.sign(sim.signer.order(1, good_til_block=sim.height + 5))
        assert (await sim.broadcast(raw))["code"] == 0
        again = await sim.broadcast(raw)
        assert (again["codespace"], again["code"]) == ("sdk", 19)
        other_bytes = sim.signer.sign(sim.signer.order(1, good_til_block=sim.height + 5), memo="again")
        again = await sim.broadcast(other_bytes)  # the same order in another transaction
        assert (again["codespace"], again["code"]) == ("clob", 20)
        assert len(sim.floor.exchange.open_orders(f"{sim.signer.address}/0")) == 1

    run(bench, story)


def test_a_later_good_til_block_replaces_and_what_was_filled_counts(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        account, signer = f"{sim.signer.address}/0", sim.signer
        first = signer.order(1, lots=1_000, price=MID + 1, good_til_block=sim.height + 5)
        assert (await sim.broadcast(signer.sign(first)))["code"] == 0
        (open_order,) = sim.floor.exchange.open_orders(account)
        filled = open_order.filled
        assert 0 < filled < 1_000  # it ate the ask and rests
        second = signer.order(1, lots=900, price=MID - 9, good_til_block=sim.height + 6)
        assert (await sim.broadcast(signer.sign(second)))["code"] == 0
        (open_order,) = sim.floor.exchange.open_orders(account)
        assert open_order.price == MID - 9
        assert open_order.lots == 900 - filled
        too_small = signer.order(1, lots=filled, price=MID - 9, good_til_block=sim.height + 7)
        assert (await sim.broadcast(signer.sign(too_small)))["code"] == 24
        ioc = signer.order(1, lots=950, price=MID - 9, time_in_force=1, good_til_block=sim.height + 7)
        assert (await sim.broadcast(signer.sign(ioc)))["code"] == 2004
        orders = await sim.get("/orders", address=signer.address, subaccountNumber=0)
        assert len(orders) == 1
        assert Decimal(orders[0]["totalFilled"]) == filled * Decimal("0.0001")

    run(bench, story)


def test_cancels_and_what_they_forbid(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer, height = sim.signer, sim.height
        assert (await sim.broadcast(signer.sign(signer.order(1, good_til_block=height + 5))))["code"] == 0
        cancel = pb.MsgCancelOrder(order_id=signer.order_id(1), good_til_block=height + 6)
        assert (await sim.broadcast(signer.sign(cancel)))["code"] == 0
        assert await status_of(sim, 1) == "BEST_EFFORT_CANCELED"
        assert (await sim.broadcast(signer.sign(cancel, memo="2")))["code"] == 9
        again = signer.order(1, good_til_block=height + 6)
        assert (await sim.broadcast(signer.sign(again)))["code"] == 7
        late = pb.MsgCancelOrder(order_id=signer.order_id(2), good_til_block=height)
        assert (await sim.broadcast(signer.sign(late)))["code"] == 10
        far = pb.MsgCancelOrder(order_id=signer.order_id(2), good_til_block=height + 41)
        assert (await sim.broadcast(signer.sign(far)))["code"] == 11
        unknown = pb.MsgCancelOrder(order_id=signer.order_id(3), good_til_block=height + 9)
        assert (await sim.broadcast(signer.sign(unknown)))["code"] == 0  # a cancel may come before its order
        first = signer.order(3, good_til_block=height + 9)
        assert (await sim.broadcast(signer.sign(first)))["code"] == 7

    run(bench, story)


def test_a_batch_cancels_what_it_names(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer, height = sim.signer, sim.height
        for client_id in (1, 2, 3):
            raw = signer.sign(signer.order(client_id, good_til_block=height + 5))
            assert (await sim.broadcast(raw))["code"] == 0
        batch = pb.MsgBatchCancel(
            subaccount_id=pb.SubaccountId(signer.address, 0),
            short_term_cancels=(pb.OrderBatch(0, (1, 3)),),
            good_til_block=height + 5,
        )
        assert (await sim.broadcast(signer.sign(batch)))["code"] == 0
        assert [await status_of(sim, number) for number in (1, 2, 3)] == [
            "BEST_EFFORT_CANCELED",
            "BEST_EFFORT_OPENED",
            "BEST_EFFORT_CANCELED",
        ]
        assert (await sim.broadcast(signer.sign(batch, memo="2")))["code"] == 46
        twice = pb.MsgBatchCancel(pb.SubaccountId(signer.address, 0), (pb.OrderBatch(0, (2, 2)),), height + 6)
        assert (await sim.broadcast(signer.sign(twice)))["code"] == 45

    run(bench, story)


def test_stateful_orders_wait_for_the_block_and_use_up_sequences(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer, account = sim.signer, f"{sim.signer.address}/0"
        order = signer.order(1, 64, good_til_block_time=later(sim))
        assert (await sim.broadcast(signer.sign(order, sequence=1)))["code"] == 32
        assert (await sim.broadcast(signer.sign(order, sequence=0)))["code"] == 0
        assert not sim.floor.exchange.open_orders(account)
        assert await status_of(sim, 1) == ""
        sim.next_block()
        assert sim.floor.exchange.open_orders(account)
        assert await status_of(sim, 1) == "OPEN"
        replay = signer.sign(order, sequence=0, memo="replay")
        assert (await sim.broadcast(replay))["code"] == 32
        again = signer.sign(order, sequence=1)
        assert (await sim.broadcast(again))["code"] == 3005
        cancel = pb.MsgCancelOrder(order_id=signer.order_id(1, 64), good_til_block_time=later(sim))
        assert (await sim.broadcast(signer.sign(cancel, sequence=1)))["code"] == 0
        assert await status_of(sim, 1) == "OPEN"
        sim.next_block()
        assert await status_of(sim, 1) == "CANCELED"
        assert (await sim.broadcast(signer.sign(cancel, sequence=2)))["code"] == 3006

    run(bench, story)


def test_nonces_may_be_times(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer = sim.signer
        now_ms = chain.epoch_ms(chain.time_of(sim.height))
        answers = []
        for client_id, nonce in enumerate((now_ms, now_ms, now_ms - 30_001, now_ms + 30_001, now_ms - 5)):
            sim.next_block()
            now = now_ms + 1_000 * (client_id + 1)
            nonce += 0 if client_id == 1 else now - now_ms
            order = signer.order(client_id, 64, good_til_block_time=later(sim))
            answers.append((await sim.broadcast(signer.sign(order, sequence=nonce)))["code"])
        assert answers == [0, 0, 32, 32, 0]
        replayed = signer.sign(signer.order(9, 64, good_til_block_time=later(sim)), sequence=now_ms + 1_000)
        assert (await sim.broadcast(replayed))["code"] == 32

    run(bench, story)


@pytest.mark.parametrize(
    ("flags", "change", "code"),
    [
        (64, {"good_til_block_time": 0}, 3003),
        (64, {"good_til_block_time": None}, 3001),
        (64, {"good_til_block_time": 96 * 86_400}, 3004),
        (64, {"time_in_force": 1}, 3002),
        (64, {"quantums": 10**6 * 10**7}, 3007),
        (32, {}, 6000),
        (32, {"condition_type": 1}, 6001),
        (32, {"condition_type": 1, "conditional_order_trigger_subticks": 1}, 6001),
    ],
)
def test_bad_stateful_orders_have_the_chains_codes(
    bench: Callable[..., Any], flags: int, change: dict[str, Any], code: int
) -> None:
    async def story(sim: Any) -> None:
        columns: dict[str, Any] = {"good_til_block_time": 500, **change}
        if columns["good_til_block_time"] is not None:
            columns["good_til_block_time"] = later(sim, columns["good_til_block_time"])
        answer = await sim.broadcast(sim.signer.sign(sim.signer.order(1, flags, **columns)))
        assert (answer["codespace"], answer["code"]) == ("clob", code)

    run(bench, story)


def test_two_stateful_orders_a_block_and_no_more(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer = sim.signer
        codes = []
        for client_id in range(3):
            raw = signer.sign(signer.order(client_id, 64, good_til_block_time=later(sim)), sequence=min(client_id, 2))
            codes.append((await sim.broadcast(raw))["code"])
        assert codes == [0, 0, 5001]
        sim.next_block()
        raw = signer.sign(signer.order(2, 64, good_til_block_time=later(sim)), sequence=2)
        assert (await sim.broadcast(raw))["code"] == 0  # the refused one did not use the sequence up

    run(bench, story)


def test_a_conditional_order_waits_for_the_oracle(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer = sim.signer
        stop = signer.order(
            1,
            32,
            price=MID + 50,
            time_in_force=1,
            good_til_block_time=later(sim),
            condition_type=1,
            conditional_order_trigger_subticks=(MID + 2) * 100_000,
        )
        while sim.floor.exchange.mark(0).mark != MID:
            sim.turn(0.1)
        assert (await sim.broadcast(signer.sign(stop)))["code"] == 0
        sim.next_block()
        assert await status_of(sim, 1) in ("UNTRIGGERED", "FILLED")
        seen = []
        for _ in range(5):
            seen.append(await status_of(sim, 1))
            sim.next_block()
        assert seen[-1] == "FILLED"
        assert "UNTRIGGERED" in seen

    run(bench, story)


def test_a_poor_subaccount_gets_code_0_and_no_order(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer = sim.signer
        order = signer.order(1, lots=10**7, price=MID + 1, time_in_force=1, good_til_block=sim.height + 5)
        assert (await sim.broadcast(signer.sign(order)))["code"] == 0
        assert await status_of(sim, 1) == "BEST_EFFORT_CANCELED"
        sim.next_block()
        assert (await sim.get("/fills", address=signer.address, subaccountNumber=0))["fills"] == []

    run(bench, story)


def test_usdc_moves_between_subaccounts_and_the_wallet(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer = sim.signer
        out = pb.MsgWithdrawFromSubaccount(signer.address, pb.SubaccountId(signer.address, 0), 0, 5_000_000)
        move = pb.MsgCreateTransfer(
            transfer=pb.Transfer(pb.SubaccountId(signer.address, 0), pb.SubaccountId(signer.address, 7), 0, 1_500_000)
        )
        assert (await sim.broadcast(signer.sign(out, move, sequence=0)))["code"] == 0
        sim.next_block()
        back = pb.MsgDepositToSubaccount(signer.address, pb.SubaccountId(signer.address, 7), 0, 2_000_000)
        assert (await sim.broadcast(signer.sign(back, sequence=1)))["code"] == 0
        sim.next_block()
        accounts = (await sim.get(f"/addresses/{signer.address}"))["subaccounts"]
        assert [account["equity"] for account in accounts] == ["99993.5", "3.5"]
        kinds = [
            row["type"]
            for row in (await sim.get("/transfers", address=signer.address, subaccountNumber=7))["transfers"]
        ]
        assert kinds == ["DEPOSIT", "TRANSFER_IN"]
        theft = pb.MsgWithdrawFromSubaccount(
            signer.address, pb.SubaccountId("dydx1n56z5fhmemtffzkt2eqyf9kuc7ycjfs86mvqy7", 0), 0, 1
        )
        assert (await sim.broadcast(signer.sign(theft, sequence=2)))["code"] == 4

    run(bench, story)


def test_unknown_outcomes_that_did_and_did_not_execute(bench: Callable[..., Any]) -> None:
    faults = (
        Fault(kind=FaultKind.UNKNOWN_LOST, venue="dydx", count=1),
        Fault(kind=FaultKind.UNKNOWN_EXECUTED, venue="dydx", count=1),
        Fault(kind=FaultKind.REJECT, venue="dydx", code=2003, count=1),
    )

    async def story(sim: Any) -> None:
        signer, account = sim.signer, f"{sim.signer.address}/0"
        lost = await sim.ask("/broadcast_tx_sync", tx=signer.sign(signer.order(1, good_til_block=sim.height + 5)).hex())
        assert "error" in lost
        rejected = await sim.broadcast(signer.sign(signer.order(2, good_til_block=sim.height + 5)))
        assert (rejected["codespace"], rejected["code"]) == ("clob", 2003)
        done = await sim.ask("/broadcast_tx_sync", tx=signer.sign(signer.order(3, good_til_block=sim.height + 5)).hex())
        assert "error" in done
        assert len(sim.floor.exchange.open_orders(account)) == 1
        assert await status_of(sim, 3) == "BEST_EFFORT_OPENED"
        assert await status_of(sim, 1) == ""

    run(bench, story, faults)


def test_a_partial_fill_leaves_the_rest(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        signer = sim.signer
        order = signer.order(1, lots=100, price=MID + 1, time_in_force=1, good_til_block=sim.height + 5)
        assert (await sim.broadcast(signer.sign(order)))["code"] == 0
        sim.next_block()
        (found,) = await sim.get("/orders", address=signer.address, subaccountNumber=0)
        assert (found["totalFilled"], found["status"]) == ("0.0025", "CANCELED")
        accounts = (await sim.get(f"/addresses/{signer.address}"))["subaccounts"]
        assert len(accounts) == 1

    run(bench, story, (Fault(kind=FaultKind.PARTIAL_FILL, venue="dydx", fraction=0.25, count=1),))


@pytest.mark.parametrize("kind", [FaultKind.EVENT_FIRST, FaultKind.REPLY_FIRST])
def test_the_reply_or_the_event_comes_first(bench: Callable[..., Any], kind: FaultKind) -> None:
    async def story(sim: Any) -> None:
        signer = sim.signer
        async with sim.ws() as ws:
            await ws.receive_json()
            await ws.send_json({"type": "subscribe", "channel": "v4_subaccounts", "id": f"{signer.address}/0"})
            while not any(one["subscriptions"] for one in sim.front.state()["sessions"]):
                await asyncio.sleep(0.001)
            sim.turn(0.1)
            await ws.receive_json()
            before = sim.clock.now_ns()
            raw = signer.sign(signer.order(1, good_til_block=sim.height + 9))
            assert (await sim.broadcast(raw))["code"] == 0
            if kind is FaultKind.EVENT_FIRST:
                assert sim.clock.now_ns() - before == 2 * NS_PER_S  # the reply took its time
            else:
                with pytest.raises(TimeoutError):
                    await ws.receive_json(timeout=0.05)
                sim.turn(2.0)
            opened = await ws.receive_json(timeout=5)
            assert opened["contents"]["orders"][0]["status"] == "BEST_EFFORT_OPENED"

    run(bench, story, (Fault(kind=kind, venue="dydx", delay_s=2.0, count=1),))
