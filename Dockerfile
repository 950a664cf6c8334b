# Platform Kernel as one static file in an image made FROM scratch.
#
#   docker build -t platform-kernel .
#   docker run -p 8443:8443 -v platform-kernel:/data platform-kernel
#
#   docker build --target artefact --output dist .       the file alone, for people without Debian

ARG RUST_VERSION=1.95
ARG NODE_VERSION=22
ARG DEBIAN_VERSION=bookworm
# Where the file comes from: built here, or an image that holds /out/platform-kernel.
ARG BINARY=binary

# The console.
FROM node:${NODE_VERSION}-${DEBIAN_VERSION}-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc* ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

# libvips and its codecs as static libraries, and PostgreSQL as it is carried.
FROM rust:${RUST_VERSION}-${DEBIAN_VERSION} AS native
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      build-essential libclang-dev libssl-dev pkg-config python3 python3-venv zstd binutils ca-certificates
WORKDIR /src
ENV XDG_CACHE_HOME=/cache YES=1
COPY tools ./tools
COPY rust-toolchain.toml ./
RUN tools/static-libs.sh
RUN tools/with-python.sh tools/pack-postgres.sh /cache/platform-kernel/payload

FROM native AS binary
COPY . ./
COPY --from=web /src/web/dist ./web/dist
# The console is newer than its sources, also where its stage came out of the cache and they out of a fresh clone.
RUN touch web/dist/index.html && tools/build.sh --static && install -D dist/static/platform-kernel /out/platform-kernel

FROM ${BINARY} AS made

# For `docker build --output`.
FROM scratch AS artefact
COPY --from=made /out/platform-kernel /platform-kernel

FROM debian:${DEBIAN_VERSION}-slim AS folders
RUN install -d -o 10001 -g 10001 -m 0711 /out/data && install -d -m 1777 /out/tmp

FROM scratch
COPY --from=folders /out/ /
COPY --from=made /out/platform-kernel /platform-kernel
ENV KERNEL_DATA_DIR=/data GATEWAY_HOST=0.0.0.0
USER 10001:10001
VOLUME /data
EXPOSE 8443 8080 8081 50050
# The first one waits for the start, so that the container is healthy the moment it is.
HEALTHCHECK --interval=1s --timeout=5s --retries=3 CMD ["/platform-kernel", "health", "--wait", "3s"]
ENTRYPOINT ["/platform-kernel"]
