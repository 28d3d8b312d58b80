"""What a page of Dagster shows of a metadata value, as text that a test can look through."""

from typing import Any

import dagster as dg


def shown(value: dg.MetadataValue[Any]) -> Any:
    """Return the lines of a table, `| a | b |` each with its names first, or the value itself."""
    if not isinstance(value, dg.TableMetadataValue):
        return value.value
    names = [column.name for column in value.schema.columns]
    rows = [[str(record.data[name]) for name in names] for record in value.records]
    ruled = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in ruled)
