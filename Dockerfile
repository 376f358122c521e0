# The server as a container: locked packages, no root, data in /data.
FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv --without-pip /opt/mediconnect && python -m venv /opt/build

# The packages change seldom, the source often: two layers.
COPY requirements.lock requirements-build.lock ./
RUN pip --python /opt/mediconnect/bin/python install --require-hashes --only-binary :all: -r requirements.lock \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY fhir_server fhir_server
COPY loaders loaders
COPY profiles profiles
COPY smart_auth smart_auth
COPY terminology terminology
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/mediconnect/bin/python install --no-deps --no-index dist/*.whl

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="MediConnect" \
      org.opencontainers.image.description="A FHIR R4 server" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 mediconnect \
    && useradd --uid 10001 --gid mediconnect --home-dir /data --no-create-home --shell /usr/sbin/nologin mediconnect \
    && install --directory --owner=mediconnect --group=mediconnect --mode=0700 /data
COPY --from=build /opt/mediconnect /opt/mediconnect
ENV PATH=/opt/mediconnect/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MEDICONNECT_HOST=0.0.0.0 \
    MEDICONNECT_PORT=8080 \
    MEDICONNECT_DATA_DIR=/data
WORKDIR /data
VOLUME /data
EXPOSE 8080
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['MEDICONNECT_PORT']}/health/ready\", timeout=4)"]
ENTRYPOINT ["mediconnect"]
CMD ["serve"]
