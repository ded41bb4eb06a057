"""The rows on their way: their text for COPY, and digests that both engines reckon alike.

A row's digest is the first 60 bits of the SHA-256 of its columns, each text with its length before
it. Digests are added up, so the sum does not depend on the order, and sums of parts add up too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Digest(NamedTuple):
    """What tells two sets of rows apart.

    Attributes:
        rows: how many.
        sum: of the rows' digests.
    """

    rows: int
    sum: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows, checksum {self.sum:x}"


class Table(NamedTuple):
    """A table of the service, as it is copied.

    Attributes:
        name: the table's name.
        key: its primary key.
        columns: as COPY names them.
        text: DuckDB's expression for the row's line in COPY's text format.
        described: the columns as one text, an expression that both engines understand.
    """

    name: str
    key: str
    columns: str
    text: str
    described: str


# What means something to COPY, the backslash first; and inside an array, to the array's own text.
_OF_COPY: Final = {"'\\'": "\\\\", "chr(9)": "\\t", "chr(10)": "\\n", "chr(13)": "\\r"}
_OF_ARRAY: Final = {"'\\'": "\\\\", "chr(34)": '\\"'}


def _escaped(expression: str, characters: Mapping[str, str] = _OF_COPY) -> str:
    for character, escape in characters.items():
        expression = f"replace({expression}, {character}, '{escape}')"
    return expression


_QUOTED: Final = f"chr(34) || {_escaped('skill', _OF_ARRAY)} || chr(34)"
_ARRAY: Final = f"array_to_string(list_transform(fight_skills, lambda skill: {_QUOTED}), ',')"
_SKILLS: Final = _escaped(f"'{{' || {_ARRAY} || '}}'")

WARRIORS: Final = Table(
    "warriors",
    "id",
    "id, name, dob, fight_skills, search_text",
    f"concat_ws(chr(9), id, {_escaped('name')}, dob, {_SKILLS}, {_escaped('search_text')})",
    "id::text || length(name) || ':' || name || dob::text || array_length(fight_skills, 1) || ':'"
    " || array_to_string(fight_skills, chr(31)) || ':' || length(search_text) || search_text",
)
KEYS: Final = Table(
    "idempotency_keys",
    "key",
    "key, fingerprint, warrior_id, created_s",
    f"concat_ws(chr(9), {_escaped('key')}, '\\\\x' || hex(fingerprint), warrior_id, created_s)",
    "length(key) || ':' || key || {hex} || warrior_id::text || created_s::text",
)


def duckdb_digest(table: Table) -> str:
    """Return DuckDB's expression for a row's digest, a number below 2^60."""
    described = table.described.replace("{hex}", "lower(hex(fingerprint))")
    return f"CAST('0x' || substr(sha256({described}), 1, 15) AS BIGINT)"


def postgres_digest(table: Table) -> str:
    """Return PostgreSQL's expression for the same number."""
    described = table.described.replace("{hex}", "encode(fingerprint, 'hex')")
    hashed = f"encode(sha256(convert_to({described}, 'UTF8')), 'hex')"
    return f"('x' || substr({hashed}, 1, 15))::bit(60)::bigint"
