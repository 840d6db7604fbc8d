# Corral in one image. Build with another base by --build-arg IMAGE=…; Node must be 22.23.2 or newer.
ARG IMAGE=node:26-slim

FROM ${IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No install script is needed: the Node that builds and runs is the image's own.
RUN npm ci --omit=dev --ignore-scripts

FROM ${IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY scripts ./scripts
COPY src ./src
RUN node scripts/build.ts

FROM ${IMAGE}
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY config ./config
COPY --from=build /app/dist ./dist
# The image ships with this unprivileged user. Nothing below /app is written, so a read-only root file system works.
USER node
EXPOSE 11435
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["node", "dist/main.js", "health", "--pid", "1"]
# A container's own loopback is reachable by nobody, so the listener binds every address. In open mode it refuses that
# until the operator says that it is meant (CORRAL_HTTP__INSECURE_NO_AUTH=true -p 127.0.0.1:11435:11435); with CORRAL_IDENTITY__MODE=keys it asks for keys.
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve", "--host", "0.0.0.0"]
