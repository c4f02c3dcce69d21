"""Statements of the PostgreSQL store. A batch is sent as one array per column, in one statement."""

from __future__ import annotations

# Applied in order, once each. Append new migrations at the end.
MIGRATIONS: dict[str, tuple[str, ...]] = {
    "create": (
        "CREATE TABLE record (box text, epoch text, seq bigint, kind text NOT NULL, happened_ms bigint NOT NULL,"
        " received_ms bigint NOT NULL, body bytea NOT NULL, chain bytea, PRIMARY KEY (box, epoch, seq))",
        "CREATE INDEX record_alarm ON record (happened_ms) WHERE kind = 'sentinel.alarm.raised'",
        "CREATE TABLE tally (name text, key text, detail text, count bigint NOT NULL, PRIMARY KEY (name, key, detail))",
        "CREATE TABLE stream (box text, epoch text, records bigint NOT NULL, highest bigint NOT NULL,"
        " newest_ms bigint NOT NULL, settled bigint NOT NULL DEFAULT 0, asked_ms bigint NOT NULL DEFAULT 0,"
        " PRIMARY KEY (box, epoch))",
        "CREATE TABLE span (box text, day text, epoch text, records bigint NOT NULL, first_seq bigint NOT NULL,"
        " last_seq bigint NOT NULL, PRIMARY KEY (box, day, epoch))",
        "CREATE TABLE absence (box text, epoch text, first_seq bigint, last_seq bigint, count bigint NOT NULL,"
        " reason text NOT NULL, PRIMARY KEY (box, epoch, first_seq, last_seq))",
        "CREATE TABLE effect (id bytea PRIMARY KEY)",
    ),
    "forks": (
        "CREATE TABLE rival (box text, epoch text, seq bigint, mark bytea, kind text NOT NULL,"
        " happened_ms bigint NOT NULL, received_ms bigint NOT NULL, body bytea NOT NULL, chain bytea,"
        " PRIMARY KEY (box, epoch, seq, mark))",
        "CREATE INDEX rival_alarm ON rival (happened_ms) WHERE kind = 'sentinel.alarm.raised'",
        "CREATE TABLE fork (box text, epoch text, first_seq bigint NOT NULL, records bigint NOT NULL,"
        " since_ms bigint NOT NULL, PRIMARY KEY (box, epoch))",
    ),
    "ends": (
        "CREATE TABLE epoch_end (box text, epoch text, last_seq bigint NOT NULL, head bytea, waiting text NOT NULL,"
        " said_ms bigint NOT NULL, PRIMARY KEY (box, epoch))",
    ),
    "arrival": (
        "DROP INDEX record_alarm",
        "CREATE INDEX record_alarm ON record (received_ms) WHERE kind = 'sentinel.alarm.raised'",
        "DROP INDEX rival_alarm",
        "CREATE INDEX rival_alarm ON rival (received_ms) WHERE kind = 'sentinel.alarm.raised'",
        "CREATE TABLE ingest_group (name text NOT NULL)",
        # 122 random bits, without an extension.
        "INSERT INTO ingest_group VALUES (replace(gen_random_uuid()::text, '-', ''))",
    ),
}
INGEST_GROUP = "SELECT name FROM ingest_group"
LOCK_MIGRATIONS = "SELECT pg_advisory_xact_lock(hashtext('edge-platform migrations'))"
NOTE_MIGRATIONS = "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY)"
DONE_MIGRATIONS = "SELECT name FROM migration"
NOTE_MIGRATION = "INSERT INTO migration VALUES ($1)"


def _from_arrays(table: str, *types: str) -> str:
    columns = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(types, start=1))
    return f"INSERT INTO {table} SELECT * FROM unnest({columns})"  # noqa: S608 - constants of this file


_RECORD = _from_arrays("record", "text", "text", "bigint", "text", "bigint", "bigint", "bytea", "bytea")
RECORD = f"{_RECORD} ON CONFLICT DO NOTHING RETURNING box, epoch, seq"
LOOK_UP = (
    "SELECT box, epoch, seq, kind, chain, body FROM record"
    " JOIN unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (box, epoch, seq) USING (box, epoch, seq)"
)
_RIVAL = _from_arrays("rival", "text", "text", "bigint", "bytea", "text", "bigint", "bigint", "bytea", "bytea")
RIVAL = (
    f"WITH new AS ({_RIVAL} ON CONFLICT DO NOTHING RETURNING box, epoch, seq, received_ms)"  # noqa: S608
    " INSERT INTO fork SELECT box, epoch, min(seq), count(*), min(received_ms) FROM new GROUP BY box, epoch"
    " ON CONFLICT (box, epoch) DO UPDATE SET records = fork.records + excluded.records,"
    " first_seq = least(fork.first_seq, excluded.first_seq)"
)
FORKED = "SELECT box, epoch FROM fork JOIN unnest($1::text[], $2::text[]) AS wanted (box, epoch) USING (box, epoch)"
FORKS = (
    "SELECT box, epoch, first_seq, records, since_ms FROM fork WHERE $1::text IS NULL OR box = $1"
    " ORDER BY since_ms DESC LIMIT $2"
)
FORKED_RECORDS = "SELECT box, sum(records)::bigint FROM fork GROUP BY box"
EFFECT = f"{_from_arrays('effect', 'bytea')} ON CONFLICT DO NOTHING"
ABSENCE = f"{_from_arrays('absence', 'text', 'text', 'bigint', 'bigint', 'bigint', 'text')} ON CONFLICT DO NOTHING"
TALLY = (
    f"{_from_arrays('tally', 'text', 'text', 'text', 'bigint')}"
    " ON CONFLICT (name, key, detail) DO UPDATE SET count = tally.count + excluded.count"
)
STREAM = (
    f"{_from_arrays('stream (box, epoch, records, highest, newest_ms)', 'text', 'text', 'bigint', 'bigint', 'bigint')}"
    " ON CONFLICT (box, epoch) DO UPDATE SET records = stream.records + excluded.records,"
    " highest = greatest(stream.highest, excluded.highest), newest_ms = greatest(stream.newest_ms, excluded.newest_ms)"
)
SPAN = (
    f"{_from_arrays('span', 'text', 'text', 'text', 'bigint', 'bigint', 'bigint')}"
    " ON CONFLICT (box, day, epoch) DO UPDATE SET records = span.records + excluded.records,"
    " first_seq = least(span.first_seq, excluded.first_seq), last_seq = greatest(span.last_seq, excluded.last_seq)"
)

# A box can invent words: of each tally the 1,000 most frequent ones are read. $2: the tally whose keys are boxes.
TOTALS = (
    "SELECT name, key, detail, count FROM (SELECT *, row_number() OVER (PARTITION BY name, box ORDER BY count DESC)"
    " AS place FROM (SELECT *, CASE WHEN name = $2 THEN key END AS box FROM tally WHERE name = ANY($1)) AS named)"
    " AS placed WHERE place <= CASE WHEN box IS NULL THEN 1000 ELSE 20 END"
)
BOXES = "SELECT box, sum(records)::bigint, max(newest_ms) FROM stream WHERE records > 0 GROUP BY box"
_ALARM = "WHERE kind = 'sentinel.alarm.raised' ORDER BY received_ms DESC LIMIT $1"
ALARMS = (
    f"SELECT box, body, received_ms FROM ((SELECT box, body, received_ms FROM record {_ALARM})"  # noqa: S608
    f" UNION ALL (SELECT box, body, received_ms FROM rival {_ALARM})) AS alarms ORDER BY received_ms DESC LIMIT $1"
)
OPEN_STREAMS = (
    "SELECT box, epoch, highest, settled, asked_ms FROM (SELECT *, row_number() OVER"
    "  (PARTITION BY box ORDER BY asked_ms, heard_ms DESC) AS place FROM (SELECT box, epoch, settled, asked_ms,"
    "   greatest(highest, last_seq) AS highest, greatest(newest_ms, said_ms) AS heard_ms"
    "   FROM stream LEFT JOIN epoch_end USING (box, epoch)) AS known"
    "  WHERE heard_ms >= $1 AND highest > settled AND asked_ms < $2) AS placed"
    " WHERE place <= 40 ORDER BY place, heard_ms DESC LIMIT 1000"
)
END = (
    f"{_from_arrays('epoch_end', 'text', 'text', 'bigint', 'bytea', 'text', 'bigint')}"
    " ON CONFLICT (box, epoch) DO UPDATE SET"
    " last_seq = excluded.last_seq, head = excluded.head, waiting = excluded.waiting, said_ms = excluded.said_ms"
)
STREAM_OF_END = (
    f"{_from_arrays('stream (box, epoch, records, highest, newest_ms)', 'text', 'text', 'bigint', 'bigint', 'bigint')}"
    " ON CONFLICT DO NOTHING"
)
OLD_ENDS = (
    "DELETE FROM epoch_end WHERE box = $1 AND epoch NOT IN"
    " (SELECT epoch FROM epoch_end WHERE box = $1 ORDER BY said_ms DESC, epoch LIMIT 32)"
)
OLD_STREAMS = (
    "DELETE FROM stream WHERE box = $1 AND records = 0 AND epoch NOT IN (SELECT epoch FROM epoch_end WHERE box = $1)"
)
ENDS = "SELECT * FROM epoch_end WHERE box = $1 ORDER BY said_ms, epoch"
SETTLE = (
    "UPDATE stream SET settled = $1, asked_ms = $2"
    " WHERE box = $3 AND epoch = $4 AND settled = $5 AND asked_ms = $6 RETURNING 1"
)
HOLES = (
    "SELECT before + 1, seq - 1 FROM"
    " (SELECT seq, lag(seq, 1, $3::bigint - 1) OVER (ORDER BY seq) AS before FROM"
    "  (SELECT seq FROM record WHERE box = $1 AND epoch = $2 AND seq BETWEEN $3 AND $4"
    "   UNION ALL SELECT $4::bigint + 1) AS there) AS pairs"
    " WHERE seq > before + 1 ORDER BY seq LIMIT 1000"
)
ABSENCES = (
    "SELECT * FROM absence WHERE box = $1 AND epoch = $2 AND last_seq >= $3 AND first_seq <= $4 ORDER BY first_seq"
)
SPANS = (
    "SELECT epoch, first, last,"
    " (SELECT max(seq) FROM record WHERE box = $1 AND epoch = used.epoch AND seq < first),"
    " (SELECT min(seq) FROM record WHERE box = $1 AND epoch = used.epoch AND seq > last)"
    " FROM (SELECT epoch, min(first_seq) AS first, max(last_seq) AS last, max(newest_ms) AS newest_ms"
    "  FROM span JOIN stream USING (box, epoch) WHERE box = $1 AND ($2::text IS NULL OR day = $2::text)"
    "  GROUP BY epoch) AS used ORDER BY newest_ms, epoch"
)
STORED = (
    "SELECT seq, kind, chain, body FROM record"
    " WHERE box = $1 AND epoch = $2 AND seq BETWEEN $3 AND $4 ORDER BY seq LIMIT 1000"
)
