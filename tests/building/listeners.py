"""A listener whose every sentence can be asked for afterwards."""

from retimbre.jobs.listener import Silent


class Heard(Silent):
    """Keeps what was said, as 'Label: text'."""

    def __init__(self):
        self.said = []

    def say(self, label, text):
        self.said.append(f"{label}: {text}")

    def of(self, label):
        """Every text under a label."""
        return [line.removeprefix(f"{label}: ") for line in self.said if line.startswith(f"{label}: ")]

    def line(self, label):
        """The first line of a label."""
        return next(line for line in self.said if line.startswith(f"{label}: "))
