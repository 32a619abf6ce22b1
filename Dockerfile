# The gateway in a container: one program, no shell, no root.
#
#     docker build -t webhook-assets .
#     docker run --rm -p 8080:8080 -p 8081:8081 webhook-assets demo    # a sample call; --read-only works too
#     docker run --rm -v webhook-assets-keys:/etc/webhook-assets webhook-assets \
#         keys new --keys /etc/webhook-assets/keys.json
#     docker run -p 8080:8080 -v webhook-assets-keys:/etc/webhook-assets:ro -v /srv/assets:/srv/assets:ro \
#         -v webhook-assets-data:/var/lib/webhook-assets \
#         -e WEBHOOK_ASSETS_PUBLIC_URL=https://app.example.com/api -e WEBHOOK_ASSETS_STORE=file:///srv/assets \
#         -e WEBHOOK_ASSETS_KEYS=/etc/webhook-assets/keys.json webhook-assets
#
# It runs as user 65532, which must be able to read the mounted files: the keyring (chown 65532) and the objects.

# The whole name: Debian's Podman and Buildah know no registry for a short one.
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /build

# The dependencies first, with an empty program: Docker rebuilds this layer only when one of them changes.
COPY Cargo.toml Cargo.lock ./
COPY packages/rust/Cargo.toml packages/rust/Cargo.toml
COPY deploy/dist deploy/dist
RUN mkdir src packages/rust/src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs packages/rust/src/lib.rs \
    && bash deploy/dist \
    && rm -r src packages/rust/src

COPY askama.toml ./
COPY src src
COPY packages/rust/README.md packages/rust/README.md
COPY packages/rust/src packages/rust/src
# The admin API's description is served by the program.
COPY docs/openapi.json docs/openapi.json
# The settings page shows the receivers of the documents.
COPY docs/receivers.md docs/receivers-in-more-languages.md docs/
COPY examples/receiver.py examples/receiver.py
# The sample call is part of the program.
COPY fixtures/recordings fixtures/recordings
COPY fixtures/transcripts fixtures/transcripts
# Cargo compares times, and the copies may be older than the empty program.
RUN find src packages -name '*.rs' -exec touch {} + \
    && bash deploy/dist \
    && mkdir /empty

# glibc, libgcc and the certificate authorities, and nothing else; the user is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/dist/webhook-assets /usr/local/bin/webhook-assets
# A volume mounted here for the first time belongs to the user, so that `keys new` can write.
COPY --from=build --chown=65532:65532 /empty /etc/webhook-assets
# The folder of the webhooks' database, unless WEBHOOK_ASSETS_DATABASE names another: keep it in a volume.
COPY --from=build --chown=65532:65532 /empty /var/lib/webhook-assets
WORKDIR /var/lib/webhook-assets

# Loopback would be the container's own. Nothing else is set here: variables take precedence over a settings file.
ENV WEBHOOK_ASSETS_LISTEN=0.0.0.0:8080
EXPOSE 8080
USER 65532:65532

# The program checks its own admin listener, on loopback inside the container.
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["webhook-assets", "health"]
# The first signal lets downloads finish (server.drain_timeout, 30 s): give `docker stop` --time 35.
STOPSIGNAL SIGTERM
ENTRYPOINT ["webhook-assets"]
CMD ["serve"]
