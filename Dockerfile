# Two images: the service (the default, built last) and its stand-in upstream (`--target simulator`).
# Their Python is one for which every locked package has a wheel: see `make wheels`.
# `make base-digest` pins the base to what its registry has now.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS builder
COPY requirements.lock requirements-otel.lock pyproject.toml deploy/dist_info.py /locks/
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes \
        -r /locks/requirements.lock -r /locks/requirements-otel.lock \
    && /venv/bin/python /locks/dist_info.py /locks/pyproject.toml \
    && /venv/bin/pip uninstall --yes --quiet pip

FROM ${BASE} AS builder-simulator
COPY requirements-simulator.lock /locks/
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes \
        -r /locks/requirements-simulator.lock \
    && /venv/bin/pip uninstall --yes --quiet pip

FROM ${BASE} AS runtime
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /srv
STOPSIGNAL SIGTERM

FROM runtime AS simulator
COPY --from=builder-simulator /venv /venv
COPY simulator /srv/simulator
USER 10001:10001
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 9000, timeout=2); c.request('GET', '/gallery/'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "simulator", "--host", "0.0.0.0", "--port", "9000"]

FROM runtime AS service
LABEL org.opencontainers.image.title=imagesearch-proxy \
      org.opencontainers.image.description="Search by image for frontend apps: a streaming proxy in front of DashScope" \
      org.opencontainers.image.licenses=MIT \
      org.opencontainers.image.version=0.2.0
# A process whose program its user may not read is not dumpable (proc(5)): the processes that decode
# pictures cannot read the service's memory or environment, although they have the same user.
RUN chmod 0711 "$(readlink -f "$(command -v python)")"
COPY --from=builder /venv /venv
COPY app /srv/app
USER 10001:10001
# Uploads of megabytes go back to the system when they are done with.
ENV HOST=0.0.0.0 \
    PORT=8000 \
    MALLOC_MMAP_THRESHOLD_=1048576
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app"]
