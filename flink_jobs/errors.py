"""The one exception whose text is meant for the person at the terminal."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: what is wrong, where, and what to do, in one sentence.

    The command line prints the text without a stack trace and exits with code 2. Everything else
    that is raised is a fault of ours and keeps its trace.
    """
