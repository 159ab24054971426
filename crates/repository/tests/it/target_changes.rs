//! Requests of the API that are no requests, and what is said about them.

use proptest::prelude::*;
use waxseal_repository::TargetChanges;
use waxseal_repository::target_changes::{InvalidChanges, MAX_CHANGES, MAX_CUSTOM, MAX_MISTAKES};

const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn add(path: &str, more: &str) -> String {
    format!(r#"{{"path":"{path}","length":4,"hashes":{{"sha256":"{SHA256}"}}{more}}}"#)
}

fn adding(targets: &[String]) -> String {
    format!(r#"{{"add":[{}]}}"#, targets.join(","))
}

/// What is wrong with a request, as pairs of pointer and problem.
fn mistakes(body: &str) -> Vec<(String, String)> {
    match TargetChanges::parse(body.as_bytes()) {
        Err(InvalidChanges::Mistakes(mistakes)) => {
            mistakes.into_iter().map(|mistake| (mistake.pointer, mistake.problem)).collect()
        }
        other => panic!("{body}: {other:?}"),
    }
}

#[track_caller]
fn refused(body: &str, pointer: &str, problem: &str) {
    let mistakes = mistakes(body);
    let found = mistakes.iter().any(|(at, text)| at == pointer && text.contains(problem));
    assert!(found, "{body}: {mistakes:?}");
}

#[test]
fn changes_are_read() {
    let sha512 = "ab".repeat(64);
    let body = format!(
        r#" {{"remove": ["c"], "replace": true, "add": [{}, {}]}} "#,
        add("packages/a/ä b.whl", ""),
        add("b", r#","custom":{"x":[-9007199254740991,null,true]},"replace":false"#).replace(
            "\"hashes\":{",
            &format!("\"hashes\":{{\"sha512\":\"{sha512}\",\"blake2b-256\":\"00\",")
        )
    );
    assert_eq!(TargetChanges::parse(body.as_bytes()).unwrap().counts(), (2, 1));
}

#[test]
fn each_thing_that_is_wrong_is_named_with_its_place() {
    for body in ["[]", "null", "3", "\"add\""] {
        refused(body, "", "is not an object");
    }
    refused("{}", "", "has neither `add` nor `remove`");
    refused(r#"{"add":[],"remove":[]}"#, "", "no change");
    refused(r#"{"add":{}}"#, "/add", "not an array");
    refused(r#"{"add":[],"remove":"x"}"#, "/remove", "not an array");
    refused(r#"{"add":[3]}"#, "/add/0", "not an object");
    refused(r#"{"remove":[3]}"#, "/remove/0", "not a string");
    refused(r#"{"remove":["a"],"replace":1}"#, "/replace", "not true or false");
    refused(r#"{"remove":["a"],"removes":[]}"#, "/removes", "not a field");
    refused(r#"{"remove":["a"],"a/b~c":[]}"#, "/a~1b~0c", "not a field");
    refused(&adding(&[add("a", r#","size":4"#)]), "/add/0/size", "not a field");
    refused(&adding(&[add("a", r#","replace":"yes""#)]), "/add/0/replace", "not true or false");
    refused(r#"{"add":[{}]}"#, "/add/0/path", "missing");
    refused(r#"{"add":[{}]}"#, "/add/0/length", "missing");
    refused(r#"{"add":[{}]}"#, "/add/0/hashes", "missing");
    refused(r#"{"add":[{"hashes":{}}]}"#, "/add/0/hashes/sha256", "missing");
    refused(r#"{"add":[{"hashes":[]}]}"#, "/add/0/hashes", "not an object");
}

#[test]
fn paths_cannot_leave_their_folder_and_stand_once() {
    for path in
        ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\\\\b", "a\\u0000", "a\\nb", "\\u0085"]
    {
        refused(&adding(&[add(path, "")]), "/add/0/path", "is no target path");
        refused(&format!(r#"{{"remove":["{path}"]}}"#), "/remove/0", "is no target path");
    }
    refused(&adding(&[add(&"a".repeat(4097), "")]), "/add/0/path", "longer than 4096");
    let twice = adding(&[add("a", ""), add("b", ""), add("a", "")]);
    refused(&twice, "/add/2/path", "the same path as /add/0/path");
    let both = format!(r#"{{"add":[{}],"remove":["b","\u0061"]}}"#, add("a", ""));
    refused(&both, "/remove/1", "the same path as /add/0/path");
}

#[test]
fn digests_are_lower_case_hex_of_their_length() {
    let hashes =
        |hashes: &str| format!(r#"{{"add":[{{"path":"a","length":4,"hashes":{{{hashes}}}}}]}}"#);
    let sha256 = |digest: &str| hashes(&format!(r#""sha256":"{digest}""#));
    let at = "/add/0/hashes/sha256";
    refused(&sha256(&SHA256.to_uppercase()), at, "lower-case hex");
    refused(&sha256(&SHA256[1..]), at, "63 hex digits, not 64");
    refused(&sha256(&format!("{SHA256}00")), at, "66 hex digits, not 64");
    refused(&sha256(""), at, "0 hex digits");
    refused(&sha256(&"g".repeat(64)), at, "lower-case hex");
    refused(&hashes(r#""sha256":7"#), at, "not a string");
    refused(&hashes(r#""sha512":"00""#), "/add/0/hashes/sha512", "not 128");
    refused(&hashes(r#""sha512":"00""#), at, "missing");
    refused(&hashes(r#""md5":"0""#), "/add/0/hashes/md5", "not an even number");
    refused(&hashes(r#""md5":"""#), "/add/0/hashes/md5", "not an even number");
    for name in ["SHA256", "", "a b", &"x".repeat(33)] {
        refused(&hashes(&format!(r#""{name}":"00""#)), &format!("/add/0/hashes/{name}"), "no name");
    }
}

#[test]
fn lengths_are_integers_that_everybody_reads() {
    for length in ["-1", "9007199254740992", "9223372036854775807", "\"4\"", "null", "[4]"] {
        let body = adding(&[add("a", "").replace("\"length\":4", &format!("\"length\":{length}"))]);
        refused(&body, "/add/0/length", "integer from 0 to 9007199254740991");
    }
    for length in ["0", "9007199254740991"] {
        let body = adding(&[add("a", "").replace("\"length\":4", &format!("\"length\":{length}"))]);
        assert!(TargetChanges::parse(body.as_bytes()).is_ok(), "{body}");
    }
}

#[test]
fn custom_is_what_every_client_can_read() {
    let custom = |custom: &str| adding(&[add("a", &format!(r#","custom":{custom}"#))]);
    let at = "/add/0/custom";
    for no_object in ["null", "1", "\"x\"", "[]"] {
        refused(&custom(no_object), at, "not an object");
    }
    for control in [r#"{"a\u0001":1}"#, r#"{"a":["b\n"]}"#, r#"{"a":{"b":"\u007f"}}"#] {
        refused(&custom(control), at, "control character");
    }
    for integer in [r#"{"a":9007199254740992}"#, r#"{"a":[-9007199254740992]}"#] {
        refused(&custom(integer), at, "integer beyond");
    }
    let longest = "x".repeat(MAX_CUSTOM - r#"{"a":""}"#.len());
    assert!(TargetChanges::parse(custom(&format!(r#"{{"a":"{longest}"}}"#)).as_bytes()).is_ok());
    refused(&custom(&format!(r#"{{"a":"{longest}x"}}"#)), at, "4097 bytes, more than 4096");
}

#[test]
fn json_that_means_two_things_or_nothing_is_refused() {
    let deep = format!(r#"{{"add":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let many = format!(r#"{{"add":[{}0]}}"#, "0,".repeat(1 << 19));
    for (body, problem) in [
        ("", "ends too early"),
        ("{", "ends too early"),
        (r#"{"add":[],"add":[]}"#, "twice"),
        (r#"{"remove":["a"],"r\u0065move":["b"]}"#, "twice"),
        (r#"{"add":[{"path":"a","path":"b"}]}"#, "twice"),
        (r#"{"remove":["a"]} x"#, "goes on"),
        (r#"{"add":[{"length":4.0}]}"#, "line 1 column"),
        (r#"{"add":[{"length":1e9}]}"#, "line 1 column"),
        (r#"{"add":[{"length":9223372036854775808}]}"#, "line 1 column"),
        (&deep, "levels deep"),
        (&many, "more than 524288 values"),
    ] {
        match TargetChanges::parse(body.as_bytes()) {
            Err(InvalidChanges::Json(text)) => assert!(text.contains(problem), "{text}"),
            other => panic!("{}: {other:?}", &body[..body.len().min(80)]),
        }
    }
    assert!(matches!(
        TargetChanges::parse(b"{\"remove\":[\"\xff\"]}"),
        Err(InvalidChanges::Json(_))
    ));
}

#[test]
fn ten_thousand_changes_are_taken_and_one_more_is_not() {
    let paths = |count: usize| {
        let paths: Vec<_> = (0..count).map(|number| format!("\"p/{number}\"")).collect();
        format!(r#"{{"add":[{}],"remove":[{}]}}"#, add("a", ""), paths.join(","))
    };
    let changes = TargetChanges::parse(paths(MAX_CHANGES - 1).as_bytes()).unwrap();
    assert_eq!(changes.counts(), (1, MAX_CHANGES - 1));
    let refused = TargetChanges::parse(paths(MAX_CHANGES).as_bytes());
    assert_eq!(refused, Err(InvalidChanges::TooMany { count: MAX_CHANGES + 1 }));
}

#[test]
fn all_mistakes_are_named_up_to_a_bound() {
    let bad = |count: usize| vec!["{}".to_owned(); count];
    assert_eq!(mistakes(&adding(&bad(10))).len(), 30);
    assert_eq!(mistakes(&adding(&bad(1000))).len(), MAX_MISTAKES);
}

#[test]
fn two_spellings_of_one_request_have_one_digest() {
    let digest = |body: &str| TargetChanges::parse(body.as_bytes()).unwrap().digest();
    let one = digest(r#"{"remove":["a","b"],"replace":false}"#);
    assert_eq!(one, digest("{ \"replace\" : false,\n\"remove\":[\"\\u0061\",\"b\"]}"));
    assert_ne!(one, digest(r#"{"remove":["b","a"],"replace":false}"#));
    assert_ne!(one, digest(r#"{"remove":["a","b"]}"#));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"[\[\]{}:,"a-d0-9\\ ]{0,60}"#) {
        let _ = TargetChanges::parse(text.as_bytes());
        let _ = TargetChanges::parse(adding(&[add("a", &format!(",{text}"))]).as_bytes());
    }

    #[test]
    fn what_is_taken_is_read_back_from_the_journal(
        path in "[a-zé\" ]{1,9}", key in "[a-z\"\\\\/é]{0,5}", number in -9_007_199_254_740_991_i64..=9_007_199_254_740_991,
    ) {
        let (path, key) = (serde_json::to_string(&path).unwrap(), serde_json::to_string(&key).unwrap());
        let more = format!(r#","custom":{{{key}:[{number}]}}"#);
        let body = adding(&[add("PATH", &more).replace("\"PATH\"", &path)]);
        let changes = TargetChanges::parse(body.as_bytes()).unwrap();
        let entry = changes.into_entry("robot".to_owned());
        let text = serde_json::to_string(&entry).unwrap();
        let read: waxseal_repository::database::TargetsEntry = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read, entry);
    }
}
