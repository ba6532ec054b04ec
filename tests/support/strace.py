"""strace, which breaks a system call of a running process: finding it, watching calls, killing or failing at the N-th.

Its counters are per thread and per kind of call. Attached to one thread, "the third fdatasync" is therefore the same
place in every run; attached to a process, it breaks what whichever thread does.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.installing import NoTool

# Every call by which a process changes a file, a directory or the disk, or tells somebody. "?": not on every processor.
WRITES = (
    "write,writev,pwrite64,pwritev,fsync,fdatasync,sendto,sendmsg,sendmmsg,ftruncate,fallocate,"
    "?rename,renameat,renameat2,?unlink,unlinkat,?link,linkat,?mkdir,mkdirat"
)


class CannotTrace(RuntimeError):
    """One process may not trace another here (ptrace); tests that break system calls cannot do without."""


def strace_path() -> str:
    """Find strace. Raises :class:`NoTool`."""
    found = shutil.which("strace")
    if not found:
        raise NoTool("no strace on the path; python3 start.py test installs it as root on Debian")
    return found


@dataclass(frozen=True)
class Trace:
    """A strace at work."""

    process: "subprocess.Popen[str]"
    path: Path

    @property
    def is_over(self) -> bool:
        """Say whether all it was attached to is gone."""
        return self.process.poll() is not None

    def calls(self) -> dict[int, list[str]]:
        """List the calls seen, by the id of their thread."""
        files = self.path.parent.glob(f"{self.path.name}.*")
        return {
            int(file.suffix[1:]): [line for line in file.read_text(errors="replace").splitlines() if "(" in line]
            for file in files
        }

    def last_call(self) -> str:
        """Give the last call of the only thread: what it was about to do when it was broken."""
        lines = [line for line in self.path.read_text(errors="replace").splitlines() if "(" in line]
        return lines[-1] if lines else ""


def kind(call: str) -> str:
    """Tell the kind of a call that was seen: ``fdatasync``."""
    return call.partition("(")[0]


def watching(pids: Sequence[int]) -> AbstractContextManager[Trace]:
    """Write down the write-type calls of every thread of some processes while the body runs."""
    return _attached(["-ff", "-e", f"trace={WRITES}"], pids)


def killing(thread: int, call: str, when: int) -> AbstractContextManager[Trace]:
    """Kill the process of a thread (SIGKILL) as that thread begins its ``when``-th call of a kind; 1 is the next."""
    return _attached(["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}"], [thread])


def freezing(thread: int, call: str, when: int) -> AbstractContextManager[Trace]:
    """Stop the process of a thread (SIGSTOP) after that thread's ``when``-th call of a kind, until somebody continues it.

    After and not before, unlike a kill: the kernel takes up such a signal as the call returns.
    """
    return _attached(["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGSTOP:when={when}"], [thread])


def failing(pids: Sequence[int], calls: str, error: str, when: str = "1+") -> AbstractContextManager[Trace]:
    """Have calls of every thread of some processes fail while the body runs; ``when`` as strace words it."""
    return _attached(["-f", "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}"], pids)


@contextmanager
def _attached(words: list[str], targets: Sequence[int]) -> Iterator[Trace]:
    with tempfile.TemporaryDirectory(prefix="guichet-strace-") as folder:
        path = Path(folder) / "trace"
        pids = [word for target in targets for word in ("-p", str(target))]
        process = subprocess.Popen(
            [strace_path(), "-y", "-s", "80", "-e", "signal=none", "-o", str(path), *words, *pids],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _wait_until_attached(process, len(targets))
            yield Trace(process, path)
        finally:
            # Let go of what still lives; its own death, when nothing is left, is the usual end.
            process.terminate()
            process.communicate()


def _wait_until_attached(process: "subprocess.Popen[str]", targets: int) -> None:
    said: list[str] = []
    assert process.stderr is not None
    while targets:
        line = process.stderr.readline()
        if not line:
            raise CannotTrace("".join(said) or "strace ended at once")
        said.append(line)
        targets -= " attached" in line
