"""Column types with an opinion: instants are UTC and aware, or refused; and values that both engines word alike."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, DateTime, Dialect, LargeBinary, Text, cast, func
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant; SQLite keeps it naive, so the zone is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive instants and turn the rest into UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database; use an aware UTC one")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def json_rows(columns: Iterable[ColumnElement[object]], engine: str) -> ColumnElement[str]:
    """Have the database word many rows as a JSON array of such arrays; NULL, or an empty one, when there are none."""
    array, many = (
        (func.json_array, func.json_group_array) if engine == "sqlite" else (func.json_build_array, func.json_agg)
    )
    return cast(many(array(*(_worded(column, engine) for column in columns))), Text)


def json_row(columns: Iterable[ColumnElement[object]], engine: str) -> ColumnElement[str]:
    """Have the database word a row as a JSON array: rows of several tables can then come in one answer."""
    array = func.json_array if engine == "sqlite" else func.json_build_array
    return cast(array(*(_worded(column, engine) for column in columns)), Text)


def _worded(column: ColumnElement[object], engine: str) -> ColumnElement[object]:
    if isinstance(column.type, UtcDateTime) and engine != "sqlite":
        # Whatever zone the session is in.
        return func.timezone("UTC", column)
    if isinstance(column.type, LargeBinary):
        return func.hex(column) if engine == "sqlite" else func.encode(column, "hex")
    return column


def moment(text: str) -> datetime:
    """Read an instant out of :func:`json_row`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
