"""What the merchant book says of a dialect: its ``protocol`` table, checked by a model of the dialect's own."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.settings.merchant import Merchant


class Table(BaseModel):
    """A table of settings: unknown keys are faults, and no fault repeats a value, which may be a key."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


T = TypeVar("T", bound=Table)


def read_protocol(model: type[T], merchant: Merchant, faults: list[str]) -> T | None:
    """Read a merchant's ``protocol`` table; ``None``, and a line for each fault, when it breaks the model's rules."""
    try:
        return model.model_validate(merchant.protocol)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            place = ".".join(str(part) for part in ("protocol", *fault["loc"]))
            text = fault["msg"].removeprefix("Value error, ")
            if fault["type"] == "extra_forbidden":
                text = "unknown setting; remove it or correct its spelling"
            elif fault["type"] == "missing":
                text = "missing; give " + _wanted(model, str(fault["loc"][-1]))
            faults.append(f"merchants.{merchant.id}.{place}: {text}")
    return None


def _wanted(model: type[Table], name: str) -> str:
    known = model.model_fields.get(name)
    return (known.description if known else None) or "a value"
