# Two images from one file: `--target operator` (no torch) and `--target runner`.
# Nothing here needs BuildKit: docker, podman and buildah build it, also without a daemon (--isolation=chroot).
#
#   docker build --target operator -t wan-operator .
#   docker build --target runner -t wan-runner .
#
# BASE_IMAGE       Debian or Ubuntu with Python 3.11 or newer, its venv module and its headers. Pin it by digest.
# PIP_INDEX_URL    a package index of your own; it stays in the build stages
# PIP_CERT         a CA bundle for pip, mounted into the build: podman build -v /my/ca.crt:/ca.crt:ro --build-arg PIP_CERT=/ca.crt
# TORCH_INDEX_URL  a package index that offers CPU-only torch: the runner then holds no CUDA libraries
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS builder
RUN python3 -m venv /opt/build
ENV PATH=/opt/build/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# What each image needs, apart from our own code: a change of code then leaves the large layers as they are.
FROM builder AS requirements
COPY pyproject.toml ./
RUN python3 -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
    [open(name, "w").write("\n".join(project["dependencies"] + project["optional-dependencies"][name])) \
     for name in ("operator", "runner")]'

FROM builder AS wheel
ARG PIP_CERT
ARG PIP_INDEX_URL
COPY pyproject.toml README.md LICENSE ./
COPY wan_core wan_core
COPY operator operator
COPY runner runner
RUN pip wheel --quiet --no-deps --wheel-dir /dist .

FROM builder AS operator-environment
ARG PIP_CERT
ARG PIP_INDEX_URL
COPY constraints.txt ./
COPY --from=requirements /src/operator ./requirements.txt
RUN python3 -m venv --without-pip /opt/wan && pip --python /opt/wan/bin/python install --quiet -c constraints.txt -r requirements.txt

FROM operator-environment AS operator-code
COPY --from=wheel /dist /dist
RUN pip --python /opt/wan/bin/python install --quiet --no-deps --no-index --no-warn-script-location --root /code /dist/*.whl \
    && rm -r /code/opt/wan/bin/wan-runner /code/opt/wan/lib/python3*/site-packages/wan_runner

# The operator: reads the cluster, decides, writes. No torch, no compiler, nothing to write to.
FROM ${BASE_IMAGE} AS operator
COPY --from=operator-environment /opt/wan /opt/wan
COPY --from=operator-code /code /
# A numeric user, so that runAsNonRoot can be checked; HOME and USER, because that user is in no passwd file.
ENV PATH=/opt/wan/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp USER=wan LOGNAME=wan
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["wan-operator"]
ARG REVISION
LABEL org.opencontainers.image.title="wan-operator" \
      org.opencontainers.image.description="Video generation as a Kubernetes batch workload: the operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"

FROM builder AS runner-environment
ARG PIP_CERT
ARG PIP_INDEX_URL
ARG TORCH_INDEX_URL
COPY constraints.txt ./
COPY --from=requirements /src/runner ./requirements.txt
RUN python3 -m venv --without-pip /opt/wan \
    && if [ -n "$TORCH_INDEX_URL" ]; then \
         pip --python /opt/wan/bin/python install --quiet --index-url "$TORCH_INDEX_URL" "$(grep -E '^torch==' constraints.txt)"; fi \
    && pip --python /opt/wan/bin/python install --quiet -c constraints.txt -r requirements.txt

FROM runner-environment AS runner-code
COPY --from=wheel /dist /dist
RUN pip --python /opt/wan/bin/python install --quiet --no-deps --no-index --no-warn-script-location --root /code /dist/*.whl

# The runner: one attempt at one video. Triton compiles its launchers with a C compiler when it first runs.
FROM ${BASE_IMAGE} AS runner
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends gcc libc6-dev >/dev/null && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 /var/cache/wan \
    && python3 -c 'import os, sysconfig; header = sysconfig.get_path("include", "posix_prefix") + "/Python.h"; \
         os.path.exists(header) or exit(f"BASE_IMAGE lacks {header}: Triton needs it")'
COPY --from=runner-environment /opt/wan /opt/wan
COPY --from=runner-code /code /
# What is written goes to /tmp, an emptyDir of the pod; weights go to /var/cache/wan. The root may be read-only.
ENV PATH=/opt/wan/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp USER=wan LOGNAME=wan TMPDIR=/tmp \
    TRITON_CACHE_DIR=/tmp/triton TORCHINDUCTOR_CACHE_DIR=/tmp/inductor \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["wan-runner"]
ARG REVISION
LABEL org.opencontainers.image.title="wan-runner" \
      org.opencontainers.image.description="Video generation as a Kubernetes batch workload: the runner" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
