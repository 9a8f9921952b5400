# Loads Raceway's carrier, then the sitecustomize that would have been loaded without it. Python imports this file by its
# name at every start, whatever its version: it is written so that each of them can read it.
#
#   PYTHONPATH=/path/to/this/folder python app.py


def _carry():
    import os
    import sys

    if sys.version_info < (3, 7) or os.environ.get("RACEWAY_CARRIER") == "off":
        return
    try:
        import raceway_carrier

        raceway_carrier.start()
    except Exception as error:
        if os.environ.get("RACEWAY_CARRIER") == "debug":
            sys.stderr.write("raceway carrier: %r\n" % (error,))


def _next():
    """The sitecustomize that this one hides: the first further along the path."""
    import os
    import sys

    here = os.path.dirname(os.path.abspath(__file__))
    this = sys.modules.pop("sitecustomize", None)
    ours = [at for at, entry in enumerate(sys.path) if os.path.abspath(entry or ".") == here]
    entries = [sys.path.pop(at) for at in reversed(ours)]
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        # That there is none is no news; what it fails to import itself is its own affair, as it was before.
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        if this is not None:
            sys.modules["sitecustomize"] = this
    finally:
        for at, entry in zip(ours, reversed(entries)):
            sys.path.insert(at, entry)


_carry()
_next()
