"""Raceway's carrier for Python: it keeps the trace context that came with a request in a context variable, and puts it
on the calls made while the request is handled. The sidecar wrote it, and reads it back as proof of which request made
which call.

It adds one header, `traceparent`, to calls that have none, and does nothing else. It must not break its host: what it
does not know it leaves alone, and every hook falls back to what the library does without it. RACEWAY_CARRIER=off
switches it off, RACEWAY_CARRIER=debug says on standard error what could not be hooked.
"""

import contextvars
import functools
import importlib.abc
import importlib.util
import os
import sys

HEADER = "traceparent"
ENVIRON = "HTTP_TRACEPARENT"

_current = contextvars.ContextVar("raceway_context", default=None)


def _complain(what, error):
    if os.environ.get("RACEWAY_CARRIER") == "debug":
        sys.stderr.write("raceway carrier: %s: %r\n" % (what, error))


def _attempt(what):
    """A hook that fails changes nothing, for the call at hand or for its module."""

    def decorate(hook):
        @functools.wraps(hook)
        def attempted(*args, **kwargs):
            try:
                return hook(*args, **kwargs)
            except Exception as error:
                _complain(what, error)

        return attempted

    return decorate


def _wrapped(owner, name, make):
    original = getattr(owner, name)
    wrapper = make(original)
    functools.update_wrapper(wrapper, original)
    setattr(owner, name, wrapper)


# ---- Requests that come in


def _http_server(module):
    # Requests of one connection follow each other on one thread: each begins with its own context, or none.
    def parse_request(original):
        def parse(self):
            _current.set(None)
            parsed = original(self)
            if parsed:
                _current.set(_header_of(self))
            return parsed

        return parse

    @_attempt("a request")
    def _header_of(handler):
        return handler.headers.get(HEADER)

    _wrapped(module.BaseHTTPRequestHandler, "parse_request", parse_request)


def _wsgi(application):
    def called(environ, start_response):
        _current.set(environ.get(ENVIRON))
        return application(environ, start_response)

    return functools.wraps(application, updated=())(called)


def _gunicorn(module):
    _wrapped(module.BaseApplication, "wsgi", lambda original: lambda self: _wsgi(original(self)))


def _uvicorn(module):
    def load(original):
        def loaded(self):
            original(self)
            self.loaded_app = _asgi(self.loaded_app)

        return loaded

    _wrapped(module.Config, "load", load)


def _asgi(application):
    async def called(scope, receive, send):
        if scope["type"] in ("http", "websocket"):
            _current.set(_header_of(scope))
        return await application(scope, receive, send)

    @_attempt("a request")
    def _header_of(scope):
        return next((value.decode("ascii") for name, value in scope["headers"] if name == b"traceparent"), None)

    return called


def _aiohttp_server(module):
    def handle(original):
        async def handled(self, request, *args, **kwargs):
            _current.set(request.headers.get(HEADER))
            return await original(self, request, *args, **kwargs)

        return handled

    _wrapped(module.RequestHandler, "_handle_request", handle)


def _tornado(module):
    def execute(original):
        async def executed(self, *args, **kwargs):
            _current.set(self.request.headers.get(HEADER))
            return await original(self, *args, **kwargs)

        return executed

    _wrapped(module.RequestHandler, "_execute", execute)


# ---- Calls that go out


def _http_client(module):
    """Under urllib, urllib3 and requests too."""

    def endheaders(original):
        def ended(self, *args, **kwargs):
            put(self)
            return original(self, *args, **kwargs)

        return ended

    @_attempt("a call")
    def put(connection):
        context = _current.get()
        if context is not None and not any(line[:12].lower() == b"traceparent:" for line in connection._buffer):
            connection.putheader(HEADER, context)

    _wrapped(module.HTTPConnection, "endheaders", endheaders)


def _aiohttp_client(module):
    def init(original):
        def made(self, *args, **kwargs):
            original(self, *args, **kwargs)
            put(self.headers)

        return made

    @_attempt("a call")
    def put(headers):
        context = _current.get()
        if context is not None and HEADER not in headers:
            headers[HEADER] = context

    _wrapped(module.ClientRequest, "__init__", init)


def _httpx(module):
    @_attempt("a call")
    def put(request):
        context = _current.get()
        if context is not None:
            request.headers.setdefault(HEADER, context)

    def send(original):
        def sent(self, request, *args, **kwargs):
            put(request)
            return original(self, request, *args, **kwargs)

        return sent

    _wrapped(module.Client, "send", send)
    # A function that returns what is awaited is as good as an async one.
    _wrapped(module.AsyncClient, "send", send)


# ---- Between threads


def _executor(module):
    """Work that a request hands to a pool is the request's, `run_in_executor` included."""

    def submit(original):
        def submitted(self, work, *args, **kwargs):
            context = _current.get()
            if context is None:
                return original(self, work, *args, **kwargs)
            return original(self, within, context, work, *args, **kwargs)

        return submitted

    def within(context, work, *args, **kwargs):
        before = _current.set(context)
        try:
            return work(*args, **kwargs)
        finally:
            _current.reset(before)

    _wrapped(module.ThreadPoolExecutor, "submit", submit)


# ---- Hooking modules as they are imported

_HOOKS = {
    "aiohttp.client_reqrep": _aiohttp_client,
    "aiohttp.web_protocol": _aiohttp_server,
    "concurrent.futures.thread": _executor,
    "gunicorn.app.base": _gunicorn,
    "http.client": _http_client,
    "http.server": _http_server,
    "httpx._client": _httpx,
    "tornado.web": _tornado,
    "uvicorn.config": _uvicorn,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds nothing itself: it lets the others find, and hooks what they have loaded."""

    def find_spec(self, name, path=None, target=None):
        hook = _HOOKS.pop(name, None)
        if hook is None:
            return None
        try:
            return self._hooked(name, hook)
        except Exception as error:
            _complain(name, error)
            return None

    def _hooked(self, name, hook):
        # The name is off the list by now, so this does not come back here.
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def executed(module):
            execute(module)
            _attempt(name)(hook)(module)

        spec.loader.exec_module = executed
        return spec


def start():
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    for name in [name for name in _HOOKS if name in sys.modules]:
        _attempt(name)(_HOOKS.pop(name))(sys.modules[name])
    sys.meta_path.insert(0, _Finder())
