"""What can go wrong, by whose mistake it is; each message is one line: what, where, what to do."""


class MinnetError(Exception):
    """Any error that minnet raises on purpose; the command line exits with `exit_code`."""

    exit_code = 1


class ConfigError(MinnetError):
    """A mistake in the arguments or the config."""

    exit_code = 2


class DataError(MinnetError):
    """Data that cannot be had or cannot be learned from."""


class ModelFileError(MinnetError):
    """A model file that is damaged or is none."""


class TrainingError(MinnetError):
    """A run that cannot go on, for example because it diverged."""


def one_line(text: object) -> str:
    """The text, or what an error says, on one line."""
    return " ".join(str(text).split())
