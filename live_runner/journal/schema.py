"""The tables of the journal; BLOBs are little-endian float64 vectors in the kernel's order.

`totals`, `tallies` and `trades` follow from `decisions` and are kept as bars are written: whoever
asks what happened since the journal began reads a row, however long ago that is.
"""

VERSION = 6
ACCOUNTS = """CREATE TABLE accounts (
    symbol TEXT, open_time_ms INTEGER, trader BLOB, PRIMARY KEY (symbol, open_time_ms))"""
COUNTED = (  # since version 5
    """CREATE TABLE totals (
    symbol TEXT PRIMARY KEY, decided INTEGER, first_open_time_ms INTEGER, last_open_time_ms INTEGER,
    catch_up INTEGER, trades INTEGER, pnl REAL)""",
    """CREATE TABLE tallies (
    symbol TEXT, what TEXT, name TEXT, bars INTEGER, last_open_time_ms INTEGER,
    PRIMARY KEY (symbol, what, name)) WITHOUT ROWID""",
    """CREATE TABLE trades (
    symbol TEXT, open_time_ms INTEGER, side INTEGER, quantity REAL, entry_ms INTEGER,
    entry_price REAL, exit_price REAL, exit_reason INTEGER, fees REAL, funding REAL, pnl REAL,
    PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID""",
)
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
    *COUNTED,
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
ADD_TO_TOTALS = """
INSERT INTO totals VALUES (?, 1, ?, ?, ?, ?, ?) ON CONFLICT (symbol) DO UPDATE SET
    decided = decided + 1, last_open_time_ms = excluded.last_open_time_ms,
    catch_up = catch_up + excluded.catch_up, trades = trades + excluded.trades,
    pnl = pnl + excluded.pnl
"""
ADD_TO_TALLY = """
INSERT INTO tallies VALUES (?, ?, ?, 1, ?) ON CONFLICT (symbol, what, name) DO UPDATE SET
    bars = bars + 1, last_open_time_ms = excluded.last_open_time_ms
"""
ADD_TRADE = "INSERT INTO trades VALUES (?,?,?,?,?,?,?,?,?,?,?)"
TOTALS = """
SELECT decided, first_open_time_ms, last_open_time_ms, catch_up, trades, pnl
FROM totals WHERE symbol = ?
"""
TALLIES = "SELECT what, name, bars, last_open_time_ms FROM tallies WHERE symbol = ?"
LAST_TRADES = """
SELECT open_time_ms, side, entry_price, exit_price, exit_reason, pnl
FROM trades WHERE symbol = ? ORDER BY open_time_ms DESC LIMIT ?
"""
SWAPS = """
SELECT at_ms, bar_open_time_ms, epoch, digest, previous, outcome, reason, pause_us
FROM swaps WHERE symbol = ? ORDER BY rowid DESC LIMIT ?
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
SELECT open_time_ms, row, out, probabilities, reason, latency_us, compute_us FROM decisions
WHERE symbol = ? ORDER BY open_time_ms DESC LIMIT 1
"""
