# The daily loop. `just` alone lists the recipes.

_default:
    @just --list

# Everything that must hold before a commit: format, lints, tests of the crates.
check: fmt-check lint test-unit

# Formats Rust and the page.
fmt:
    cargo fmt --all

fmt-check:
    cargo fmt --all -- --check

# Lints with warnings as errors.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# The crates' own tests, without the end-to-end ones.
test-unit:
    cargo test --workspace --exclude raceway-tests

# All tests.
test:
    cargo test --workspace

# The page: types from the OpenAPI document, lint, unit tests, build.
ui:
    cd analyzer/ui && npm ci --no-audit --no-fund && npm run lint && npm test && npm run build

# Licences, sources and duplicate crates.
deny:
    cargo deny check bans licenses sources

# The HTTP/1 codec beside hyper, nginx and HAProxy for so many seconds.
differential seconds="60":
    RACEWAY_DIFFERENTIAL_SECONDS={{seconds}} cargo test -p raceway-proxy --test http1_differential -- --nocapture

# One fuzz target for so many seconds (nightly compiler and cargo-fuzz).
fuzz target seconds="60":
    cd tests/fuzz && cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}

# The demo for so many seconds.
demo seconds="10":
    cargo run --release -- demo --seconds {{seconds}}

# The proxy beside HAProxy and Envoy, side by side in one run.
bench *args:
    tests/bench/run {{args}}
