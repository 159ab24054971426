//! The OpenAPI document says what the running index does: each operation, each status, each body.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::response::IntoResponse;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use waxseal_repository::TargetChanges;
use waxseal_server::{Error, Problem};

use crate::api::{adding, post, request, target};
use crate::index::{Answer, Index, read, settings};
use crate::schema::Schemas;

/// An operation and the status of an answer: `POST`, `/api/v1/targets`, `202`.
type Case = (String, String, u16);

async fn document(index: &Index) -> Value {
    let answer = index.get("/api/v1/openapi.json").await.expect(200, "");
    serde_json::from_slice(&answer.body).unwrap()
}

/// What the document says about each answer.
fn documented(document: &Value) -> BTreeMap<Case, &Value> {
    let schemas = document["paths"].as_object().unwrap();
    let mut cases = BTreeMap::new();
    for (path, operations) in schemas {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let response = match response["$ref"].as_str() {
                    Some(reference) => document.pointer(&reference[1..]).unwrap(),
                    None => response,
                };
                let case = (method.to_uppercase(), path.clone(), status.parse().unwrap());
                cases.insert(case, response);
            }
        }
    }
    cases
}

/// Answers of the running index: one at least for each status of each operation.
async fn answers(index: &Index) -> Vec<(&'static str, &'static str, Answer)> {
    let mut answers = Vec::new();
    let targets = "/api/v1/targets";
    let json = |builder: http::request::Builder, body: &str| {
        builder.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_owned())).unwrap()
    };
    let posting = || request(index, "POST", targets);
    let upload_token = || {
        let bearer = format!("Bearer {}", index.token);
        Request::post(targets).header(AUTHORIZATION, bearer)
    };
    let silent =
        || Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let many: Vec<_> = (0..10_001).map(|number| format!("p/{number}")).collect();
    for request in [
        json(posting(), &adding("a", "1")),
        json(posting().header("idempotency-key", "k"), &adding("a", "1")),
        json(posting().header("idempotency-key", "k"), &adding("a", "1")),
        json(posting().header("idempotency-key", "k"), &adding("b", "1")),
        json(posting().header("idempotency-key", "k k"), &adding("b", "1")),
        json(posting(), &adding("a", "2")),
        json(posting(), &json!({"remove": many}).to_string()),
        json(posting(), "{"),
        json(posting(), r#"{"add":[{}]}"#),
        json(upload_token(), &adding("a", "1")),
        json(Request::post(targets), &adding("a", "1")),
        posting().body(Body::empty()).unwrap(),
        posting().header(CONTENT_TYPE, "application/json").body(silent()).unwrap(),
    ] {
        answers.push(("POST", targets, index.send(request).await));
    }
    index.process.publish_all(jiff::Timestamp::now()).unwrap();
    post(index, adding("waits", "1")).await;

    let serials = "/api/v1/serials/{serial}";
    for path in
        ["/api/v1/serials/1", "/api/v1/serials/3", "/api/v1/serials/9", "/api/v1/serials/1?w"]
    {
        let request = request(index, "GET", path).body(Body::empty()).unwrap();
        answers.push(("GET", serials, index.send(request).await));
    }
    let nobody = Request::get("/api/v1/serials/1").body(Body::empty()).unwrap();
    answers.push(("GET", serials, index.send(nobody).await));

    let publish = "/api/v1/publish";
    let publishing = async |query: &str| {
        let path = format!("{publish}{query}");
        let request = request(index, "POST", &path).body(Body::empty()).unwrap();
        ("POST", publish, index.send(request).await)
    };
    answers.push(publishing("").await);
    answers.push(publishing("?wait=1").await);
    answers.push(publishing("?now").await);
    index.process.publish_all(jiff::Timestamp::now()).unwrap();
    answers.push(publishing("?wait").await);
    answers.push(publishing("").await);
    let nobody = Request::post(publish).body(Body::empty()).unwrap();
    answers.push(("POST", publish, index.send(nobody).await));

    let description = "/api/v1/openapi.json";
    answers.push(("GET", description, index.get(description).await));
    answers
}

/// Answers that need a machine that fails, made of what went wrong.
async fn failures() -> Vec<(&'static str, &'static str, Answer)> {
    let mut answers = Vec::new();
    let operations = [
        ("POST", "/api/v1/targets"),
        ("GET", "/api/v1/serials/{serial}"),
        ("POST", "/api/v1/publish"),
    ];
    for (method, path) in operations {
        let internal = Problem::from(Error::Internal { source: "secret".into() });
        answers.push((method, path, read(internal.into_response()).await));
    }
    for error in [Error::StorageFull { source: "secret".into() }, Error::Overtaken] {
        let problem = Problem::from(error);
        answers.push(("POST", "/api/v1/targets", read(problem.into_response()).await));
    }
    assert!(answers.iter().all(|(.., answer)| !answer.text().contains("secret")));
    answers
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_as_the_document_says() {
    let index = Index::with(settings());
    let document = document(&index).await;
    let (schemas, documented) = (Schemas(&document), documented(&document));
    let mut seen = BTreeSet::new();
    for (method, path, answer) in answers(&index).await.into_iter().chain(failures().await) {
        let case = (method.to_owned(), path.to_owned(), answer.status.as_u16());
        let said = documented.get(&case).unwrap_or_else(|| panic!("{case:?}: {}", answer.text()));
        let media_type = answer.headers[CONTENT_TYPE].to_str().unwrap();
        let content = said["content"].get(media_type);
        let content = content.unwrap_or_else(|| panic!("{case:?} has {media_type}"));
        let body = serde_json::from_slice(&answer.body).unwrap();
        schemas
            .check(&content["schema"], &body)
            .unwrap_or_else(|problem| panic!("{case:?}: {problem}"));
        for (name, header) in said["headers"].as_object().into_iter().flatten() {
            assert!(
                header["required"] == false || answer.headers.contains_key(name),
                "{case:?} {name}"
            );
        }
        if let Some(kind) = body["type"].as_str() {
            let known =
                &document["components"]["schemas"]["Problem"]["properties"]["type"]["examples"];
            assert!(known.as_array().unwrap().contains(&json!(kind)), "{kind} is not described");
        }
        seen.insert(case);
    }
    let said: BTreeSet<_> = documented.into_keys().collect();
    assert_eq!(seen, said, "an answer that the document promises was not seen");
}

#[tokio::test]
async fn examples_are_as_their_schemas_say_and_are_accepted() {
    let index = Index::new();
    let document = document(&index).await;
    let schemas = Schemas(&document);
    let mut contents: Vec<&Value> =
        documented(&document).into_values().map(|response| &response["content"]).collect();
    let body = &document["paths"]["/api/v1/targets"]["post"]["requestBody"]["content"];
    contents.push(body);
    let mut count = 0;
    for content in contents.iter().flat_map(|content| content.as_object().unwrap().values()) {
        let named = content["examples"].as_object().into_iter().flatten();
        let examples = named.map(|(_, example)| &example["value"]).chain(content.get("example"));
        for example in examples {
            count += 1;
            schemas.check(&content["schema"], example).unwrap();
        }
    }
    assert!(count > 20, "{count}");
    for example in body["application/json"]["examples"].as_object().unwrap().values() {
        let text = example["value"].to_string();
        TargetChanges::parse(text.as_bytes()).unwrap();
        assert_eq!(post(&index, text).await.status, 202);
    }
}

/// What the schema of a request refuses, the index refuses, and the other way round as far as a
/// schema can say it.
#[tokio::test]
async fn the_schema_of_a_request_is_what_is_accepted() {
    let index = Index::new();
    let document = document(&index).await;
    let schemas = Schemas(&document);
    let schema = &document["components"]["schemas"]["Changes"];
    let with = |field: &str, value: Value| {
        let mut target = target("a", "1");
        target[field] = value;
        json!({"add": [target]})
    };
    let hashes = |algorithm: &str, digest: &str| {
        let mut hashes = target("a", "1")["hashes"].clone();
        hashes[algorithm] = json!(digest);
        with("hashes", hashes)
    };
    for (body, accepted) in [
        (json!({"add": [target("a", "1")], "remove": ["b"], "replace": true}), true),
        (json!({"remove": ["b"]}), true),
        (with("custom", json!({"x": [1, null]})), true),
        (with("replace", json!(false)), true),
        (hashes("sha512", &"0".repeat(128)), true),
        (hashes("blake2b-256", "00"), true),
        (json!({}), false),
        (json!([]), false),
        (json!({"replace": true}), false),
        (json!({"add": [1]}), false),
        (json!({"add": {}}), false),
        (json!({"remove": [""]}), false),
        (json!({"remove": ["a"], "more": 1}), false),
        (with("more", json!(1)), false),
        (with("path", json!("")), false),
        (with("path", json!(1)), false),
        (with("length", json!(-1)), false),
        (with("length", json!("1")), false),
        (with("length", json!(9_007_199_254_740_992_u64)), false),
        (with("custom", json!([])), false),
        (with("replace", json!("yes")), false),
        (with("hashes", json!({})), false),
        (hashes("sha256", "0"), false),
        (hashes("sha256", &"A".repeat(64)), false),
        (hashes("sha512", "00"), false),
        (hashes("MD5", "00"), false),
        (hashes("md5", ""), false),
        (hashes("md5", "zz"), false),
    ] {
        assert_eq!(schemas.check(schema, &body).is_ok(), accepted, "{body}");
        assert_eq!(TargetChanges::parse(body.to_string().as_bytes()).is_ok(), accepted, "{body}");
    }
}
