# warmupd in a container:  docker build -t warmupd .
#
#   docker run -p 3000:3000 -v warmupd:/var/lib/warmupd -e DATABASE_URL=postgresql://... warmupd
#
# Without DATABASE_URL it runs a Postgres of its own in the volume. tests/packaging/chroot.py does by hand, in a Debian
# of the same release, what this file says: change it here, and the trial follows.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY sql ./sql
COPY warmupd ./warmupd
RUN python3 -m venv /opt/warmupd \
    && /opt/warmupd/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt '.[demo]' \
    && /opt/warmupd/bin/pip uninstall --yes --quiet pip setuptools

FROM python:${PYTHON}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="warmupd" \
      org.opencontainers.image.description="E-mail warmup daemon" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="GPL-3.0-or-later"
RUN groupadd --system --gid 10001 warmupd \
    && useradd --system --uid 10001 --gid warmupd --home-dir /var/lib/warmupd --shell /usr/sbin/nologin warmupd \
    && install -d -o warmupd -g warmupd -m 0700 /var/lib/warmupd
COPY --from=build /opt/warmupd /opt/warmupd
# Each container has ports of its own, so that every worker listens on the same one; outside, so that /metrics asks for
# the scrape token.
ENV PATH=/opt/warmupd/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/warmupd \
    PYTHONDONTWRITEBYTECODE=1 \
    WARMUP_DATABASE__DATA_DIR=/var/lib/warmupd \
    WARMUP_HTTP__LISTEN=0.0.0.0:3000 \
    WARMUP_HTTP__SAME_PORT=true
WORKDIR /var/lib/warmupd
VOLUME ["/var/lib/warmupd"]
EXPOSE 3000
USER 10001:10001
# It drains: give it seven minutes, docker stop -t 420.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-I", "-m", "warmupd.cli.healthcheck"]
ENTRYPOINT ["warmupd"]
CMD ["run", "--init"]
