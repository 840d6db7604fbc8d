# Corral in one image of about 240 MB: Debian's base (80), Node without its symbols (116), what production needs of the packages (43) and Corral (3).
# Other bases: --build-arg NODE_IMAGE=… (Node 22.23.2 or newer, on Debian) and --build-arg BASE_IMAGE=… (the same Debian).
ARG NODE_IMAGE=node:26-trixie-slim
ARG BASE_IMAGE=debian:trixie-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No install script is needed: the Node that builds and runs is the image's own. What no program reads at run time stays out.
RUN npm ci --omit=dev --ignore-scripts \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' -o -name '*.md' \) ! -iname 'licen*' -delete

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY scripts ./scripts
COPY src ./src
RUN node scripts/build.ts

FROM ${NODE_IMAGE} AS node
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
# Besides its own binary, Node wants the library of atomic operations where the base has none.
RUN mkdir -p /node/bin /node/lib && strip --strip-all -o /node/bin/node "$(command -v node)" \
  && ldd "$(command -v node)" | awk '/libatomic|libstdc/ { print $3 }' | xargs -r -I{} cp -L {} /node/lib/

FROM ${BASE_IMAGE}
COPY --from=node /node/bin/node /usr/local/bin/node
COPY --from=node /node/lib/ /usr/local/lib/
RUN ldconfig && groupadd --gid 1000 node && useradd --uid 1000 --gid node --create-home --shell /usr/sbin/nologin node
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY config ./config
COPY deploy ./deploy
COPY docs ./docs
COPY --from=build /app/dist ./dist
# By number, so that runAsNonRoot can tell. Nothing below /app is written: a read-only root file system works.
USER 1000:1000
ENV HOME=/home/node
EXPOSE 11435
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["node", "dist/main.js", "health", "--pid", "1"]
# A container's own loopback is reachable by nobody, so the listener binds every address. In open mode it refuses that
# until the operator says that it is meant (CORRAL_HTTP__INSECURE_NO_AUTH=true -p 127.0.0.1:11435:11435); with CORRAL_IDENTITY__MODE=keys it asks for keys.
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve", "--host", "0.0.0.0"]
