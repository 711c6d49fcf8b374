"""The words of Spyhop; this page is the glossary.

tape        one row an event: what venues said, in the order we received it (`model.tape`)
row         what the detectors say at a boundary of event time (`model.rows`)
detection   saw (value, ready, confidence, age) · forecast believes · intent wants · order asked · fill got
decision    the 23 probabilities at one analysis, the winner and why (`model.decisions`)
verdict     Approved or Refused(code, measured, limit); we refuse, the venue rejects (`model.verdicts`)
fact        what happened to an order, and to a position (`model.orders`)
ticks, lots integers: price / tick size, quantity / lot size (`model.instruments`)
ts_event    the venue's time; ts_recv ours; both integer nanoseconds UTC
watermark   a promise: every message with an earlier time has been sent
"""
