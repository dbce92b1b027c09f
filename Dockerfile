# An image with the program, its manual page and the default model, and nothing that only builds it.
#   docker build -t ocelli .
#   docker run --rm -v "$PWD:/data" -v ocelli-models:/models ocelli classify photo.jpg
FROM debian:bookworm AS build
WORKDIR /source
COPY tools/bootstrap tools/bootstrap
RUN tools/bootstrap
COPY . .
RUN tools/fetch-default-model \
 && cmake --preset release -DOCELLI_TESTS=OFF \
 && cmake --build build \
 && cmake --install build --prefix /opt/ocelli --strip \
 && tools/runtime-packages /opt/ocelli/bin/ocelli > /opt/packages

FROM debian:bookworm-slim
COPY --from=build /opt/packages /opt/packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates $(cat /opt/packages) \
 && rm -rf /var/lib/apt/lists/* /opt/packages
COPY --from=build /opt/ocelli/bin /usr/local/bin
COPY --from=build /opt/ocelli/share /usr/local/share
ENV HF_HOME=/models
WORKDIR /data
ENTRYPOINT ["ocelli"]
CMD ["--help"]
