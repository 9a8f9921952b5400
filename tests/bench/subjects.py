"""What is measured: a command line, with its configuration written into the folder it is given, for each way of being used.

A way is `h1` (HTTP/1.1 on both sides), `h2c` (HTTP/2 without TLS), `tls` (HTTP/1.1, TLS towards the caller) or `tcp` (bytes).
A subject that does not offer a way, or not alike enough to compare, returns `None` for it.
"""

import dataclasses
import json
import typing


@dataclasses.dataclass(frozen=True)
class Subject:
    title: str
    command: typing.Callable
    # What has to be installed.
    tool: str | None = None
    # Spans for each request.
    spans: int = 0
    environment: typing.Callable = lambda ports: {}


def direct(_args, _ports, _folder, _way):
    return None


def haproxy(args, ports, folder, way):
    mode = "tcp" if way == "tcp" else "http"
    bind = {"h2c": " proto h2", "tls": f" ssl crt {args.certificate.both} alpn http/1.1"}.get(way, "")
    server = " proto h2" if way == "h2c" else ""
    reuse = "  http-reuse always\n" if mode == "http" else ""
    config = folder / "haproxy.cfg"
    config.write_text(
        f"global\n  nbthread 1\n\n"
        f"defaults\n  mode {mode}\n{reuse}"
        f"  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\n"
        f"frontend callers\n  bind 127.0.0.1:{ports['proxy']}{bind}\n  default_backend application\n\n"
        f"backend application\n  server nginx 127.0.0.1:{ports[backend(way)]}{server}\n"
    )
    return ["haproxy", "-db", "-f", config]


def nginx(args, ports, folder, way):
    # Towards the application it speaks HTTP/1.1 only, and its stream module is a package of its own.
    if way in ("h2c", "tcp"):
        return None
    tls = f" ssl; ssl_certificate {args.certificate.chain}; ssl_certificate_key {args.certificate.key}"
    temporary = "".join(
        f"  {module}_temp_path {folder}/proxy-{module};\n"
        for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx-proxy.conf"
    config.write_text(
        f"daemon off;\nworker_processes 1;\npid {folder}/nginx-proxy.pid;\nerror_log stderr warn;\n"
        "events { worker_connections 4096; }\n"
        f"http {{\n  access_log off;\n  keepalive_requests 1000000000;\n{temporary}"
        f"  upstream application {{ server 127.0.0.1:{ports['backend']}; keepalive 1024; keepalive_requests 1000000000; }}\n"
        f"  server {{\n    listen 127.0.0.1:{ports['proxy']}{tls if way == 'tls' else ''};\n"
        '    location / { proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection "";\n'
        "      proxy_buffering off; }\n  }\n}\n"
    )
    return ["nginx", "-e", "stderr", "-c", config]


def envoy(args, ports, folder, way, tracing=False):
    api = "type.googleapis.com/envoy"

    def cluster(name, port, http2):
        endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        options = {"@type": f"{api}.extensions.upstreams.http.v3.HttpProtocolOptions"}
        options["explicit_http_config"] = {"http2_protocol_options" if http2 else "http_protocol_options": {}}
        return {
            "name": name,
            "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        }

    clusters = [cluster("application", ports[backend(way)], http2=way == "h2c")]
    manager = {
        "@type": f"{api}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "everything",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "application"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{api}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    if tracing:
        manager["tracing"] = {
            "random_sampling": {"value": 100},
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    "@type": f"{api}.config.trace.v3.OpenTelemetryConfig",
                    "service_name": "bench",
                    "grpc_service": {"envoy_grpc": {"cluster_name": "sink"}},
                },
            },
        }
        clusters.append(cluster("sink", ports["sink"], http2=True))
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if way == "tcp":
        proxy = f"{api}.extensions.filters.network.tcp_proxy.v3.TcpProxy"
        tcp = {"@type": proxy, "stat_prefix": "inbound", "cluster": "application"}
        chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": tcp}]}
    if way == "tls":
        files = {"certificate_chain": args.certificate.chain, "private_key": args.certificate.key}
        certificate = {name: {"filename": str(path)} for name, path in files.items()}
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{api}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"tls_certificates": [certificate], "alpn_protocols": ["http/1.1"]},
            },
        }
    listener = {
        "name": "inbound",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": ports["proxy"]}},
        "filter_chains": [chain],
    }
    config = folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}, indent=1))
    # The hot-restart sockets would keep two runs on one machine apart only by a number that both leave at 0.
    return [args.envoy, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c", config]


def envoy_otlp(args, ports, folder, way):
    return None if way == "tcp" else envoy(args, ports, folder, way, tracing=True)


def caddy_otlp(args, ports, folder, way):
    if way == "tcp":
        return None
    scheme = "https" if way == "tls" else "http"
    tls = f"  tls {args.certificate.chain} {args.certificate.key}\n" if way == "tls" else ""
    where = f"h2c://127.0.0.1:{ports['backend_h2c']}" if way == "h2c" else f"127.0.0.1:{ports['backend']}"
    transport = "" if way == "h2c" else " {\n    transport http {\n      keepalive_idle_conns_per_host 2048\n    }\n  }"
    config = folder / "Caddyfile"
    config.write_text(
        "{\n  admin off\n  auto_https off\n  persist_config off\n  log {\n    level WARN\n  }\n"
        "  servers {\n    protocols h1 h2c\n  }\n}\n"
        f"{scheme}://127.0.0.1:{ports['proxy']} {{\n{tls}  tracing {{\n    span bench\n  }}\n"
        f"  reverse_proxy {where}{transport}\n}}\n"
    )
    return [args.caddy, "run", "--config", config, "--adapter", "caddyfile"]


def caddy_environment(ports):
    return {
        "GOMAXPROCS": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ports['sink']}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_SERVICE_NAME": "bench",
        "OTEL_TRACES_SAMPLER": "always_on",
        "HOME": "/nonexistent",
    }


def raceway(args, ports, _folder, way, *more):
    if way == "tls":
        more = (*more, "--inbound-tls-cert", args.certificate.chain, "--inbound-tls-key", args.certificate.key)
    carries = f"127.0.0.1:{ports['proxy']}=127.0.0.1:{ports[backend(way)]}"
    reports = f"http://127.0.0.1:{ports['sink']}"
    command = [args.proxy, "--service", "bench", "--inbound", carries, "--analyzer", reports]
    return [*command, "--admin", "off", "--log-level", "warn", *more]


def raceway_unsampled(args, ports, folder, way):
    return raceway(args, ports, folder, way, "--sample", "0")


def backend(way):
    """Which port of the backend a way needs."""
    return {"h2c": "backend_h2c", "tcp": "backend_bytes"}.get(way, "backend")


SUBJECTS = {
    "direct": Subject("no proxy", direct),
    "haproxy": Subject("HAProxy, no tracing", haproxy, "haproxy"),
    "nginx": Subject("nginx, no tracing", nginx, "nginx"),
    "envoy": Subject("Envoy, no tracing", envoy, "envoy"),
    "envoy-otlp": Subject("Envoy, OTLP 100 %", envoy_otlp, "envoy", 1),
    "caddy-otlp": Subject("Caddy, OTLP 100 %", caddy_otlp, "caddy", 1, caddy_environment),
    "raceway": Subject("Raceway, spans 100 %, clocks", raceway, "raceway", 1),
    "raceway-sample-0": Subject("Raceway, `--sample 0`", raceway_unsampled, "raceway"),
}
