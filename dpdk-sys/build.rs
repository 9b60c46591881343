//! Finds the distribution's libdpdk with pkg-config, generates its bindings, compiles the shim, links.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Buses, mempool drivers, poll-mode drivers and what these share. They register themselves in constructors that
/// nothing refers to, so that they must be linked whole.
const DRIVERS: &[&str] = &[
    "bus_pci",
    "bus_vdev",
    "bus_auxiliary",
    "common_iavf",
    "common_mlx5",
    "mempool_ring",
    "mempool_stack",
    "net_af_packet",
    "net_af_xdp",
    "net_bnxt",
    "net_e1000",
    "net_ena",
    "net_i40e",
    "net_iavf",
    "net_ice",
    "net_igc",
    "net_ixgbe",
    "net_memif",
    "net_mlx5",
    "net_null",
    "net_pcap",
    "net_ring",
    "net_tap",
    "net_vhost",
    "net_virtio",
    "net_vmxnet3",
];

/// The libraries under the drivers, users before used.
const LIBRARIES: &[&str] = &[
    "vhost",
    "stack",
    "security",
    "dmadev",
    "gso",
    "cryptodev",
    "timer",
    "hash",
    "pci",
    "ethdev",
    "meter",
    "net",
    "mbuf",
    "mempool",
    "rcu",
    "ring",
    "eal",
    "telemetry",
    "kvargs",
];

/// Other projects' libraries that the drivers above use; linked as shared libraries.
const FOREIGN: &[&str] = &["mlx5", "ibverbs", "xdp", "bpf", "pcap", "numa", "bsd", "m"];

/// What rvs itself calls, for shared linking.
const SHARED: &[&str] = &["ethdev", "mbuf", "mempool", "ring", "eal"];

const NOT_FOUND: &str = "\
libdpdk 22.11 was not found through pkg-config. On Debian 12: `apt-get install libdpdk-dev libclang-dev pkg-config`, \
or let `cargo xtask setup` install everything that rvs needs. \
If it is installed elsewhere, set PKG_CONFIG_PATH to the folder that holds libdpdk.pc.";

fn main() -> ExitCode {
    for path in ["build.rs", "wrapper.h", "shim.c"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for variable in ["PKG_CONFIG", "PKG_CONFIG_PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let Some((compiler_flags, library_folder)) = find() else {
        println!("cargo::error={NOT_FOUND}");
        return ExitCode::FAILURE;
    };
    generate(&compiler_flags);
    compile_shim(&compiler_flags);
    println!("cargo::rustc-link-search=native={library_folder}");
    if env::var_os("CARGO_FEATURE_SHARED").is_some() {
        link_shared();
    } else {
        link_static();
    }
    ExitCode::SUCCESS
}

/// The flags to compile against libdpdk 22.11, and the folder of its libraries.
fn find() -> Option<(Vec<String>, String)> {
    pkg_config(&["--exists", "libdpdk >= 22.11", "libdpdk < 23"])?;
    let flags = pkg_config(&["--cflags", "libdpdk"])?;
    let folder = pkg_config(&["--variable=libdir", "libdpdk"])?;
    Some((flags.split_whitespace().map(str::to_owned).collect(), folder.trim().to_owned()))
}

fn pkg_config(args: &[&str]) -> Option<String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
}

fn generate(compiler_flags: &[String]) {
    bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(compiler_flags)
        .use_core()
        .layout_tests(true)
        .derive_default(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .allowlist_function("rvs_.*")
        .allowlist_function("rte_eal_(init|cleanup)|rte_strerror|rte_version")
        .allowlist_function(
            "rte_get_main_lcore|rte_thread_(register|unregister|set_affinity)|rte_socket_count",
        )
        .allowlist_function("rte_eth_dev_(configure|start|stop|close|info_get|get_port_by_name|count_avail)")
        .allowlist_function("rte_eth_dev_(set_mtu|get_mtu|socket_id|is_valid_port|default_mac_addr_set)")
        .allowlist_function("rte_eth_(rx|tx)_queue_setup|rte_eth_(macaddr|stats|link)_get(_nowait)?")
        .allowlist_function("rte_eth_stats_reset|rte_eth_call_(rx|tx)_callbacks")
        .allowlist_function("rte_eth_(promiscuous|allmulticast)_(enable|disable|get)")
        .allowlist_function("rte_pktmbuf_(pool_create|free_bulk)|rte_mempool_(free|(in_use|avail)_count)")
        .allowlist_function("rte_ring_(create|free)")
        .allowlist_type("rte_eth_conf|rte_eth_dev_info|rte_eth_fp_ops|rte_eth_link|rte_eth_stats")
        .allowlist_type("rte_mbuf|rte_mempool|rte_ring|rte_ether_addr|rte_cpuset_t")
        .allowlist_type("rte_eth_(rx|tx)_mq_mode")
        .allowlist_var("rte_eth_fp_ops")
        .allowlist_var("RTE_(MAX_ETHPORTS|MAX_LCORE|PKTMBUF_HEADROOM)|RVS_.*")
        .allowlist_var("RTE_MEMPOOL_CACHE_MAX_SIZE|RING_F_(SP_ENQ|SC_DEQ|EXACT_SZ)|RTE_RING_SZ_MASK")
        .opaque_type(
            "rte_(ether|arp|ipv4|ipv6|tcp|udp|sctp|icmp|vxlan|gre|gtp|mpls|esp|l2tpv2|geneve|pppoe).*_hdr.*",
        )
        .opaque_type("rte_eth_dev_data|rte_eth_dev|rte_device|rte_intr_handle")
        .blocklist_type("rte_flow.*")
        .generate()
        .expect("bindgen understands libdpdk's headers")
        .write_to_file(out_dir().join("bindings.rs"))
        .expect("OUT_DIR is writable");
}

fn compile_shim(compiler_flags: &[String]) {
    let mut build = cc::Build::new();
    build.file("shim.c").opt_level(3).flag("-Wno-deprecated-declarations");
    for flag in compiler_flags {
        build.flag(flag);
    }
    build.compile("rvs_dpdk_shim");
}

/// Link modifiers and not `pkg-config --static`: its arguments neither reach the crates that depend on this one,
/// nor keep their order, on which `--whole-archive` rests.
fn link_static() {
    for name in DRIVERS {
        println!("cargo::rustc-link-lib=static:+whole-archive,-bundle=rte_{name}");
    }
    for name in LIBRARIES {
        println!("cargo::rustc-link-lib=static:-bundle=rte_{name}");
    }
    for name in FOREIGN {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
}

fn link_shared() {
    for name in SHARED {
        println!("cargo::rustc-link-lib=dylib=rte_{name}");
    }
}
