//! Where python-tuf and this project differ, and must: each side asserted, so that a change shows.

use serde_json::json;
use waxseal_testkit::keys::TestKey;
use waxseal_testkit::simulator::{Simulator, signature};
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::{Paths, RoleKeys};
use waxseal_tuf::{Error, KeyId, Signer as _};

use super::ask;
use super::ours::{Ours, found, write};

/// Targets delegates everything to `roles` roles, of which the last one lists `f`.
fn delegating_to(roles: u32) -> Simulator {
    let mut simulator = Simulator::new();
    for role in 1..=roles {
        let everything = Paths::Patterns(vec!["*".to_owned()]);
        simulator.delegate("targets", &format!("role-{role}"), everything, false);
    }
    let last = format!("role-{roles}");
    simulator.add_target(&last, "f", b"content");
    simulator.publish_targets(&last);
    simulator.publish_targets("targets");
    simulator
}

/// One role more than the limit: python-tuf says that there is no such target, and we that there
/// were too many roles, since an answer that was not looked for is none.
#[test]
fn as_many_delegations_are_visited_as_by_python_tuf() {
    let simulators = [32, 33].map(delegating_to);
    let folders = simulators.each_ref().map(|_| tempfile::tempdir().unwrap());
    let cases = [0, 1].map(|i| {
        write(&simulators[i], folders[i].path());
        json!({"folder": folders[i].path(), "present": [], "absent": ["f"]}).to_string()
    });
    let answers = ask("python_tuf_reads.py", &cases, &[]);
    let [within, beyond] = folders.map(|folder| Ours::refreshed(folder.path()).unwrap().find("f"));
    assert_eq!(answers[0]["found"]["f"], found(&within.unwrap().unwrap()));
    assert_eq!(answers[1]["found"]["f"], json!(null));
    let what = "delegated roles in one search";
    assert_eq!(beyond, Err(Error::TooMany { what, limit: 32 }));
}

/// One key counts once, also under two keyids (CVE-2020-15093); python-tuf counts keyids.
#[test]
fn a_key_under_two_keyids_counts_once_here() {
    let mut simulator = Simulator::new();
    let (key, other) = (TestKey::new("targets"), KeyId::new("other"));
    simulator.root.keys.insert(other.clone(), key.public_key().clone());
    simulator.root.roles.targets = RoleKeys { keyids: vec![key.keyid(), other], threshold: 2 };
    simulator.publish_root();
    simulator.edit("1.targets.json", |file| {
        let Value::Object(object) = &mut *file else { unreachable!() };
        let signed = object.get("signed").unwrap();
        let signatures =
            [key.keyid().as_str(), "other"].map(|keyid| signature(signed, &key, keyid));
        object.insert("signatures", signatures.to_vec());
    });
    let folder = tempfile::tempdir().unwrap();
    write(&simulator, folder.path());
    let case = json!({"folder": folder.path(), "present": [], "absent": ["f"]}).to_string();
    assert_eq!(ask("python_tuf_reads.py", &[case], &[])[0]["found"]["f"], json!(null));
    let refused = Ours::refreshed(folder.path()).err().unwrap();
    assert!(matches!(refused, Error::Signatures { threshold: 2, valid: 1, .. }), "{refused}");
}
