"""The WSGI application, for any server: ``gunicorn wsgi:app``; at home in ``GUICHET_HOME``, else in this directory."""

# ruff: noqa: E402 - nothing loaded here is ever garbage: not looking for any saves a sixth of the start
import gc

gc.disable()

import os
from pathlib import Path

from gateway import logs, memory
from gateway.app import create_app

logs.configure()
memory.leave_no_core_file()
app = create_app(home=Path(os.environ.get("GUICHET_HOME") or Path(__file__).parent))
memory.check(os.environ, is_test=app.extensions["gateway"].settings.is_test_kit_on)

# What is loaded stays out of the collector's sight, so that worker processes go on sharing its memory.
gc.freeze()
gc.enable()
