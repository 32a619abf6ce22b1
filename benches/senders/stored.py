"""Fills the program's tables: copies of what it has recorded itself, so that all columns are as it writes them."""

DAY_MS = 22 * 3600 * 1000
SAMPLE = 1_000


def fill(postgres, database, deliveries):
    """Copies delivered webhooks, spread over the day before, until the tables hold this many."""
    copies = max(deliveries // SAMPLE - 2, 1)
    sql = [f"CREATE TEMP TABLE sample AS SELECT id, event_id FROM deliveries WHERE state = 'delivered' LIMIT {SAMPLE};"]
    # An id is a prefix and a version 7 UUID without hyphens, whose first 12 digits are a time.
    back = f"copy * {DAY_MS // copies}"
    moved = "regexp_replace({0}, '_.{{12}}', '_' || lpad(to_hex(sample_time - " + back + "), 12, '0'))"
    time_of = "(('x' || lpad(substr(split_part({0}, '_', 2), 1, 12), 16, '0'))::bit(64)::bigint)"

    def new(column):
        return moved.format(column).replace("sample_time", time_of.format(column))

    tables = {
        "events": ("id IN (SELECT event_id FROM sample)", {"id": new("id"), "call_id": "call_id || '-' || copy"}),
        "deliveries": ("id IN (SELECT id FROM sample)", {"id": new("id"), "event_id": new("event_id")}),
        "attempts": ("delivery_id IN (SELECT id FROM sample)", {"delivery_id": new("delivery_id")}),
    }
    times = ("accepted_at", "created_at", "due_at", "ended_at", "started_at")
    for table, (where, changed) in tables.items():
        columns = postgres.sql(
            f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' AND table_schema = 'public'"
            " AND is_generated = 'NEVER' ORDER BY ordinal_position", database).split()
        changed = changed | {name: f"{name} - {back}" for name in times if name in columns}
        values = ", ".join(changed.get(name, name) for name in columns)
        sql.append(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table}, generate_series(1, {copies}) AS copy"
                   f" WHERE {where};")
    # As autovacuum leaves them.
    postgres.sql("\n".join(["BEGIN;", *sql, "COMMIT;", "VACUUM ANALYZE;", "CHECKPOINT;"]), database)
    return int(postgres.sql("SELECT count(*) FROM deliveries", database))
