//! Values that securesystemslib 1.6.0 and python-tuf 7.0.1 compute, printed by `../data/make.py`.

use data_encoding::HEXLOWER;
use waxseal_testkit::simulator::target_path;
use waxseal_tuf::PublicKey;
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::{RoleKeys, SuccinctRoles};

#[test]
fn keyids_are_those_of_securesystemslib() {
    let counting: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    for (public, keyid) in [
        ([0; 32], "7f7373360bc914a5d4a7bd87711615178beb6cf52494fcc49082ec65ba62908c"),
        (counting, "b5b3929e2eb1cd5fb401e8d8dd00a903bfac256d06eae9cc38a51d344e14583f"),
    ] {
        assert_eq!(PublicKey::ed25519(public).default_keyid().as_str(), keyid);
    }
}

const BIT_LENGTHS: [u8; 11] = [1, 3, 4, 5, 8, 9, 14, 16, 20, 31, 32];

/// Path, and the number of its bin for each of [`BIT_LENGTHS`].
const BINS: [(&str, [&str; 11]); 5] = [
    (
        "packages/flask/flask-3.0.0-py3-none-any.whl",
        ["0", "2", "4", "09", "4f", "09f", "13f8", "4fe2", "4fe2d", "27f16b5b", "4fe2d6b7"],
    ),
    (
        "packages/flask/flask-3.0.0-py3-none-any.whl.metadata",
        ["1", "5", "b", "17", "be", "17d", "2fa9", "bea6", "bea68", "5f534014", "bea68028"],
    ),
    (
        "simple/flask/vnd.pypi.simple.v1.json",
        ["1", "4", "8", "10", "82", "104", "2089", "8227", "8227b", "4113dda3", "8227bb47"],
    ),
    (
        "packages/été/e\u{301}.whl",
        ["0", "3", "7", "0f", "7a", "0f5", "1eaa", "7aaa", "7aaaa", "3d5552a4", "7aaaa549"],
    ),
    ("a", ["1", "6", "c", "19", "ca", "195", "32a5", "ca97", "ca978", "654bc089", "ca978112"]),
];

#[test]
fn bins_are_those_of_python_tuf() {
    for (path, bins) in BINS {
        for (bit_length, bin) in BIT_LENGTHS.into_iter().zip(bins) {
            let keys = RoleKeys { keyids: Vec::new(), threshold: 1 };
            let roles = SuccinctRoles { keys, bit_length, name_prefix: "bin".to_owned() };
            let name = roles.name(roles.bin_of(&target_path(path)));
            assert_eq!(name.as_str(), format!("bin-{bin}"), "{path} with {bit_length} bits");
        }
    }
}

#[test]
fn canonical_json_is_that_of_securesystemslib() {
    for (text, canonical) in [
        (
            r#"{"b":1,"a":{"\u00e9":"e\u0301","e\u0301":2,"\"\\":"\"\\/"}}"#,
            "7b2261223a7b225c225c5c223a225c225c5c2f222c2265cc81223a322c22c3a9223a2265cc81227d2c22\
             62223a317d",
        ),
        (r#"["\u0000\u0001\n\r\t\u007f\u2028\ud83d\ude00"]"#, "5b2200010a0d097fe280a8f09f9880225d"),
        (
            r#"{"\ud83d\ude00":1,"\uffff":2,"z":3,"":[],"A":{},"a":null,"\r":true,"\n":false}"#,
            "7b22223a5b5d2c220a223a66616c73652c220d223a747275652c2241223a7b7d2c2261223a6e756c6c2c\
             227a223a332c22efbfbf223a322c22f09f9880223a317d",
        ),
        (
            "[-9223372036854775808,9223372036854775807,0]",
            "5b2d393232333337323033363835343737353830382c393232333337323033363835343737353830372c\
             305d",
        ),
    ] {
        let value = Value::parse(text.as_bytes()).unwrap();
        assert_eq!(HEXLOWER.encode(&value.to_canonical()), canonical, "{text}");
    }
}
