# For contributors. Nothing here is needed to run or to test Guichet: python3 start.py does that, without make.
PYTHON ?= python3
BIN = .venv/bin

# A release must have stood a week before it is locked: most poisoned ones are found within days.
COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade \
	--exclude-newer "7 days" --no-emit-index-url --custom-compile-command "make lock"
PINS = tests/foreign/pins

.PHONY: check test nightly bench gallery fix lock ready

check test:
	@$(PYTHON) start.py $@

# What the long tests need besides; without it they would be listed as skipped.
nightly: ready
	@for finder in browser tools; do $(BIN)/python -m tests.support.$$finder; done
	@$(BIN)/python -m tests.nightly

bench: ready
	@$(BIN)/python -m bench

# make bench ONLY=P1,P6; make gallery IN=de, IN=all
gallery: ready
	@$(BIN)/python -m tests.gallery $(IN)

fix: ready
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

lock: ready
	@$(COMPILE) setup.cfg -o requirements.lock
	@$(COMPILE) setup.cfg --extra test -c requirements.lock -o requirements-test.lock
	@$(COMPILE) $(PINS)/eopayment.in -o $(PINS)/eopayment.txt
	@$(COMPILE) $(PINS)/soap.in -o $(PINS)/soap.txt
	@$(COMPILE) -c requirements.lock bench/pins/django.in -o bench/pins/django.txt
	@$(COMPILE) bench/pins/localstripe.in -o bench/pins/localstripe.txt
	@$(COMPILE) -c requirements-test.lock tests/nightly/pins/mutmut.in -o tests/nightly/pins/mutmut.txt
	@$(COMPILE) -c requirements-test.lock tests/nightly/pins/atheris.in -o tests/nightly/pins/atheris.txt

ready:
	@$(PYTHON) start.py setup test
