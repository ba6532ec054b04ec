"""The least Django project that takes payments with django-payments, as its guide lays one out; nothing imports it here.

It runs in an environment of its own (``bench/pins/django.txt``), started by :mod:`bench.peers.django_payments`.
"""
