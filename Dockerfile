# The agent in a small image. Build: docker build -t remora .
# Run: see examples/jaeger/compose.yaml for what it must be granted.
ARG BUILDER=debian:12-slim
# Only the C library and CA certificates; no shell.
ARG RUNTIME=gcr.io/distroless/cc-debian12

FROM ${BUILDER} AS build
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends binutils ca-certificates curl gcc libc6-dev make
WORKDIR /src
COPY . .
RUN make build && strip target/release/remora

FROM ${RUNTIME}
COPY --from=build /src/target/release/remora /usr/local/bin/remora
COPY --from=build /src/LICENSE /usr/share/doc/remora/LICENSE
ENTRYPOINT ["/usr/local/bin/remora"]
CMD ["run"]
