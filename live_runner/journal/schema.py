"""The tables of the journal; BLOBs are little-endian float64 vectors in the kernel's order."""

VERSION = 4
ACCOUNTS = """CREATE TABLE accounts (
    symbol TEXT, open_time_ms INTEGER, trader BLOB, PRIMARY KEY (symbol, open_time_ms))"""
STATEMENTS = (
    """CREATE TABLE bars (
    symbol TEXT, open_time_ms INTEGER, open REAL, high REAL, low REAL, close REAL, volume REAL,
    received_at_ms INTEGER, PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID""",
    """CREATE TABLE observations (
    symbol TEXT, open_time_ms INTEGER, obs BLOB,
    PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID""",
    """CREATE TABLE decisions (
    symbol TEXT, open_time_ms INTEGER, epoch INTEGER, bundle_digest TEXT, settings_digest TEXT,
    features BLOB, probabilities BLOB, row BLOB, out BLOB, reason TEXT, catch_up INTEGER,
    latency_us INTEGER, compute_us INTEGER, PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID""",
    "CREATE TABLE settings (digest TEXT PRIMARY KEY, body BLOB)",
    """CREATE TABLE streams (
    symbol TEXT, open_time_ms INTEGER, stream BLOB, PRIMARY KEY (symbol, open_time_ms))""",
    """CREATE TABLE orders (
    id TEXT PRIMARY KEY, symbol TEXT, created_ms INTEGER, side INTEGER, quantity REAL, kind TEXT,
    state TEXT, filled_ms INTEGER, price REAL, reason TEXT)""",
    "CREATE INDEX orders_by_time ON orders (symbol, created_ms)",
    "CREATE TABLE order_events (order_id TEXT, state TEXT, at_ms INTEGER, detail TEXT)",
    """CREATE TABLE swaps (
    symbol TEXT, at_ms INTEGER, bar_open_time_ms INTEGER, epoch INTEGER, digest TEXT,
    previous TEXT, outcome TEXT, reason TEXT, pause_us INTEGER)""",
    """CREATE TABLE states (
    symbol TEXT PRIMARY KEY, open_time_ms INTEGER, trader BLOB, stream BLOB, epoch INTEGER,
    digest TEXT, pending_order TEXT)""",
    """CREATE TABLE holes (
    symbol TEXT, open_time_ms INTEGER, reason TEXT, recorded_at_ms INTEGER,
    PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID""",
    "CREATE TABLE events (at_ms INTEGER, kind TEXT, detail TEXT)",
    ACCOUNTS,  # from which bar on, and from which account, this version's kernel made decisions
)
ACCOUNTED_OPENS = """
SELECT open_time_ms FROM observations WHERE symbol = ? AND open_time_ms > ? AND open_time_ms <= ?
UNION SELECT open_time_ms FROM holes WHERE symbol = ? AND open_time_ms > ? AND open_time_ms <= ?
"""
HOLES = """
SELECT max(open_time_ms), count(*) FROM (
    SELECT open_time_ms, open_time_ms - ? * row_number() OVER (ORDER BY open_time_ms) AS run
    FROM holes WHERE symbol = ? AND open_time_ms > ? AND open_time_ms <= ?
) GROUP BY run
"""
HIGHEST_EPOCH = """
SELECT coalesce(max(epoch), 0) FROM swaps WHERE symbol = ? AND outcome = 'swapped'
"""
PREVIOUS_MODEL = """
SELECT previous, coalesce((SELECT max(earlier.epoch) FROM swaps earlier WHERE
    earlier.symbol = latest.symbol AND earlier.digest = latest.previous
    AND earlier.outcome = 'swapped'), 0)
FROM swaps latest WHERE symbol = ? AND outcome IN ('swapped', 'rolled_back')
    AND digest <> previous
ORDER BY latest.rowid DESC LIMIT 1
"""
IN_FORCE = """
SELECT digest, epoch FROM swaps WHERE symbol = ? AND outcome IN ('swapped', 'rolled_back')
ORDER BY rowid DESC LIMIT 1
"""
CLOSED_TRADES = """
SELECT d.open_time_ms, d.out FROM orders o JOIN decisions d ON d.symbol = o.symbol
    AND o.id = d.symbol || '-' || d.open_time_ms || '-exit'
WHERE o.symbol = ? AND o.kind <> 'entry' ORDER BY o.created_ms DESC LIMIT ?
"""
REJECTIONS = """
SELECT reason, count(*) FROM orders WHERE symbol = ? AND state = 'rejected' GROUP BY reason
"""
SWAPS = """
SELECT at_ms, bar_open_time_ms, epoch, digest, previous, outcome, reason, pause_us
FROM swaps WHERE symbol = ? ORDER BY rowid DESC LIMIT ?
"""
COUNTS = """
SELECT count(*), coalesce(min(open_time_ms), 0), coalesce(max(open_time_ms), 0),
    coalesce(sum(catch_up), 0) FROM decisions WHERE symbol = ?
"""
COUNT_HOLES = """
SELECT count(*) FROM holes WHERE symbol = ? AND open_time_ms BETWEEN ? AND ?
"""
LAST_OUTS = """
SELECT out FROM decisions WHERE symbol = ? ORDER BY open_time_ms DESC LIMIT ?
"""
OBSERVATIONS = """
SELECT open_time_ms, obs FROM observations WHERE symbol = ? AND open_time_ms > ?
ORDER BY open_time_ms LIMIT ?
"""
LAST_DECISION = """
SELECT open_time_ms, row, probabilities, reason, latency_us, compute_us FROM decisions
WHERE symbol = ? ORDER BY open_time_ms DESC LIMIT 1
"""
