"""Errors and warnings that socicnn raises on purpose: they name what was wrong, what was received and how to fix it."""


class SocicnnError(Exception):
    """Base of every error raised on purpose."""


class ModelError(SocicnnError, ValueError):
    """An invalid network, or an invalid argument of one."""


class NoProgramError(ModelError):
    """A function that has no conic program, or none of the kind that is needed: torch modules, Huber atoms."""


class ProgramError(SocicnnError, ValueError):
    """An invalid conic program, feasible set or point."""


class SolverError(SocicnnError, RuntimeError):
    """A solver that stopped without a usable solution."""


class MissingExtra(SocicnnError, ImportError):
    """An optional package that is not installed; the message says what to install."""


class ShadowedError(SocicnnError, ImportError):
    """A file of the user that hides a package of ours; the message says which."""


class FileError(SocicnnError, OSError):
    """A file could not be read or written as asked."""


class VerificationError(SocicnnError):
    """A network and a program that were not shown to agree; the message says which check failed, where, by how much."""


class DyingUnits(UserWarning):
    """Most units start inactive and receive almost no gradient; enable passthrough or use fewer layers."""
