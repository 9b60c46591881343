# rvs in an image: `docker build -t rvs .`, then for a trial on a kernel interface
#   docker run --rm --network host --cap-add NET_ADMIN --cap-add NET_RAW --device /dev/net/tun \
#     -v /etc/rvs:/etc/rvs rvs
# A NIC bound to vfio also needs --device /dev/vfio, --cap-add IPC_LOCK and huge pages.

FROM debian:12 AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates curl gcc libc6-dev libclang-dev libdpdk-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY rust-toolchain.toml .
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs \
  | sh -s -- -y --profile minimal --default-toolchain none
ENV PATH=/root/.cargo/bin:$PATH
RUN rustup toolchain install
COPY . .
RUN cargo build --release --locked -p rvsd -p rvsctl

# DPDK itself is linked in; its drivers use these libraries of others.
FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ibverbs-providers iproute2 libbpf1 libbsd0 libibverbs1 libnuma1 libpcap0.8 libxdp1 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/rvsd /src/target/release/rvsctl /usr/bin/
COPY conf /usr/share/rvs/conf
RUN mkdir -p /run/rvs /etc/rvs /usr/share/man/man5 /usr/share/man/man8 \
 && rvsctl man rvsctl > /usr/share/man/man8/rvsctl.8 \
 && rvsctl man rvsd > /usr/share/man/man8/rvsd.8 \
 && rvsctl man rvsd.toml > /usr/share/man/man5/rvsd.toml.5
ENTRYPOINT ["/usr/bin/rvsd"]
CMD ["--config", "/etc/rvs/rvsd.toml"]
