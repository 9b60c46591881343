//! Synchronisation daemons come and go with the configuration.

use super::*;

fn running(fake: &Fake) -> Vec<String> {
    let daemons = fake.daemons.lock();
    daemons.iter().map(|daemon| format!("{} on {}", daemon.spec.role.name(), daemon.device)).collect()
}

fn flags(fake: &Fake) -> (bool, bool) {
    let sync = fake.last().settings.sync;
    (sync.master, sync.backup)
}

const MASTER: &str = r#"{"op":"sync_start","daemon":{"role":"master","interface":"ha0","id":7}}"#;
const BACKUP: &str = r#"{"op":"sync_start","daemon":{"role":"backup","interface":"wan"}}"#;

#[test]
fn daemons_are_started_and_stopped_and_last_in_the_configuration() {
    let (control, fake) = start();
    ask(&control, MASTER).unwrap();
    assert_eq!((running(&fake), flags(&fake)), (vec!["master on ha0".to_owned()], (true, false)));
    ask(&control, BACKUP).unwrap();
    assert_eq!(running(&fake), ["master on ha0", "backup on wan.host"], "a port's exception interface");
    assert_eq!(flags(&fake), (true, true));
    let Ok(Reply::Sync(view)) = ask(&control, r#"{"op":"sync_show"}"#) else { panic!("a view") };
    let shown: Vec<_> = view.daemons.iter().map(|d| (d.spec.interface.as_str(), d.device.as_str())).collect();
    assert_eq!(shown, [("ha0", "ha0"), ("wan", "wan.host")]);
    let text = to_toml(&control.config());
    assert_eq!(parse("again", &text).config.unwrap(), control.config());

    let again = ask(&control, MASTER).unwrap_err();
    assert_eq!(again.code, ErrorCode::Exists);
    ask(&control, r#"{"op":"sync_stop","role":"master"}"#).unwrap();
    assert_eq!((running(&fake), flags(&fake)), (vec!["backup on wan.host".to_owned()], (false, true)));
    let gone = ask(&control, r#"{"op":"sync_stop","role":"master"}"#).unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
}

#[test]
fn what_cannot_run_changes_nothing() {
    let (control, fake) = start();
    let start = |daemon: &str| format!(r#"{{"op":"sync_start","daemon":{daemon}}}"#);
    for (daemon, code, part) in [
        (r#"{"role":"master","interface":"nosuch"}"#, ErrorCode::NotFound, "no network interface 'nosuch'"),
        (r#"{"role":"master","interface":"lan"}"#, ErrorCode::Invalid, "no exception interface"),
        (r#"{"role":"master","interface":"x","group":"10.0.0.1"}"#, ErrorCode::Invalid, "multicast"),
        (r#"{"role":"master","interface":"x","ttl":0}"#, ErrorCode::Invalid, "no message"),
        (r#"{"role":"master","interface":"x","port":0}"#, ErrorCode::Invalid, "expected a port"),
    ] {
        let error = ask(&control, &start(daemon)).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(part), "{error}");
        assert!(running(&fake).is_empty() && control.config().sync.is_empty());
    }
}

#[test]
fn workers_that_do_not_switch_leave_the_daemons_as_they_were() {
    let (control, fake) = start();
    ask(&control, MASTER).unwrap();
    let before = running(&fake);
    fake.stuck_until.store(u64::MAX, Ordering::Relaxed);
    for request in [BACKUP, r#"{"op":"sync_stop","role":"master"}"#] {
        assert_eq!(ask(&control, request).unwrap_err().code, ErrorCode::Timeout);
        assert_eq!(running(&fake), before);
    }
    let other = to_toml(&control.config()).replace("id = 7\ngroup", "id = 8\ngroup");
    assert!(control.apply("other", &other).is_err());
    assert_eq!(running(&fake), before);
    assert_eq!(fake.daemons.lock()[0].spec.id, 7);
    fake.stuck_until.store(0, Ordering::Relaxed);
    control.apply("other", &other).unwrap();
    assert_eq!(fake.daemons.lock()[0].spec.id, 8);
    let broken = other.replace("interface = \"ha0\"", "interface = \"nosuch\"");
    assert!(control.apply("broken", &broken).is_err());
    assert_eq!((running(&fake), fake.daemons.lock()[0].spec.id), (before, 8), "it runs again as it was");
}

#[test]
fn the_file_says_what_runs_from_the_start() {
    let text = format!("{CONTRACT}\n[[sync]]\nrole = \"backup\"\ninterface = \"ha0\"\n");
    let (control, fake) = start_with(parse("contract.toml", &text).config.unwrap());
    assert_eq!(flags(&fake), (false, true));
    control.start_sync().unwrap();
    assert_eq!(running(&fake), ["backup on ha0"]);
    let two = format!("{text}\n[[sync]]\nrole = \"backup\"\ninterface = \"ha1\"\n");
    let parsed = parse("two", &two);
    assert!(parsed.config.is_none(), "{:?}", parsed.diagnostics);
}
