"""One door, forced by Atheris in this process: ``python -m tests.nightly.forcing HOME DOOR FOLDER SECONDS``.

``FOLDER`` holds bytes to begin with. Ends as libFuzzer does, with the bytes that broke the door on its standard error.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # of an environment of its own

# The longest that comes in by a door (64 KiB) leads nowhere that this does not.
_BYTES_MAX = 4096
# A door that thinks this long about so little is open to floods.
_SECONDS_MAX = 10

with atheris.instrument_imports(include=["gateway.core", "gateway.dialects"]):
    from tests.nightly.fuzzing import every_door


def main(home: str, name: str, begin: str, seconds: str) -> None:
    """Force the door until time is up, or it breaks."""
    enter = every_door(Path(home))[name].enter

    def force(raw: bytes) -> None:
        enter(raw)

    limits = [
        f"-max_len={_BYTES_MAX}",
        f"-timeout={_SECONDS_MAX}",
        f"-max_total_time={seconds}",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={begin}/broke-", begin], force)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
