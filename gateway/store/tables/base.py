"""What all tables share: their one metadata and its names, the type of row ids, the words of a CHECK."""

from collections.abc import Collection

from sqlalchemy import BigInteger, Column, ColumnElement, Integer, MetaData, literal_column

from gateway.core.states import AttemptStatus, Status

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives an auto-incremented key only to INTEGER, PostgreSQL should count past 2^31.
Id = BigInteger().with_variant(Integer(), "sqlite")


def words(values: frozenset[AttemptStatus] | type[Status] | type[AttemptStatus] | tuple[str, ...]) -> str:
    """Write the values of a CHECK, in an order of their own so that two runs write the same."""
    return ", ".join(f"'{word}'" for word in sorted(map(str, values)))


def among(column: Column[str], values: Collection[str]) -> ColumnElement[bool]:
    """Compare a column with words written out, as the condition of a partial index has them.

    Given as parameters they would hide from SQLite, and from a plan that PostgreSQL keeps, that such an index holds all
    the rows that are asked for. Raises :class:`ValueError` for anything but a word.
    """
    if not all(str(word).isidentifier() for word in values):
        raise ValueError("only words are written out")
    written: list[ColumnElement[str]] = [literal_column(f"'{word}'") for word in sorted(map(str, values))]
    return column == written[0] if len(written) == 1 else column.in_(written)
