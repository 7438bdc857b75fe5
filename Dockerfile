# One image for every process of platefleet: workers, streams, cameras, jobs, and Ray's own nodes.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/platefleet
WORKDIR /src
COPY requirements.lock ./
# every package is checked against its hash; wheels only, so that nothing is compiled and no code of theirs runs here
RUN /opt/platefleet/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
COPY . .
# built by the locked setuptools, without a look at the registry
RUN /opt/platefleet/bin/pip install --no-deps --no-build-isolation --no-index . \
 && /opt/platefleet/bin/platefleet --version

FROM python:3.11-slim
LABEL org.opencontainers.image.title="platefleet" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 platefleet \
 && useradd --uid 10001 --gid 10001 --create-home platefleet \
 && install -d -o platefleet -g platefleet /data /drive
COPY --from=build /opt/platefleet /opt/platefleet
ENV PATH=/opt/platefleet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PLATEFLEET_DATA_DIR=/data \
    RAY_USAGE_STATS_ENABLED=0
USER 10001:10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["platefleet"]
CMD ["--help"]
# the long-running commands write this file when they serve (--ready-file); a job has ended before it is asked
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s --retries=3 CMD ["test", "-e", "/tmp/ready"]
