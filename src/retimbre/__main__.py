"""`python -m retimbre`."""

from retimbre.cli.main import run

if __name__ == "__main__":
    run()
