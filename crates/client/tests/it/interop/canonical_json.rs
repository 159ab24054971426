//! Canonical JSON, byte for byte that of securesystemslib.

use data_encoding::HEXLOWER;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use waxseal_tuf::Limits;
use waxseal_tuf::json::{Object, Value};

use super::{ask, assert_no_difference, generated};

/// Characters that writers of JSON treat in different ways: quotes, controls, what normalises,
/// what JavaScript ends a line with, the ends of the planes, and U+FFFF and U+1F600, whose order by
/// code point is not that by UTF-16.
const ODD: &[char] = &[
    '"',
    '\\',
    '/',
    '\0',
    '\u{1}',
    '\u{8}',
    '\t',
    '\n',
    '\u{c}',
    '\r',
    '\u{1f}',
    ' ',
    '\u{7f}',
    '\u{80}',
    '\u{85}',
    'e',
    '\u{301}',
    'é',
    'ß',
    'İ',
    'ﬁ',
    '\u{200d}',
    '\u{2028}',
    '\u{2029}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{feff}',
    '\u{fffd}',
    '\u{ffff}',
    '\u{10000}',
    '😀',
    '\u{10ffff}',
    'a',
    'A',
    'u',
    '0',
];

fn text() -> impl Strategy<Value = String> {
    let odd = proptest::sample::select(ODD);
    let char = prop_oneof![3 => odd, 1 => any::<char>()];
    vec(char, 0..8).prop_map(String::from_iter)
}

fn value() -> impl Strategy<Value = Value> {
    let integer = prop_oneof![
        any::<i64>(),
        -3..3_i64,
        Just(i64::MIN),
        Just(i64::MAX),
        // Where a double stops to be exact.
        Just((1_i64 << 53) + 1),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        integer.prop_map(Value::Integer),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let array = vec(inner.clone(), 0..6).prop_map(Value::Array);
        let entries = vec((text(), inner), 0..6);
        prop_oneof![array, entries.prop_map(|entries| Object::from_iter(entries).into())]
    })
}

/// Levels that are read.
fn depth() -> usize {
    usize::try_from(Limits::default().json_depth).unwrap()
}

/// As deep as is read, in arrays and in objects.
fn deepest() -> [Value; 2] {
    let nested = |wrap: fn(Value) -> Value| (0..depth()).fold(Value::Null, |inner, _| wrap(inner));
    let object = |inner| Object::from_iter([("\"", inner)]).into();
    [nested(|inner| vec![inner].into()), nested(object)]
}

#[test]
fn canonical_json_is_that_of_securesystemslib() {
    let mut values = generated(3_000, value());
    values.extend(deepest());
    let text = |value: &Value| String::from_utf8(value.to_json()).unwrap();
    let cases: Vec<String> = values.iter().map(text).collect();
    let answers = ask("canonical_json.py", &cases, &[]);
    let mut differences = Vec::new();
    for ((value, case), answer) in values.iter().zip(&cases).zip(answers) {
        let ours = HEXLOWER.encode(&value.to_canonical());
        if answer["canonical"] != ours {
            differences.push(format!("{case}\n  ours: {ours}\ntheirs: {}", answer["canonical"]));
        }
        // The same value in the spellings of Python's writer.
        for spelled in answer["spelled"].as_array().unwrap() {
            let spelled = spelled.as_str().unwrap();
            if Value::parse(spelled.as_bytes()).as_ref() != Ok(value) {
                differences.push(format!("{case}\nis read differently as\n{spelled}"));
            }
        }
    }
    assert_no_difference(differences);
}

/// What Python's reader takes and ours refuses, because two readers could read it differently or
/// because no metadata has it.
#[test]
fn json_that_only_python_reads_is_known() {
    let deep = "[".repeat(depth() + 1) + &"]".repeat(depth() + 1);
    // Each with the canonical form that securesystemslib has for it, if any.
    let known = [
        // One key twice: Python takes the last.
        (r#"{"a":1,"a":2}"#, Some(r#"{"a":2}"#)),
        // Beyond 64 bits, and a zero with a sign.
        ("9223372036854775808", Some("9223372036854775808")),
        ("-9223372036854775809", Some("-9223372036854775809")),
        ("-0", Some("0")),
        // One level more than is read.
        (&deep, Some(&deep)),
        // Read by Python, and without a canonical form.
        (r#""\ud800""#, None),
        ("1.0", None),
        ("1e3", None),
        ("NaN", None),
    ];
    let cases = known.map(|(text, _)| text.to_owned());
    let answers = ask("canonical_json.py", &cases, &[]);
    for ((text, theirs), answer) in known.into_iter().zip(answers) {
        assert!(Value::parse(text.as_bytes()).is_err(), "{text}");
        let theirs = theirs.map(|theirs| HEXLOWER.encode(theirs.as_bytes()));
        assert_eq!(answer["canonical"].as_str(), theirs.as_deref(), "{text}");
    }
}
