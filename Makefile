# make setup   create a virtual environment with pinned dependencies
# make train   train the experiment review_sts
# make test    check format, lint and types, and run the tests
# make ui      serve the MLflow UI on port 5000 or PORT=…, and print the addresses to open
# make soak    kill thirty trainings at random moments and resume each
# make audit   check the pinned dependencies for known vulnerabilities (needs the network)
# make lock    update constraints.txt to the newest versions that pyproject.toml allows

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PORT ?= 5000

.PHONY: setup train test ui soak audit lock
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

train: setup
	$(BIN)/python -m src.train +experiment=review_sts

test: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile

ui: setup
	$(BIN)/python -m src.ui --port $(PORT)

soak: setup
	SOAK=30 $(BIN)/pytest tests/test_soak.py

audit: setup
	$(BIN)/python -m pip check
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip
	rm -r .venv-audit

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --editable ".[dev,dashboard,mteb,onnx,openvino,postgres,ray,sentencepiece]"
	.venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
	rm -r .venv-lock
