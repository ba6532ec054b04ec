"""The demonstration's own hold on what it started."""

import gc
import signal
import weakref
from pathlib import Path

import pytest

from gateway.cli.demo import Programs


class Something:
    """What can be finalised."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_is_lost_while_something_is_finalised_is_heard_soon(tmp_path: Path) -> None:
    programs, thing = Programs(tmp_path / "log"), Something()
    programs.check()
    weakref.finalize(thing, programs.interrupt, signal.SIGTERM, None)

    # Python prints what is raised here, and goes on.
    del thing
    gc.collect()

    with pytest.raises(KeyboardInterrupt):
        programs.check()
