"""How a process that sees cards must begin, so that none of them stays where somebody may look later."""

import logging
import resource
from collections.abc import Mapping

from gateway.core.errors import SettingsError

log = logging.getLogger(__name__)

# Freed memory is overwritten and goes back to the system, so that card numbers do not linger in a web process. glibc's
# per-thread cache keeps small freed blocks as they were, so there is none. All threads share one heap, since only one of
# them runs Python at a time: heaps of their own cost a worker an eighth of its memory, in holes.
MEMORY = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_PERTURB_": "165",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1",
}


def leave_no_core_file() -> None:
    """Have the kernel write down nothing of this process, and of those it starts, should they crash."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def check(environ: Mapping[str, str], *, is_test: bool) -> None:
    """Hold the environment a process began in against :data:`MEMORY`, which nobody can change any more.

    Only says so in the log where no card is real. Raises :class:`SettingsError` elsewhere.
    """
    missing = " ".join(f"{name}={value}" for name, value in MEMORY.items() if value not in environ.get(name, ""))
    if not missing:
        return
    if not is_test:
        raise SettingsError((f"card numbers would stay in freed memory; start the web server with {missing}",))
    log.warning("card numbers may stay in freed memory: variables are missing", extra={"reason": missing})
