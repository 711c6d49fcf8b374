"""The generative market: reproducible to the bit, a consistent book, sane statistics, episodes that do as told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import InvalidSetting, SnapshotMismatch
from spyhop.model.tape import Events, Flag, Kind, Side, Status
from spyhop.ports import Feed
from spyhop.simulation.episodes import Episode, EpisodeKind, episode
from spyhop.simulation.feed import GenerativeFeed, MarketParams, usual_instrument

START = 1_722_902_400_000_000_000
BTC = usual_instrument("BTCUSDT", 3)


def made(minutes: float = 2.0, seed: int = 7, symbol: str = "BTCUSDT", **keywords) -> Events:
    keywords.setdefault("planted", [])
    feed = GenerativeFeed(usual_instrument(symbol, 3), seed, START, hours=minutes / 60.0, **keywords)
    return rest(feed)


def rest(feed: Feed) -> Events:
    batches = []
    while (batch := feed.next_batch()) is not None:
        batches.append(batch)
    return np.concatenate(batches)


def of(events: Events, kind: Kind) -> Events:
    return events[events["kind"] == kind]


def mids(events: Events, every_s: float) -> np.ndarray:
    quotes = of(events, Kind.QUOTE)
    grid = np.arange(int(quotes["ts_recv"][0]), int(quotes["ts_recv"][-1]), int(every_s * NS_PER_S))
    at = np.searchsorted(quotes["ts_recv"], grid, side="right") - 1
    return 0.5 * (quotes["price"][at] + quotes["aux"][at]).astype(float)


def signed(trades: Events) -> float:
    lots = trades["qty"] * trades["side"]
    return float(lots.sum() / trades["qty"].sum())


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert made().tobytes() == made().tobytes()


def test_another_seed_or_symbol_gives_another_market() -> None:
    assert made(seed=7).tobytes() != made(seed=8).tobytes()
    first, second = made(), made(symbol="BTCUSDC")
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize("batch_ns", [37_000_000, 250_000_000, 30 * NS_PER_S])
def test_the_cut_into_batches_changes_nothing(batch_ns: int) -> None:
    planted = [episode(EpisodeKind.CASCADE_LONG, START + 20 * NS_PER_S)]
    assert made(planted=planted, batch_ns=batch_ns).tobytes() == made(planted=planted).tobytes()


@pytest.mark.parametrize("cut", [0, 1, 17, 119])
def test_restore_goes_on_as_if_nothing_had_happened(cut: int) -> None:
    feed = GenerativeFeed(BTC, 7, START, hours=1 / 30)
    for _ in range(cut):
        feed.next_batch()
    snapshot = feed.snapshot()
    uninterrupted = rest(feed)
    other = GenerativeFeed(BTC, 7, START, hours=1 / 30)
    other.next_batch()
    other.restore(snapshot)
    assert other.snapshot() == snapshot
    assert rest(other).tobytes() == uninterrupted.tobytes()


def test_a_foreign_snapshot_is_refused() -> None:
    import msgspec

    with pytest.raises(SnapshotMismatch):
        GenerativeFeed(BTC, 7, START).restore(msgspec.msgpack.encode(("other", 0, b"")))


def test_time_never_goes_backwards_and_rows_are_marked_as_simulated() -> None:
    events = made()
    assert (np.diff(events["ts_recv"]) >= 0).all()
    assert (events["ts_recv"] >= events["ts_event"]).all()
    assert (events["flags"] & Flag.SIMULATED).all()
    assert (events["instrument"] == 3).all()
    assert set(np.unique(events["kind"])) >= {Kind.TRADE, Kind.QUOTE, Kind.LEVEL, Kind.SNAPSHOT, Kind.MARK}


def replayed(events: Events):
    """Yield (row, bids, asks) of a plain reference book after each frame and at each quote."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for row in events:
        if row["kind"] == Kind.LEVEL and not row["flags"] & Flag.EMPTY:
            book = bids if row["side"] == Side.BUY else asks
            if row["qty"]:
                book[int(row["price"])] = int(row["qty"])
            else:
                del book[int(row["price"])]  # a level that was never shown cannot go
        if row["kind"] == Kind.QUOTE or (row["kind"] == Kind.LEVEL and row["flags"] & Flag.LAST):
            yield row, bids, asks


@pytest.mark.parametrize("kind", [None, EpisodeKind.CASCADE_LONG, EpisodeKind.WHALE_PUMP])
def test_the_book_is_never_crossed_and_agrees_with_the_quotes(kind: EpisodeKind | None) -> None:
    planted = [episode(kind, START + 10 * NS_PER_S, 1.3)] if kind else []
    quotes: dict[int, tuple[int, int, int, int]] = {}
    num_compared = 0
    for row, bids, asks in replayed(made(1.0, planted=planted)):
        if row["kind"] == Kind.QUOTE:
            assert row["price"] < row["aux"]
            assert min(row["qty"], row["aux2"]) > 0
            quotes[int(row["id"])] = tuple(int(row[name]) for name in ("price", "qty", "aux", "aux2"))
            continue
        bid, ask = max(bids), min(asks)
        assert bid < ask
        if (quote := quotes.get(int(row["id"]))) is not None:
            num_compared += 1
            assert quote == (bid, bids[bid], ask, asks[ask])
    assert num_compared > 300


def test_frames_follow_one_another_as_binance_futures_do() -> None:
    events = made()
    levels = of(events, Kind.LEVEL)
    diffs = levels[(levels["flags"] & Flag.FROM_SNAPSHOT) == 0]
    last = diffs[(diffs["flags"] & Flag.LAST) != 0]
    assert len(last) == 1_200
    assert (last["aux2"][1:] == last["id"][:-1]).all()
    assert (last["aux"] == last["aux2"] + 1).all()
    snapshot = of(events, Kind.SNAPSHOT)
    assert len(snapshot) == 1
    assert snapshot["id"][0] == last["aux2"][0]
    assert snapshot["qty"][0] == ((levels["flags"] & Flag.FROM_SNAPSHOT) != 0).sum()
    ids, counts = np.unique(diffs["id"], return_counts=True)
    assert len(ids) == len(last)
    assert counts.sum() == len(diffs)


def test_trades_happen_at_the_touch_or_beyond_it() -> None:
    bid = ask = 0
    for row in made(1.0):
        if row["kind"] == Kind.QUOTE:
            bid, ask = int(row["price"]), int(row["aux"])
        elif row["kind"] == Kind.TRADE:
            assert row["qty"] > 0
            assert row["price"] >= ask if row["side"] == Side.BUY else row["price"] <= bid
    assert bid > 0


def test_trade_ids_count_on() -> None:
    assert (np.diff(of(made(), Kind.TRADE)["id"]) == 1).all()


@pytest.mark.slow
def test_statistics_resemble_a_large_perpetual() -> None:
    events = made(180.0)
    quotes = of(events, Kind.QUOTE)
    spread = quotes["aux"] - quotes["price"]
    assert (spread <= 2).mean() > 0.85
    returns = np.diff(np.log(mids(events, 10.0)))
    vol = returns.std() * math.sqrt(365 * 86_400 / 10)
    assert 0.40 < vol < 0.65
    kurtosis = ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2
    assert kurtosis > 3.1
    side = of(events, Kind.TRADE)["side"].astype(float)
    side -= side.mean()
    for lag in (1, 5, 20):
        assert (side[lag:] * side[:-lag]).mean() / side.var() > 0.03
    per_s = len(events) / (180 * 60)
    assert 200 < per_s < 1_000


def test_orders_come_as_often_as_branching_says() -> None:
    calm = MarketParams(branching_self=0.0, branching_cross=0.0, liquidations_per_s=0.0)
    wild = MarketParams(branching_self=0.5, branching_cross=0.25, liquidations_per_s=0.0)
    # an order is the run of trades of one receive time
    num_calm, num_wild = (len(np.unique(of(made(20.0, params=p), Kind.TRADE)["ts_recv"])) for p in (calm, wild))
    assert num_calm / 1_200 == pytest.approx(4.0, rel=0.08)
    assert num_wild / 1_200 == pytest.approx(16.0, rel=0.2)


def test_branching_of_one_is_refused() -> None:
    with pytest.raises(InvalidSetting):
        GenerativeFeed(BTC, 1, START, MarketParams(branching_self=0.8, branching_cross=0.2))


def test_symbols_of_one_seed_move_together_as_far_as_told() -> None:
    together, alone = (
        [np.diff(np.log(mids(made(30.0, symbol=s, params=p), 5.0)))[:350] for s in ("BTCUSDT", "ETHUSDT")]
        for p in (MarketParams(common_frac=0.95), MarketParams(common_frac=0.0))
    )
    assert np.corrcoef(*together)[0, 1] > 0.5
    assert abs(np.corrcoef(*alone)[0, 1]) < 0.2


@pytest.mark.parametrize("kind", EpisodeKind)
def test_episodes_do_what_they_are_called(kind: EpisodeKind) -> None:
    planted = episode(kind, START + 60 * NS_PER_S)
    minutes = (planted.end - START) / NS_PER_S / 60.0
    events = made(minutes, planted=[planted])
    quiet = made(minutes)
    during = events[events["ts_event"] >= planted.start]
    trades, calm = of(during, Kind.TRADE), of(quiet[quiet["ts_event"] >= planted.start], Kind.TRADE)
    path = mids(during, 1.0)
    move_bps = (path[-1] / path[0] - 1.0) * 1e4
    assert trades["qty"].sum() > 1.3 * calm["qty"].sum()
    if planted.flow_sign:
        assert signed(trades) * planted.flow_sign > 0.2
    name = kind.name
    if name in {"WHALE_PUMP", "BREAKOUT_UP", "CASCADE_SHORT"}:
        assert move_bps > 20.0
    elif name in {"WHALE_DUMP", "BREAKOUT_DOWN", "CASCADE_LONG"}:
        assert move_bps < -20.0
    elif name in {"WHALE_ACCUMULATE", "WHALE_DISTRIBUTE"}:
        assert abs(move_bps) < 20.0
    elif name == "STOP_HUNT_LONG":
        assert (path.min() / path[0] - 1.0) * 1e4 < -15.0
        assert path[-1] > path.min() * 1.0015
    elif name == "STOP_HUNT_SHORT":
        assert (path.max() / path[0] - 1.0) * 1e4 > 15.0
        assert path[-1] < path.max() * 0.9985
    if name.startswith("CASCADE"):
        forced = of(during, Kind.LIQUIDATION)
        assert len(forced) > 50
        assert (forced["side"] == planted.flow_sign).mean() > 0.9
        interest = of(during, Kind.OPEN_INTEREST)["qty"]
        assert interest[-1] < interest[0]


def test_episodes_are_on_the_tape_and_in_the_truth() -> None:
    feed = GenerativeFeed(BTC, 11, START, MarketParams(episode_gap_s=60.0), hours=0.25)
    events = of(rest(feed), Kind.STATUS)
    rows = events[events["aux"] == Status.EPISODE]
    begun = [e for e in feed.episodes() if e.start < START + 900 * NS_PER_S]
    assert [(e.kind, e.end - e.start) for e in begun] == [(r["qty"], r["aux2"]) for r in rows]
    for e, row in zip(begun, rows, strict=True):
        assert 0 <= row["ts_event"] - e.start + 1_000_000 <= 102_000_000


def test_an_episode_strength_scales_its_move() -> None:
    def move(strength: float) -> float:
        whole = Episode(kind=EpisodeKind.WHALE_PUMP, start=START, end=START + 60 * NS_PER_S, strength=strength)
        path = mids(made(1.0, planted=[whole]), 1.0)
        return float(path[-1] / path[0] - 1.0)

    assert move(2.0) > 1.4 * move(0.7)


def test_funding_is_settled_at_its_stamps() -> None:
    events = of(made(5.0, params=MarketParams(funding_interval_s=60)), Kind.FUNDING)
    settled = events[(events["flags"] & Flag.SETTLED) != 0]
    stamps = settled["id"]
    assert len(settled) == 5
    assert (np.diff(stamps) == 60 * NS_PER_S).all()
    assert (stamps % (60 * NS_PER_S) == 0).all()
    assert (abs(settled["ts_event"] - stamps) <= 200_000_000).all()


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "PEPEUSDT"])
def test_any_symbol_has_a_market(symbol: str) -> None:
    events = made(0.5, symbol=symbol)
    spread = of(events, Kind.QUOTE)
    assert (spread["aux"] > spread["price"]).all()
    assert len(of(events, Kind.TRADE)) > 50


def test_an_endless_market_is_the_beginning_of_any_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    params = MarketParams(episode_gap_s=30.0)
    long = GenerativeFeed(BTC, 5, START, params, hours=2.0)
    monkeypatch.setattr("spyhop.simulation.feed.PLAN_NS", 50 * NS_PER_S)
    endless = GenerativeFeed(BTC, 5, START, params)
    assert len(endless.episodes()) <= 1
    for _ in range(900):
        assert endless.next_batch().tobytes() == long.next_batch().tobytes()
    assert 5 < len(endless.episodes()) < len(long.episodes())
    assert endless.episodes() == long.episodes()[: len(endless.episodes())]
