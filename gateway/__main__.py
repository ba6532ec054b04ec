"""``python -m gateway``: the same as the ``guichet`` command."""

from gateway.cli import main

main()
