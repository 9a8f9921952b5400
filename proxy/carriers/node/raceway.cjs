// Raceway's carrier for Node.js: it keeps the trace context that came with a request in the runtime's own context, and
// puts it on the calls made while the request is handled. The sidecar wrote it, and reads it back as proof of which
// request made which call.
//
//   NODE_OPTIONS="--require /path/to/raceway.cjs" node app.js
//
// It adds one header, `traceparent`, to calls that have none, and does nothing else. It must not break its host: every
// hook falls back to what Node does without it, and what it does not know it leaves alone. Written in the language of
// 2015, as a host too old for newer words would end at the first of them. RACEWAY_CARRIER=off switches it off.
'use strict';

(function () {
  var HEADER = 'traceparent';
  var HERE = Symbol.for('raceway.carrier');
  // Once for each thread, however often it is named.
  if (process[HERE] || process.env.RACEWAY_CARRIER === 'off') return;
  Object.defineProperty(process, HERE, { value: true });

  // What fails is not used, and said on request only: a log line of ours in the application's output is a change too.
  function attempt(what, hook) {
    try {
      return hook();
    } catch (error) {
      if (process.env.RACEWAY_CARRIER === 'debug') process.stderr.write('raceway carrier: ' + what + ': ' + error + '\n');
    }
  }

  attempt('this version of Node.js', function () {
    var AsyncLocalStorage = require('async_hooks').AsyncLocalStorage;
    // Before 12.17 there is no context that follows a request.
    if (typeof AsyncLocalStorage !== 'function') return;
    var current = new AsyncLocalStorage();
    attempt('HTTP/1 servers', function () { serveHttp1(current); });
    attempt('HTTP/1 clients', function () { callHttp1(current); });
    attempt('fetch', function () { callUndici(current); });
    attempt('HTTP/2', function () { http2(current); });
    // `import { get } from 'node:http'` sees what `require('http').get` does.
    attempt('ES modules', function () { require('module').syncBuiltinESMExports(); });
  });

  // ---- Requests that come in

  // An emitter's listeners run where the event comes from, which for a body is the socket: in the request's context they
  // belong.
  function within(current, context, emitter) {
    var emit = emitter.emit;
    Object.defineProperty(emitter, 'emit', {
      configurable: true,
      writable: true,
      value: function () {
        var self = this, args = arguments;
        return current.run(context, function () { return emit.apply(self, args); });
      },
    });
  }

  function serveHttp1(current) {
    var events = { request: true, checkContinue: true, checkExpectation: true, upgrade: true, connect: true };
    ['http', 'https'].forEach(function (name) {
      var prototype = require(name).Server.prototype, emit = prototype.emit;
      prototype.emit = function (event, request, response) {
        if (events[event] !== true) return emit.apply(this, arguments);
        var self = this, args = arguments;
        var context = attempt('a request', function () {
          var context = request.headers[HEADER];
          if (context !== undefined) [request, response].forEach(function (end) { within(current, context, end); });
          return context;
        });
        return current.run(context, function () { return emit.apply(self, args); });
      };
    });
  }

  // ---- Calls that go out

  // Options whose headers are a list are written at once: later it is too late.
  function withListedHeader(args, context) {
    var at = typeof args[0] === 'string' || args[0] instanceof URL ? 1 : 0;
    var options = args[at];
    if (!options || !Array.isArray(options.headers)) return args;
    var list = options.headers, pairs = Array.isArray(list[0]);
    var names = pairs ? list.map(function (pair) { return pair[0]; }) : list.filter(function (_, index) { return index % 2 === 0; });
    if (names.some(isHeader)) return args;
    var changed = Array.prototype.slice.call(args);
    changed[at] = Object.assign({}, options, { headers: list.concat(pairs ? [[HEADER, context]] : [HEADER, context]) });
    return changed;
  }

  function isHeader(name) {
    return String(name).toLowerCase() === HEADER;
  }

  function callHttp1(current) {
    ['http', 'https'].forEach(function (name) {
      var module = require(name), original = module.request;
      function request() {
        var context = current.getStore();
        if (context === undefined) return original.apply(this, arguments);
        var args = arguments;
        args = attempt('listed headers', function () { return withListedHeader(args, context); }) || arguments;
        var made = original.apply(this, args);
        attempt('a call', function () {
          if (!made.headersSent && !made.hasHeader(HEADER)) made.setHeader(HEADER, context);
        });
        return made;
      }
      function get() {
        var made = request.apply(this, arguments);
        made.end();
        return made;
      }
      module.request = request;
      module.get = get;
    });
  }

  // fetch, and undici as a package: they say on a channel what they are about to send.
  function callUndici(current) {
    var channel = require('diagnostics_channel').channel('undici:request:create');
    channel.subscribe(function (message) {
      var context = current.getStore();
      if (context === undefined) return;
      attempt('fetch', function () {
        var request = message.request, headers = request.headers;
        var names = Array.isArray(headers)
          ? headers.filter(function (_, index) { return index % 2 === 0; })
          : String(headers || '').split('\r\n').map(function (line) { return line.split(':')[0]; });
        if (names.some(isHeader)) return;
        var add = request.addHeader;
        add.call(request, HEADER, context);
        // Somebody who traces for the application may come after us on the same channel: the word is theirs.
        request.addHeader = function (name) {
          if (isHeader(name)) attempt('fetch', function () { take(request); });
          return add.apply(request, arguments);
        };
      });
    });

    function take(request) {
      var headers = request.headers;
      if (!Array.isArray(headers)) {
        request.headers = headers.split('\r\n').filter(function (line) { return !isHeader(line.split(':')[0]); }).join('\r\n');
        return;
      }
      for (var at = headers.length - 2; at >= 0; at -= 2) if (isHeader(headers[at])) headers.splice(at, 2);
    }
  }

  // ---- HTTP/2, both ways: its classes are not exported, so what its functions make is changed.

  function http2(current) {
    var module = require('http2');
    ['createServer', 'createSecureServer'].forEach(function (name) {
      var original = module[name];
      module[name] = function () {
        var server = original.apply(this, arguments);
        attempt('an HTTP/2 server', function () { serveHttp2(current, server); });
        return server;
      };
    });
    var connect = module.connect;
    module.connect = function () {
      var session = connect.apply(this, arguments);
      attempt('an HTTP/2 client', function () { callHttp2(current, session); });
      return session;
    };
  }

  function serveHttp2(current, server) {
    var emit = server.emit;
    Object.defineProperty(server, 'emit', {
      configurable: true,
      writable: true,
      value: function (event, stream, headers) {
        var self = this, args = arguments;
        if (event !== 'stream' && event !== 'request') return emit.apply(self, args);
        var context = attempt('a stream', function () {
          if (event === 'request') return stream.headers[HEADER];
          if (headers[HEADER] !== undefined) within(current, headers[HEADER], stream);
          return headers[HEADER];
        });
        return current.run(context, function () { return emit.apply(self, args); });
      },
    });
  }

  function callHttp2(current, session) {
    var request = session.request;
    session.request = function (headers) {
      var context = current.getStore(), args = arguments;
      if (context !== undefined) {
        args = attempt('an HTTP/2 call', function () {
          var changed = Array.prototype.slice.call(args);
          if (Array.isArray(headers)) {
            if (headers.some(isHeader)) return args;
            changed[0] = headers.concat([HEADER, context]);
          } else {
            if (Object.keys(headers || {}).some(isHeader)) return args;
            changed[0] = Object.assign({}, headers);
            changed[0][HEADER] = context;
          }
          return changed;
        }) || args;
      }
      return request.apply(this, args);
    };
  }
})();
