.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## set up and report on a real trace
	sh scripts/demo.sh

test: ## set up and run lint, types and tests
	sh scripts/test.sh

lint: ## check style and types
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

format: ## format the code
	.venv/bin/ruff format . && .venv/bin/ruff check --fix .

clean: ## remove what the other targets made
	rm -rf .venv .venv-lowest .mypy_cache .ruff_cache .pytest_cache .hypothesis report.html
