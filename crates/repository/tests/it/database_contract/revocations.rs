//! What is revoked, and readmitted.

use waxseal_repository::database::{
    Appended, AppendedRevocation, CatalogChange, Database, Entry, Revocable, RevokeEntry,
};

use super::{Place, change, decision, reservation, time, upload};

pub(super) const PROJECT: &str = "flask";

pub(super) fn file(filename: &str) -> Revocable {
    let identity = filename.parse::<waxseal_index::DistributionFilename>().unwrap().identity();
    Revocable::File { filename: filename.to_owned(), identity }
}

pub(super) fn project(name: &str) -> Revocable {
    Revocable::Project { name: name.to_owned() }
}

fn append(database: &dyn Database, filename: &str) -> Appended {
    let identity = filename.parse::<waxseal_index::DistributionFilename>().unwrap().identity();
    database.append_upload(&upload(filename, filename.as_bytes()), &identity).unwrap()
}

fn entry(projects: &[&str], files: &[&str], reason: &str) -> RevokeEntry {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    RevokeEntry { projects: owned(projects), files: owned(files), reason: reason.to_owned() }
}

pub(super) fn what_is_revoked_is_an_entry_and_takes_no_upload(place: &Place) {
    let database = place.open();
    append(&*database, "flask-1.tar.gz");
    append(&*database, "flask-2.tar.gz");
    let first = file("flask-1.tar.gz");
    // One that nobody knows keeps all of it from being recorded.
    for unknown in [file("flask-9.tar.gz"), project("numpy")] {
        let name = unknown.name().to_owned();
        let refused = database.append_revocation(&[first.clone(), unknown], "x").unwrap();
        assert_eq!(refused, AppendedRevocation::Unknown(vec![name]));
    }
    assert_eq!(database.last_serial().unwrap(), 2);

    let revoked =
        database.append_revocation(std::slice::from_ref(&first), "because \"é\"\n").unwrap();
    let expected = entry(&[], &["flask-1.tar.gz"], "because \"é\"\n");
    let new = AppendedRevocation::New { serial: 3, entry: expected.clone(), before: Vec::new() };
    assert_eq!(revoked, new);
    drop(database);
    let database = place.open();
    let row = database.waiting(2, 10).unwrap().pop().unwrap();
    assert_eq!((row.serial, row.entry), (3, Entry::Revoke(expected)));
    let Appended::Revoked(revocation) = append(&*database, "flask-1.tar.gz") else { panic!() };
    assert_eq!((revocation.serial, revocation.revoked_at), (3, row.recorded_at));
    assert_eq!((&*revocation.name, revocation.is_project), ("flask-1.tar.gz", false));
    assert_eq!(revocation.reason, "because \"é\"\n");
    assert_eq!(database.revocations().unwrap(), std::slice::from_ref(&revocation));
    assert_eq!(append(&*database, "flask-2.tar.gz"), Appended::Same(2));

    // With its project goes what is left, and the reason of before stands.
    let both = [first, project(PROJECT)];
    let revoked = database.append_revocation(&both, "all of it").unwrap();
    let expected = entry(&[PROJECT], &["flask-2.tar.gz"], "all of it");
    let new = AppendedRevocation::New { serial: 4, entry: expected, before: vec![revocation] };
    assert_eq!(revoked, new);
    assert!(matches!(append(&*database, "flask-3.tar.gz"), Appended::Revoked(it) if it.is_project));
    let again = database.append_revocation(&both, "once more").unwrap();
    let AppendedRevocation::Nothing { before } = again else { panic!("{again:?}") };
    assert_eq!(before.iter().map(|it| it.serial).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(database.last_serial().unwrap(), 4);
}

pub(super) fn what_is_readmitted_comes_with_the_bytes_it_had(place: &Place) {
    let database = place.open();
    append(&*database, "flask-1.tar.gz");
    append(&*database, "flask-2.tar.gz");
    database.append_revocation(&[file("flask-2.tar.gz")], "broken").unwrap();
    database.append_revocation(&[project(PROJECT)], "all of it").unwrap();
    let readmit = || database.append_readmission(&[project(PROJECT)], "a false alarm").unwrap();
    // Only what went with it.
    let expected = entry(&[PROJECT], &["flask-1.tar.gz"], "a false alarm");
    let new = AppendedRevocation::New { serial: 5, entry: expected.clone(), before: Vec::new() };
    assert_eq!(readmit(), new);
    assert_eq!(readmit(), AppendedRevocation::Nothing { before: Vec::new() });
    assert_eq!(database.waiting(4, 10).unwrap().pop().unwrap().entry, Entry::Readmit(expected));

    let identity =
        "flask-1.tar.gz".parse::<waxseal_index::DistributionFilename>().unwrap().identity();
    assert_eq!(database.claimed(&identity).unwrap(), None);
    let other = database.append_upload(&upload("flask-1.tar.gz", b"other"), &identity).unwrap();
    assert!(matches!(other, Appended::Taken { serial: 1, .. }), "{other:?}");
    assert_eq!(append(&*database, "flask-1.tar.gz"), Appended::New(6));
    assert_eq!(append(&*database, "flask-1.tar.gz"), Appended::Same(6));
    assert!(matches!(append(&*database, "flask-2.tar.gz"), Appended::Revoked(_)));
}

pub(super) fn a_project_of_which_nothing_is_left_is_on_no_list(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    let publish = |version, change: &CatalogChange| {
        database.reserve(epoch, &reservation(version), &[]).unwrap();
        database.decide(epoch, change, &decision(version)).unwrap();
        database.finish(epoch, &decision(version), time(7)).unwrap();
    };
    publish(1, &change(1));
    let mut row = change(1).projects.remove(0);
    (row.empty, row.last_serial) = (true, 9);
    let removed = change(1).files.into_iter().map(|file| (file.project, file.filename)).collect();
    let gone = CatalogChange { projects: vec![row.clone()], removed, ..CatalogChange::default() };
    publish(2, &gone);
    assert_eq!(database.project_files(PROJECT).unwrap(), []);
    assert_eq!(database.project_names().unwrap(), [""; 0]);
    assert_eq!(place.open().project(PROJECT).unwrap(), Some(row));
}
