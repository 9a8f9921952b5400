"""What is measured: each function writes its configuration into the folder it is given and returns the command line."""

import json


def direct(_args, _ports, _folder):
    return None


def haproxy(_args, ports, folder):
    config = folder / "haproxy.cfg"
    config.write_text(
        f"global\n  nbthread 1\n\n"
        f"defaults\n  mode http\n  http-reuse always\n"
        f"  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\n"
        f"frontend callers\n  bind 127.0.0.1:{ports['proxy']}\n  default_backend application\n\n"
        f"backend application\n  server nginx 127.0.0.1:{ports['backend']}\n"
    )
    return ["haproxy", "-db", "-f", config]


def envoy(args, ports, folder, tracing=None):
    api = "type.googleapis.com/envoy"

    def cluster(name, port, **more):
        endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        return {
            "name": name,
            "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
            **more,
        }

    clusters = [cluster("application", ports["backend"])]
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
        http2 = {
            "@type": f"{api}.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
        options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2}
        clusters.append(cluster("sink", ports["sink"], typed_extension_protocol_options=options))
    listener = {
        "name": "inbound",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": ports["proxy"]}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    config = folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}, indent=1))
    # The hot-restart sockets would keep two runs on one machine apart only by a number that both leave at 0.
    return [args.envoy, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c", config]


def envoy_otlp(args, ports, folder):
    return envoy(args, ports, folder, tracing=True)


def raceway(args, ports, _folder, *more):
    carries = f"127.0.0.1:{ports['proxy']}=127.0.0.1:{ports['backend']}"
    reports = f"http://127.0.0.1:{ports['sink']}"
    command = [args.proxy, "--service", "bench", "--inbound", carries, "--analyzer", reports]
    return [*command, "--admin", "off", "--log-level", "warn", *more]


def raceway_unsampled(args, ports, folder):
    return raceway(args, ports, folder, "--sample", "0")


# name: (the tool it needs, spans for each request, command line, what the table calls it)
SUBJECTS = {
    "direct": (None, 0, direct, "no proxy"),
    "haproxy": ("haproxy", 0, haproxy, "HAProxy, no tracing"),
    "envoy": ("envoy", 0, envoy, "Envoy, no tracing"),
    "envoy-otlp": ("envoy", 1, envoy_otlp, "Envoy, OTLP 100 %"),
    "raceway": ("raceway", 1, raceway, "Raceway, spans 100 %, clocks"),
    "raceway-sample-0": ("raceway", 0, raceway_unsampled, "Raceway, `--sample 0`"),
}
