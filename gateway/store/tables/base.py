"""What all tables share: their one metadata and its names, the type of row ids, the words of a CHECK."""

from sqlalchemy import BigInteger, Integer, MetaData

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
