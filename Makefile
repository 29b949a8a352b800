# make app      the page on http://127.0.0.1:7860
# make test     format, lint, types, tests: what CI runs
# make nightly  the studies that CI does not run; a line of results is added to tests/nightly/results.txt
# make release  what must hold of a release: the nightly tests on this code, and `make test`
# make install  the environment alone, in .venv
# make doctor   what this machine can do, what is off and why
# make space SPACE=owner/name   the committed tree onto a Hugging Face Space; ARGS=--dry-run only lists it
# make audit | newest | sbom | verify    known faults of what is installed; tests on the newest versions; a bill of
#               materials; the maintainers' signature over what ships: docs/trust.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_WAIT_POLICY := passive
unexport PYTHONDONTWRITEBYTECODE  # each of many processes would compile every module

.PHONY: app install doctor space test lint types tests nightly release format clean sbom audit newest verify

app: install
	$(BIN)/python -m dermiq.vlm.base
	$(BIN)/python app.py $(ARGS)

install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v < (3, 14) else 'DermIQ needs Python 3.10 to 3.13; this is %d.%d. Set PYTHON=python3.12, say.' % v)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

doctor: install
	$(BIN)/python -m dermiq doctor $(ARGS)

space: install
	$(BIN)/python -m dermiq space push $(SPACE) $(ARGS)

test: lint types tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

tests: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

nightly: $(VENV)/.installed-dev
	$(BIN)/python -m tests.nightly.record

release: $(VENV)/.installed-dev
	$(BIN)/python -m tests.nightly.record --check
	$(MAKE) test

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(TOOLS) $(NEWEST) .pytest_cache .mypy_cache .ruff_cache test-artifacts

# --- supply chain: tools and newest versions have environments of their own ---------------
TOOLS ?= .venv-tools
NEWEST ?= .venv-newest
SBOM ?= dist/sbom.json

$(TOOLS)/.installed: requirements-tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet -r requirements-tools.txt
	touch $@

sbom: $(VENV)/.installed $(TOOLS)/.installed
	mkdir -p $(dir $(SBOM))
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o $(SBOM) $(BIN)/python
	@echo "$(SBOM): what is installed in $(VENV)"

audit: $(VENV)/.installed $(TOOLS)/.installed
	@$(TOOLS)/bin/pip-audit --vulnerability-service osv --progress-spinner off \
	  --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" 2>$(TOOLS)/audit.log \
	  || { tail -n 1 $(TOOLS)/audit.log; \
	       if grep -q "requests.exceptions\|ServiceError" $(TOOLS)/audit.log; \
	       then echo "The database of known faults (api.osv.dev) was not reached: nothing was audited. Try again with a connection."; \
	       else echo "A package above has a known fault: raise its version in requirements.txt, or say in CHANGELOG.md why not."; fi; exit 1; }
	@tail -n 1 $(TOOLS)/audit.log

newest:
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet packaging
	$(NEWEST)/bin/python -m tests.declared --newest > $(NEWEST)/requirements.txt
	$(NEWEST)/bin/python -m pip install --quiet -r $(NEWEST)/requirements.txt
	$(NEWEST)/bin/python -m pip freeze
	$(NEWEST)/bin/python -m pytest -W default --numprocesses 3 --dist loadfile --no-loadscope-reorder $(TESTS)

verify: $(VENV)/.installed
	@test -n "$(SIGNERS)" || { echo "Name the maintainers' public keys: make verify SIGNERS=allowed_signers"; exit 1; }
	$(BIN)/python -m dermiq.signed verify --signers $(SIGNERS)
