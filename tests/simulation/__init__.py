"""Guichet, its bank, its payers and its merchants in one process, driven by one seed.

Everything that is chance elsewhere is drawn from the seed here: the clock, ids, codes, the order in which threads get on,
what the network loses, who is killed when. A seed therefore replays a run exactly: ``python -m tests.simulation --seed N``.
What is *not* simulated: locks between database connections (one transaction runs at a time; races of processes are
``tests/store/test_races.py``), disks, and processes that die between two system calls.
"""
