# A shard in an image: `docker build -t rtp .`, then see docs/operations.md, "In a container".
#
# The first stage compiles the wheel, the second holds an interpreter, the locked packages and the wheel. No compiler,
# no torch, no browser. Versions are arguments so that a mirror or a newer base needs no edit here.
ARG PYTHON_VERSION=3.13
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-bookworm AS rust

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
# hnswlib is compiled here and runs elsewhere: not for this machine's processor alone.
ENV PATH=/usr/local/cargo/bin:$PATH CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup \
    HNSWLIB_NO_NATIVE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements/ requirements/
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
    && python -m venv /opt/rtp && /opt/rtp/bin/pip install --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY native/ native/
COPY rtp_monolith/ rtp_monolith/
RUN /opt/build/bin/maturin build --release --locked --strip --interpreter /opt/rtp/bin/python --out dist \
    && /opt/rtp/bin/pip install --no-deps dist/*.whl \
    && /opt/rtp/bin/python -m pip uninstall --yes pip

FROM python:${PYTHON_VERSION}-slim-bookworm
RUN groupadd --gid 10001 rtp && useradd --uid 10001 --gid rtp --no-create-home --shell /usr/sbin/nologin rtp \
    && install -d -o rtp -g rtp -m 0750 /data && install -d -m 0755 /etc/rtp
COPY --from=build /opt/rtp /opt/rtp
ENV PATH=/opt/rtp/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER rtp
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=2).close()"]
# Outside loopback a shard refuses to start without a key, so the configuration is mounted, never built in.
ENTRYPOINT ["rtp"]
CMD ["serve", "--data", "/data", "--host", "0.0.0.0", "--port", "8000", "--config", "/etc/rtp/rtp.toml"]
