//! Uploads that are taken.

use std::sync::Arc;
use std::time::Duration;

use waxseal_repository::Stop;
use waxseal_server::Settings;

use crate::archives;
use crate::index::{Index, JSON, settings};

#[tokio::test]
async fn an_upload_can_be_installed_when_it_is_published() {
    let index = Index::new();
    let wheel = archives::wheel("Foo.Bar", "1.0", b"print()");
    let answer = index.upload(&index.form("Foo.Bar-1.0-py3-none-any.whl", &wheel)).await;
    answer.expect(200, "accepted as number 1 of the journal, and not published yet");
    index.get("/simple/foo-bar/").await.expect(404, "there is no project 'foo-bar'");
    let path = "/files/packages/foo-bar/Foo.Bar-1.0-py3-none-any.whl";
    index.get(path).await.expect(404, "nothing here");

    index.publish();
    let page = index.page("/simple/foo-bar/", JSON).await.expect(200, "");
    let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    let file = &page["files"][0];
    assert_eq!(file["filename"], "Foo.Bar-1.0-py3-none-any.whl");
    assert_eq!(file["requires-python"], ">=3.9");
    assert_eq!(file["size"], wheel.len());
    assert_eq!(index.get(path).await.body, wheel);
    let metadata = index.get(&format!("{path}.metadata")).await.expect(200, "Name: Foo.Bar");
    assert_eq!(metadata.headers["content-type"], "text/plain; charset=utf-8");
    index.get("/simple/").await.expect(200, "foo-bar");
}

#[tokio::test]
async fn the_answer_waits_until_the_upload_is_published() {
    let index = Index::with(Settings { publish_wait: Duration::from_mins(5), ..settings() });
    let stop = Stop::new(Arc::clone(&index.repository));
    let (process, stops) = (Arc::clone(&index.process), stop.clone());
    let running = tokio::task::spawn_blocking(move || process.run(&stops));
    let answer = index.upload(&index.wheel("foo", "1.0")).await;
    assert_eq!(answer.text(), "OK\n");
    index.page("/simple/foo/", JSON).await.expect(200, "foo-1.0");
    stop.request();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn source_distributions_are_taken() {
    let index = Index::publishing(&[("foo-1.0.tar.gz", &archives::sdist("foo", "1.0"))]).await;
    let file = index.get("/files/packages/foo/foo-1.0.tar.gz").await.expect(200, "");
    assert_eq!(file.headers["content-type"], "application/octet-stream");
    assert!(!file.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn fields_may_come_in_any_order() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    let count = form.fields.len();
    for turn in 0..count {
        let mut turned = form.clone();
        turned.fields.rotate_left(turn);
        let answer = index.upload(&turned).await.expect(200, "OK");
        assert!(answer.text().contains("number 1 of the journal"), "{turn}: {}", answer.text());
    }
    let mut reversed = form;
    reversed.fields.reverse();
    index.upload(&reversed).await.expect(200, "number 1 of the journal");
}

#[tokio::test]
async fn the_same_bytes_again_are_fine_and_change_nothing() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    index.upload(&form).await.expect(200, "OK");
    let before = index.contents();
    index.upload(&form).await.expect(200, "number 1 of the journal");
    index.publish();
    let published = index.contents();
    index.upload(&form).await.expect(200, "OK\n");
    assert_eq!(index.contents(), published);
    assert_ne!(before, published);
}

#[tokio::test]
async fn whatever_tools_send_besides_is_skipped() {
    let index = Index::new();
    let mut form = index.wheel("foo", "1.0");
    for number in 0..1000 {
        form.push("requires_dist", &format!("package-{number}"));
    }
    form.push("description", &"long ".repeat(1 << 20));
    form.push("gpg_signature", "-----BEGIN PGP SIGNATURE-----");
    form.push("attestations", "[{\"version\": 1}]");
    form.push("md5_digest", "");
    form.push("", "");
    form.fields.rotate_right(1000);
    index.upload(&form).await.expect(200, "OK");
}

#[tokio::test]
async fn every_digest_may_come_and_in_either_case() {
    let index = Index::new();
    let file = archives::sdist("foo", "1.0");
    let form = index.form("foo-1.0.tar.gz", &file);
    let sha256 = waxseal_tuf::hash::Sha256::of(&file).to_string().to_uppercase();
    let mut form = form.set("sha256_digest", &sha256);
    let hex = |digest: &[u8]| data_encoding::HEXLOWER.encode(digest);
    form.push("md5_digest", &hex(&<md5::Md5 as md5::Digest>::digest(&file)));
    let blake2 = <blake2::Blake2b256 as blake2::Digest>::digest(&file);
    form.push("blake2_256_digest", &hex(&blake2));
    index.upload(&form).await.expect(200, "OK");
}

#[tokio::test]
async fn the_form_may_spell_name_and_version_otherwise() {
    let index = Index::new();
    let wheel = archives::wheel("Foo.Bar", "1.0", b"");
    let form = index.form("Foo.Bar-1.0-py3-none-any.whl", &wheel);
    let form = form.set("name", "foo_bar").set("version", "1.0.0");
    index.upload(&form).await.expect(200, "OK");
}

#[tokio::test]
async fn one_of_many_with_other_bytes_wins() {
    let index = Index::new();
    let forms: Vec<_> = (0..8_u8)
        .map(|n| index.form("foo-1.0-py3-none-any.whl", &archives::wheel("foo", "1.0", &[n])))
        .collect();
    let answers = forms.iter().map(|form| index.upload(form));
    let answers = futures_util::future::join_all(answers).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    let lost = answers.iter().filter(|answer| answer.reason.starts_with("File already exists"));
    assert_eq!((won, lost.count()), (1, 7));
    assert_eq!(index.repository.database().last_serial().unwrap(), 1);
    index.publish();
    let winner = answers.iter().position(|answer| answer.status == 200).unwrap();
    let file = index.get("/files/packages/foo/foo-1.0-py3-none-any.whl").await.body;
    assert_eq!(file, forms[winner].fields.last().unwrap().bytes);
    assert!(!index.contents().has(".tmp"));
}

#[tokio::test]
async fn a_store_in_memory_does_as_well() {
    let index = Index::in_memory();
    index.upload(&index.wheel("foo", "1.0")).await.expect(200, "OK");
    index.publish();
    let path = "/files/packages/foo/foo-1.0-py3-none-any.whl";
    assert_eq!(index.get(path).await.body, archives::wheel("foo", "1.0", b""));
}
