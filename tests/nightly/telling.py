"""A plugin of pytest: tells at once what broke and what took long, for a night that is cut off has no last words."""

import pytest

# What is shorter needs nobody's eye.
_LONG_SECONDS = 30


class Telling:
    """Writes to the terminal, between the lines of the tests."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of one test's setting up, run or clearing away."""
        if report.failed:
            self._terminal.write_line(f"\n{report.longreprtext}\nFAILED {report.nodeid}")
        elif report.when == "call" and report.duration >= _LONG_SECONDS:
            self._terminal.write_line(f"{report.duration:.0f} s: {report.nodeid}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Tell in the process that hands the work out; its workers have no terminal."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Telling(terminal))
