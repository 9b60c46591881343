//! A device that does not come up is an error that names it, and DPDK does not start twice.

mod common;

use dpdk::{Eal, EalError};

#[test]
fn a_missing_device_is_named() {
    let config = common::config(&["net_null0", "net_af_packet0,iface=no-such-iface"]);
    let error = Eal::init(config).unwrap_err();
    assert_eq!(error, EalError::DeviceMissing { device: "net_af_packet0".into() });
    assert!(error.to_string().starts_with("device 'net_af_packet0' has no port"), "{error}");
    assert_eq!(Eal::init(common::config(&[])).unwrap_err(), EalError::AlreadyStarted);
}
