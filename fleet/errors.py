"""Errors as a person reads them. In: an exception. Out: one line that says what is wrong, where, what to do."""

import errno

_ROOMS = ("schemas", "plumbing", "cameras", "vision", "workers", "streams", "store", "delivery", "console", "fleet")
_HINTS = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "the disk quota is used up; free some space and try again",
    errno.EACCES: "permission denied",
    errno.ENOENT: "no such file or folder",
    errno.EROFS: "the file system is read-only",
    errno.EADDRINUSE: "the port is in use; choose another one",
}


class CommandError(Exception):
    """A command cannot do what was asked; the text is the whole line."""


def one_line(error: BaseException) -> str:
    """The error in one line. Errors of the project's own rooms are worded for people already."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is None:
        return text or type(error).__name__
    if isinstance(error, OSError):
        reason = _HINTS.get(error.errno or 0) or (error.strerror or text).lower()
        return f"{error.filename}: {reason}" if error.filename else reason
    own = type(error).__module__.partition(".")[0] in _ROOMS
    if text and (own or isinstance(error, ValueError)):
        return text
    return f"unexpected {type(error).__name__}: {text}; run it again with --debug for the trace"
