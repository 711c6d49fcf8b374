"""From a plan to objects: feeds, stages, nodes, vessels and keepers, each built from the plan alone."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from msgspec.structs import replace

from spyhop.clock import NS_PER_S
from spyhop.detectors.stage import DetectionStage
from spyhop.engine.executors import ExecutorVessel, LiveOrderVessel
from spyhop.engine.feed_node import FeedNode, FeedOutput
from spyhop.engine.feeds import ArrayFeed, CatalogFeed, CutFeed, SlicedFeed
from spyhop.engine.mailbox import Mailbox
from spyhop.engine.nodes import DecisionNode, OrderNode, RiskNode
from spyhop.engine.pipeline import Pipeline
from spyhop.engine.pyramiding import Pyramiding
from spyhop.engine.vessels import DecisionVessel, FeedVessel, OrderVessel, RiskVessel, has_decision
from spyhop.errors import StateError
from spyhop.execution.emulation import EmulatingGateway
from spyhop.execution.splitting.gateway import SplittingGateway
from spyhop.execution.stage import ExecutionParams, KeepingGateway, OrderStage
from spyhop.model.orders import OrderType
from spyhop.model.rows import DECIDING, RowFlag
from spyhop.model.tape import Events
from spyhop.ports import Feed, RecordKeeper, TapeKeeper
from spyhop.risk.stage import RiskStage
from spyhop.simulation.feed import GenerativeFeed
from spyhop.simulation.venue import SimulatedVenue
from spyhop.storage.journal import SessionTapes, read_tape, tape_streams
from spyhop.storage.lake import Lake
from spyhop.strategies.observing import leaders
from spyhop.strategies.stage import DecisionStage
from spyhop.venues.desk.heard import HeardLog
from spyhop.wiring.accounts import Keys, LiveDesk, desk_folder, kinds_of, routes
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.logs import keep_log
from spyhop.wiring.plan import GeneratedSource, LakeSource, LiveSource, SessionPlan, span_ns
from spyhop.wiring.unkept import NoTapes
from spyhop.wiring.venues import live_feed

FIRST_EPOCH = 1
FLUSH_EVERY_EVENTS = 100_000
SLICE_NS = 100_000_000
BACKTEST_SLICE_NS = 600 * NS_PER_S
"""What a back-test takes at a time: a file of bars would give a week at once, and there is a row for each second."""
SIMULATED_KINDS = frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET})
"""What the simulated venue has; the rest is emulated by us there, too."""


def feed(plan: SessionPlan, name: str) -> Feed:
    """Return the source of one feed, cut into slices when the session is paced."""
    instrument = plan.instrument(name)
    inner: Feed
    match plan.source:
        case LakeSource(root=root, start=start, end=end):
            inner = CatalogFeed(Lake(root), instrument.key, instrument.id, start, end)
        case GeneratedSource(seed=seed, start=start):
            inner = GenerativeFeed(
                instrument, seed=seed, start_ts=start, params=plan.settings.market, hours=plan.settings.session.hours
            )
        case LiveSource(endpoints=endpoints, limits=limits):
            return live_feed(
                instrument,
                endpoints,
                plan.settings.feeds,
                limits,
                seed=plan.settings.session.seed,
                kept=lambda start: _kept(plan, name, start),
            )
        case _:
            # a journal holds the timers and the end of the session already
            return ArrayFeed(list(read_tape(plan.folder, name)))
    if plan.session.mode == "backtest":
        return CutFeed(inner, BACKTEST_SLICE_NS)
    speed = plan.settings.session.speed
    # slices of a tenth of a second of the wall's time: more of them would only be more calls
    return SlicedFeed(inner, instrument.id, round(SLICE_NS * max(1.0, speed))) if speed else inner


def _kept(plan: SessionPlan, name: str, start: int) -> Iterator[Events]:
    # a feed that was killed before its first batch has kept nothing
    return read_tape(plan.folder, name, start) if name in tape_streams(plan.folder) else iter(())


def feed_node(plan: SessionPlan, name: str) -> FeedNode:
    """Return the market and detection stages of one instrument behind their source."""
    instrument = plan.instrument(name)
    start = plan.source.start if isinstance(plan.source, LakeSource | GeneratedSource) else 0
    stage = DetectionStage(instrument, plan.settings.detection)
    return FeedNode(name, instrument.id, feed(plan, name), stage, start, span_ns(plan))


def decision_node(plan: SessionPlan) -> DecisionNode:
    """Return the decision stage behind its inputs."""
    instruments, settings = plan.session.instruments, plan.settings
    stage = DecisionStage(settings.decision, instruments, lead=settings.lead)
    return DecisionNode(stage, plan.feed_names, first=frozenset(leaders(instruments).values()))


def deciding(plan: SessionPlan, name: str) -> RowFlag:
    """Return which rows of a feed can lead to an intent: where a leader is followed, those of every second of both."""
    lead, pairs = plan.settings.lead, leaders(plan.session.instruments)
    is_followed = lead.enters or lead.mode != "off"
    is_one = plan.instrument(name).id in {*pairs, *pairs.values()}
    return DECIDING | RowFlag.SECOND if is_followed and is_one else DECIDING


def risk_node(plan: SessionPlan) -> RiskNode:
    """Return the risk stage behind its inputs, with what wishes for adds where that was asked for."""
    settings, instruments = plan.settings, plan.session.instruments
    pyramid = settings.execution.pyramid
    adds = Pyramiding(pyramid, instruments) if pyramid.max_adds else None
    return RiskNode(RiskStage(settings.risk, instruments, settings.session.equity_usdt, FIRST_EPOCH), adds)


def order_node(plan: SessionPlan) -> OrderNode:
    """Return the order stage, with the gateway of the plan's mode, behind its inputs."""
    instruments, settings = plan.session.instruments, plan.settings
    mailbox = Mailbox() if plan.is_live else None
    gateway: KeepingGateway = mailbox or SimulatedVenue(instruments, settings.venue)
    has = SIMULATED_KINDS
    if mailbox is not None:
        has = frozenset.intersection(*(kinds_of(venue) for venue in {one.venue for one in instruments}))
    if not asked_of(settings.execution) <= has:
        gateway = EmulatingGateway(gateway, has)
    if settings.split.kind != "none":
        # a real tape shows our own trades too
        own = settings.split.counts_own_trades or plan.is_live
        gateway = SplittingGateway(gateway, replace(settings.split, counts_own_trades=own), instruments)
    stage = OrderStage(settings.execution, instruments, gateway, plan.session.id, must_agree=plan.is_live)
    accounts = tuple(dict.fromkeys(routes(instruments).values())) if plan.is_live else ()
    return OrderNode(stage, plan.feed_names, accounts, mailbox)


def pipeline(plan: SessionPlan, tapes: TapeKeeper, records: RecordKeeper) -> Pipeline:
    """Return all nodes of a session joined in this process."""
    if not isinstance(tapes, NoTapes):
        _keep_log(plan, "session")
    feeds = [feed_node(plan, name) for name in plan.feed_names]
    return Pipeline(feeds, decision_node(plan), risk_node(plan), order_node(plan), tapes, records)


def feed_vessel(plan: SessionPlan, name: str) -> FeedVessel:
    """Return a feed that can be killed anywhere; its tape is durable before anything decided on it leaves."""
    _keep_log(plan, f"feed:{name}")
    node, tapes, rows = feed_node(plan, name), SessionTapes(plan.folder), deciding(plan, name)
    unflushed = 0

    def keep(output: FeedOutput) -> None:
        nonlocal unflushed
        tapes.append(name, output.events, at=node.num_events - len(output.events))
        unflushed += len(output.events)
        if has_decision(output, rows) or unflushed > FLUSH_EVERY_EVENTS:
            tapes.flush()
            unflushed = 0

    # a tenth of a second of the wall's time here, too
    speed = plan.source.endpoints.clock.speed if isinstance(plan.source, LiveSource) else 0.0
    slice_ns = round(SLICE_NS * max(1.0, speed)) if node.is_open else 0
    return FeedVessel(node, keep, slice_ns, tapes.num_before_end(name), rows)


def decision_vessel(plan: SessionPlan) -> DecisionVessel:
    """Return a decision stage that can be killed anywhere."""
    _keep_log(plan, "ensemble")
    return DecisionVessel(decision_node(plan), plan.feed_names)


def risk_vessel(plan: SessionPlan) -> RiskVessel:
    """Return a risk stage that can be killed anywhere."""
    _keep_log(plan, "risk")
    return RiskVessel(risk_node(plan))


def order_vessel(plan: SessionPlan) -> OrderVessel:
    """Return an order stage that can be killed anywhere; that of a live session hears its accounts' desks."""
    _keep_log(plan, "orders" if plan.is_live else "executor")
    node = order_node(plan)
    if not isinstance(plan.source, LiveSource) or not plan.is_live:
        return OrderVessel(node, plan.feed_names)
    clock = plan.source.endpoints.clock.clock()
    ears = {name: HeardLog(desk_folder(plan, name), clock) for name in node.reports}
    return LiveOrderVessel(node, plan.feed_names, routes(plan.session.instruments), ears)


def executor_vessel(plan: SessionPlan, account: str) -> ExecutorVessel:
    """Return the desk of a live session's account, which can be killed anywhere; made in the actor's loop."""
    _keep_log(plan, f"executor:live:{account}")
    if not isinstance(plan.source, LiveSource):
        raise StateError("only a session on live venues has desks")
    return ExecutorVessel(LiveDesk(plan, account, Keys.here(plan.source.endpoints), KillSwitch(plan.folder.parent)))


def asked_of(params: ExecutionParams) -> frozenset[OrderType]:
    """Return the kinds of orders that an order stage sends under `params`."""
    kinds = {OrderType.MARKET, OrderType.LIMIT}
    kinds.add(OrderType.STOP_LIMIT if params.stop_type == "limit" else OrderType.STOP_MARKET)
    is_limit = params.take_profit_type == "limit"
    kinds.add(OrderType.TAKE_PROFIT_LIMIT if is_limit else OrderType.TAKE_PROFIT_MARKET)
    return frozenset(kinds | ({OrderType.TRAILING_STOP} if params.trailing_frac > 0.0 else set()))


def _keep_log(plan: SessionPlan, name: str) -> None:
    kind, _, symbol = name.partition(":")
    path = plan.folder / "logs" / f"{quote(name, safe=':@-_')}.jsonl"
    keep_log(path, actor=name, symbol=symbol if kind == "feed" else "")
