"""The WSGI application, for any server: ``gunicorn wsgi:app``; at home in ``GUICHET_HOME``, else in this directory."""

import os
from pathlib import Path

from gateway import logs
from gateway.app import create_app

logs.configure()
app = create_app(home=Path(os.environ.get("GUICHET_HOME") or Path(__file__).parent))
