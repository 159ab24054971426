#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn entry(filename: &str) -> FileEntry {
    FileEntry {
        filename: filename.parse().unwrap(),
        sha256: [0xab; 32],
        size: 42,
        upload_time: "2026-11-23T06:37:38Z".parse().unwrap(),
        requires_python: None,
        core_metadata_sha256: None,
        yanked: None,
    }
}

fn full_page() -> ProjectPage {
    let wheel = FileEntry {
        requires_python: Some(">=3.9,<4".into()),
        core_metadata_sha256: Some([0xcd; 32]),
        yanked: Some("broken on \"win\" & <mac>".into()),
        ..entry("Foo_Bar-1!1.10+cu118-py3-none-any.whl")
    };
    let unsaid = FileEntry { yanked: Some(String::new()), ..entry("foo_bar-1.9.tar.gz") };
    ProjectPage {
        name: "foo-bar".parse().unwrap(),
        last_serial: 7,
        files: vec![
            wheel,
            entry("foo_bar-1.10.tar.gz"),
            unsaid,
            entry("foo.bar-1.10-py3-none-any.whl"),
        ],
    }
}

fn list(names: &[&str]) -> ProjectList {
    ProjectList { names: names.iter().map(|name| name.parse().unwrap()).collect() }
}

#[test]
fn the_json_page_is_what_pypi_sends() {
    let page: Value = serde_json::from_slice(&full_page().to_json()).unwrap();
    assert_eq!(page["meta"], json!({"api-version": "1.1", "_last-serial": 7}));
    assert_eq!(page["name"], "foo-bar");
    assert_eq!(page["versions"], json!(["1.9", "1.10", "1!1.10+cu118"]));
    let files = page["files"].as_array().unwrap();
    let names: Vec<&str> = files.iter().map(|file| file["filename"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "foo_bar-1.9.tar.gz",
            "foo.bar-1.10-py3-none-any.whl",
            "foo_bar-1.10.tar.gz",
            "Foo_Bar-1!1.10+cu118-py3-none-any.whl",
        ]
    );
    assert_eq!(
        files[3],
        json!({
            "filename": "Foo_Bar-1!1.10+cu118-py3-none-any.whl",
            "url": "../../files/packages/foo-bar/Foo_Bar-1%211.10%2Bcu118-py3-none-any.whl",
            "hashes": {"sha256": "ab".repeat(32)},
            "size": 42,
            "upload-time": "2026-11-23T06:37:38.000000Z",
            "requires-python": ">=3.9,<4",
            "yanked": "broken on \"win\" & <mac>",
            "core-metadata": {"sha256": "cd".repeat(32)},
            "data-dist-info-metadata": {"sha256": "cd".repeat(32)},
        })
    );
    assert_eq!(files[0]["yanked"], true);
    assert_eq!(files[1]["yanked"], false);
    assert_eq!(files[1]["core-metadata"], false);
    assert_eq!(files[1].get("requires-python"), None);
}

#[test]
fn the_bytes_of_the_pages_are_fixed() {
    let page = full_page();
    insta::assert_snapshot!("project_json", String::from_utf8(page.to_json()).unwrap());
    insta::assert_snapshot!("project_html", String::from_utf8(page.to_html()).unwrap());
    let projects = list(&["zope-interface", "flask"]);
    insta::assert_snapshot!("list_json", String::from_utf8(projects.to_json()).unwrap());
    insta::assert_snapshot!("list_html", String::from_utf8(projects.to_html()).unwrap());
}

#[test]
fn markup_in_a_field_stays_text() {
    let attack = "\"><script>alert('x')</script>&amp;";
    let page = ProjectPage {
        files: vec![FileEntry {
            requires_python: Some(attack.into()),
            yanked: Some(attack.into()),
            ..entry("foo-1.0.tar.gz")
        }],
        ..full_page()
    };
    let html = String::from_utf8(page.to_html()).unwrap();
    assert!(!html.contains("<script") && !html.contains("'x'"), "{html}");
    assert!(html.contains("data-yanked=\"&quot;&gt;&lt;script&gt;alert(&#x27;x&#x27;)"), "{html}");
    assert!(html.contains("&amp;amp;"), "{html}");
}

#[test]
fn the_list_changes_only_with_the_projects() {
    assert_eq!(list(&["b", "a", "b"]).to_json(), list(&["a", "b"]).to_json());
    assert_eq!(list(&["b", "a"]).to_html(), list(&["a", "b"]).to_html());
    assert_ne!(list(&["a"]).to_json(), list(&["a", "b"]).to_json());
}

#[test]
fn an_empty_project_has_a_page() {
    let page = ProjectPage { files: Vec::new(), ..full_page() };
    let page: Value = serde_json::from_slice(&page.to_json()).unwrap();
    assert_eq!((&page["files"], &page["versions"]), (&json!([]), &json!([])));
}

#[test]
fn a_refusal_is_a_file_that_installers_choose_and_cannot_check() {
    let project = "foo-bar".parse().unwrap();
    let page = refusal_page(&project, "Rollback detected!");
    assert_eq!(page.filename, "foo_bar-99999999+waxseal.rollback.detected-py3-none-any.whl");
    let filename: DistributionFilename = page.filename.parse().unwrap();
    assert_eq!(filename.project(), &project);
    let json: Value = serde_json::from_slice(&page.json).unwrap();
    let url = "../../files/packages/foo-bar/\
               foo_bar-99999999%2Bwaxseal.rollback.detected-py3-none-any.whl";
    assert_eq!(json["files"], json!([{"filename": page.filename, "url": url, "hashes": {}}]));
    let html = String::from_utf8(page.html).unwrap();
    assert!(html.contains(&format!("<a href=\"{url}\">{}</a>", page.filename)), "{html}");
}

proptest! {
    #[test]
    fn any_reason_makes_a_valid_filename(reason in any::<String>()) {
        let page = refusal_page(&"a".parse().unwrap(), &reason);
        prop_assert!(page.filename.parse::<DistributionFilename>().is_ok(), "{}", page.filename);
    }

    #[test]
    fn the_order_of_the_files_does_not_matter(
        files in Just(full_page().files).prop_shuffle(),
    ) {
        let page = ProjectPage { files, ..full_page() };
        prop_assert_eq!(page.to_json(), full_page().to_json());
        prop_assert_eq!(page.to_html(), full_page().to_html());
    }

    #[test]
    fn both_formats_render_any_reason(reason in any::<String>()) {
        let files = vec![FileEntry { yanked: Some(reason.clone()), ..entry("foo-1.0.tar.gz") }];
        let page = ProjectPage { files, ..full_page() };
        let json: Value = serde_json::from_slice(&page.to_json()).unwrap();
        let expected = if reason.is_empty() { json!(true) } else { json!(reason) };
        prop_assert_eq!(&json["files"][0]["yanked"], &expected);
        let html = String::from_utf8(page.to_html()).unwrap();
        prop_assert_eq!(html.matches('"').count(), 6 + 2 * 2, "{}", html);
    }
}
