use waxseal_tuf::Limits;
use waxseal_tuf::json::{Object, Value};

use super::reader::{Form, Read, read};

/// Any bytes as JSON: accepted exactly where a slow reader accepts them and the limits allow it, as the
/// same value; and what is accepted has one canonical form, which is minimal and sorted, and a JSON form
/// that reads back.
pub fn canonical_json(input: &[u8]) {
    let (parsed, expected) = (Value::parse(input), read(input, Form::Json));
    let limits = Limits::default();
    let allowed =
        |read: &Read| read.depth <= limits.json_depth && read.values <= limits.json_values;
    let value = match (parsed, expected) {
        (Ok(value), Ok(expected)) => {
            assert!(value == expected.value, "read as {value:?}, it is {:?}", expected.value);
            assert!(allowed(&expected), "accepted beyond the limits");
            check_limits(input, &expected);
            value
        }
        (Ok(value), Err(problem)) => panic!("accepted as {value:?} although {problem}"),
        (Err(error), Ok(expected)) => {
            assert!(!allowed(&expected), "refused: {error}");
            return;
        }
        (Err(error), Err(_)) => {
            assert!(!error.is_empty(), "refused without a reason");
            return;
        }
    };
    check_canonical(&value);
    check_json(&value);
    check_order(&value);
}

/// The limits that a text needs are enough for it, and none below them is.
fn check_limits(input: &[u8], read: &Read) {
    let within = |json_depth, json_values| {
        let limits = Limits { json_depth, json_values, ..Limits::default() };
        Value::parse_within(input, &limits).is_ok()
    };
    let Read { depth, values, .. } = *read;
    assert!(within(depth, values), "refused within {depth} levels and {values} values");
    assert!(!within(depth, values - 1), "accepted with less than {values} values");
    assert!(depth == 0 || !within(depth - 1, values), "accepted with less than {depth} levels");
}

/// The strict reader takes nothing but the one canonical form of a value, so that what it reads back as
/// the same value is sorted and minimal.
fn check_canonical(value: &Value) {
    let canonical = value.to_canonical();
    match read(&canonical, Form::Canonical) {
        Ok(read) => assert!(read.value == *value, "the canonical form is of another value"),
        Err(problem) => panic!("not canonical, {problem}: {}", canonical.escape_ascii()),
    }
    // Bare control characters are all that canonical JSON has and JSON has not.
    let json = !canonical.iter().any(|byte| *byte < b' ');
    match Value::parse(&canonical) {
        Ok(again) => {
            assert!(json, "a bare control character was accepted");
            assert!(again == *value, "the canonical form reads back as another value");
            assert_eq!(again.to_canonical(), canonical, "the canonical form is no fixed point");
            assert_eq!(value.to_json(), canonical, "the two forms differ without a reason");
        }
        Err(error) => assert!(!json, "the canonical form is refused: {error}"),
    }
}

fn check_json(value: &Value) {
    let json = value.to_json();
    let again = Value::parse(&json);
    assert_eq!(again.as_ref(), Ok(value), "the JSON form: {}", json.escape_ascii());
    assert!(
        read(&json, Form::Json).is_ok_and(|read| read.value == *value),
        "the JSON form is wrong"
    );
    assert!(!json.iter().any(|byte| *byte < b' '), "a bare control character was written");
}

/// Every key of every object is found, stands in order of code points, and stands there once.
fn check_order(value: &Value) {
    match value {
        Value::Array(values) => values.iter().for_each(check_order),
        Value::Object(object) => {
            let keys: Vec<Vec<char>> =
                object.iter().map(|(key, _)| key.chars().collect()).collect();
            assert!(keys.is_sorted_by(|a, b| a < b), "keys out of order, or twice: {keys:?}");
            let mut emptied = object.clone();
            let mut refilled = Object::default();
            for (key, value) in object.iter() {
                assert_eq!(object.get(key), Some(value));
                assert_eq!(emptied.remove(key).as_ref(), Some(value));
                refilled.insert(key, value.clone());
                check_order(value);
            }
            assert_eq!((emptied, &refilled), (Object::default(), object));
        }
        _ => {}
    }
}
