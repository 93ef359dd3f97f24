# Midwatch in a small image: the wheel and its locked, hashed requirements, run by a user without rights.
FROM python:3.11.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/midwatch \
    && /opt/midwatch/bin/pip install --quiet --require-hashes -r requirements.lock \
    && python -m pip install --quiet --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY detectors detectors
COPY triage triage
COPY costs costs
COPY stream stream
COPY evaluation evaluation
COPY dashboard dashboard
COPY scenarios scenarios
RUN python -m hatchling build -t wheel -d wheels \
    && /opt/midwatch/bin/pip install --quiet --no-deps --no-index wheels/*.whl

FROM python:3.11.11-slim-bookworm

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin midwatch
COPY --from=build /opt/midwatch /opt/midwatch
ENV PATH=/opt/midwatch/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER midwatch
WORKDIR /
EXPOSE 9460 9464
ENTRYPOINT ["midwatch"]
CMD ["run"]
