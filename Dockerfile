# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the build: the next one compiles what has changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p trunkline && cp target/release/trunkline /usr/local/bin/

FROM debian:bookworm-slim
# The certificates are what `sslmode=verify-full` trusts when the URL names no others.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/trunkline trunkline
COPY --from=build /usr/local/bin/trunkline /usr/local/bin/
USER 10001
# Without DATABASE_URL the SQLite file is here.
WORKDIR /var/lib/trunkline
VOLUME /var/lib/trunkline
# Beyond loopback, so API_KEYS has to be set, or it refuses to start.
ENV API_BIND=0.0.0.0:8080
EXPOSE 8080
# bash speaks TCP: no client has to be installed for this.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["trunkline"]
