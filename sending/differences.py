"""How a difference in the books is asked for and told."""

from collections.abc import Iterator

EXAMPLES = 3  # ids that stand for all


def counted(statement: str) -> str:
    """A statement that finds wrong rows by `id`, as one that answers some ids and the number of all."""
    return f"SELECT found.id::text, count(*) OVER () FROM ({statement}) AS found LIMIT {EXAMPLES}"


def sentence(says: str, rows: list[tuple[str, int]]) -> Iterator[str]:
    """`12 <what is wrong>: id, id, id ...` for the rows of a `counted` statement; nothing for none."""
    if rows:
        more = " ..." if rows[0][1] > len(rows) else ""
        yield f"{rows[0][1]:,} {says}: {', '.join(row[0] for row in rows)}{more}"
