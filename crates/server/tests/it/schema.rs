//! JSON Schema (2020-12), as far as the OpenAPI document of this index uses it. A keyword that is not
//! known here fails the test.

use serde_json::{Map, Value};

/// Checks values against the schemas of one document.
pub(crate) struct Schemas<'a>(pub(crate) &'a Value);

impl Schemas<'_> {
    /// What `reference` stands for, or else the value itself.
    pub(crate) fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').unwrap();
                self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} is nowhere"))
            }
            None => value,
        }
    }

    /// Says where a value is not as the schema has it.
    pub(crate) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolve(schema).as_object().expect("a schema is an object");
        for (keyword, rule) in schema {
            self.keyword(schema, keyword, rule, value)
                .map_err(|problem| format!("{problem}, in {}", cut(value)))?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
    ) -> Result<(), String> {
        let number = || rule.as_u64().unwrap();
        let length = value.as_str().map(|text| text.chars().count() as u64);
        let count = value.as_array().map(|values| values.len() as u64);
        let hold = |holds: bool| match holds {
            true => Ok(()),
            false => Err(format!("{keyword} {rule} does not hold")),
        };
        match keyword {
            "description" | "default" | "examples" => Ok(()),
            "type" => hold(is_of_type(rule.as_str().unwrap(), value)),
            "const" => hold(value == rule),
            "minimum" => hold(value.as_i64().is_none_or(|value| value >= rule.as_i64().unwrap())),
            "maximum" => hold(value.as_i64().is_none_or(|value| value <= rule.as_i64().unwrap())),
            "minLength" => hold(length.is_none_or(|length| length >= number())),
            "maxLength" => hold(length.is_none_or(|length| length <= number())),
            "minItems" => hold(count.is_none_or(|count| count >= number())),
            "maxItems" => hold(count.is_none_or(|count| count <= number())),
            "pattern" => {
                hold(value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)))
            }
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|value| self.check(rule, value))
            }
            "oneOf" | "anyOf" => {
                let schemas = rule.as_array().unwrap();
                let fits =
                    schemas.iter().filter(|schema| self.check(schema, value).is_ok()).count();
                hold(if keyword == "oneOf" { fits == 1 } else { fits > 0 })
            }
            "required" => {
                let fields = rule.as_array().unwrap();
                hold(
                    !value.is_object()
                        || fields.iter().all(|field| value.get(field.as_str().unwrap()).is_some()),
                )
            }
            "properties" => rule.as_object().unwrap().iter().try_for_each(|(field, schema)| {
                value.get(field).map_or(Ok(()), |value| self.check(schema, value))
            }),
            "propertyNames" => members(value)
                .try_for_each(|(field, _)| self.check(rule, &Value::from(field.as_str()))),
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let mut others = members(value)
                    .filter(|(field, _)| !known.is_some_and(|known| known.contains_key(*field)));
                match rule {
                    Value::Bool(allowed) => hold(*allowed || others.next().is_none()),
                    schema => others.try_for_each(|(_, value)| self.check(schema, value)),
                }
            }
            other => panic!("the test does not know the keyword {other}"),
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the test does not know the type {other}"),
    }
}

/// Patterns here are `^[…]*$`, with characters and ranges of them.
fn matches(pattern: &str, text: &str) -> bool {
    let class = pattern.strip_prefix("^[").and_then(|pattern| pattern.strip_suffix("]*$")).unwrap();
    let class: Vec<char> = class.chars().collect();
    let within = |character: char| {
        let range = |at: usize| class.get(at + 1) == Some(&'-') && at + 2 < class.len();
        (0..class.len()).any(|at| match range(at) {
            true => (class[at]..=class[at + 2]).contains(&character),
            false => class[at] == character,
        })
    };
    text.chars().all(within)
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

#[test]
fn the_checker_can_fail() {
    let document =
        serde_json::json!({"a": {"type": "string", "maxLength": 2, "pattern": "^[0-9a-f]*$"}});
    let schemas = Schemas(&document);
    let check = |schema: Value, value: Value| schemas.check(&schema, &value).is_ok();
    let reference = serde_json::json!({"$ref": "#/a"});
    for (value, fits) in [("0f", true), ("g", false), ("abc", false)] {
        assert_eq!(check(reference.clone(), value.into()), fits, "{value}");
    }
    let object = serde_json::json!({
        "type": "object", "required": ["x"], "properties": {"x": {"const": 1}},
        "propertyNames": {"maxLength": 1}, "additionalProperties": {"type": "boolean"}
    });
    for (value, fits) in [
        (serde_json::json!({"x": 1, "y": true}), true),
        (serde_json::json!({"x": 2}), false),
        (serde_json::json!({"y": true}), false),
        (serde_json::json!({"x": 1, "y": 1}), false),
        (serde_json::json!({"x": 1, "yy": true}), false),
        (serde_json::json!([]), false),
    ] {
        assert_eq!(check(object.clone(), value.clone()), fits, "{value}");
    }
    let one = serde_json::json!({"oneOf": [{"minimum": 1}, {"maximum": 1}]});
    assert!(check(one.clone(), 2.into()) && !check(one, 1.into()));
    let items = serde_json::json!({"minItems": 1, "items": {"type": "integer"}});
    assert!(check(items.clone(), serde_json::json!([1])));
    assert!(
        !check(items.clone(), serde_json::json!([])) && !check(items, serde_json::json!([1.5]))
    );
}
