"""The floor of the pages: one text, one Jinja template, one Flask view, under the very server that serves ours."""

import sys
from pathlib import Path

from flask import Flask, render_template

from gateway.cli.webserver import WebServer
from gateway.settings import load

# What the page is told at each request: what a page of ours differs in from the next one's.
MARKS = ("amount", "reference", "token")


def make_app(folder: Path) -> Flask:
    """Show ``folder/page.html`` at every payment's address, and nothing else."""
    app = Flask("bare", template_folder=folder)

    @app.get("/p/<token>")
    def page(token: str) -> str:
        return render_template("page.html", amount="96,12 €", reference="FACT-000001", token=token)

    return app


if __name__ == "__main__":
    home, folder, port = sys.argv[1:]
    WebServer(make_app(Path(folder)), load(Path(home), {"GUICHET_WEB__PORT": port})).run()
