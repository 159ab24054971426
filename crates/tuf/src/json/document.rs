//! A JSON text that was read: one flat list of what it holds, with strings borrowed where they are
//! spelled plainly; and for each member of the outermost object whether its text is in canonical form
//! already, so that what was received need not be written again to check its signature.

use std::ops::Range;

use super::{Object, Value};

/// One entry of the list. An array or object is followed by what is in it, a key by its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Integer(i64),
    /// A string or key without escapes: where it is in the text.
    Plain(Span),
    /// The number of a string or key that has escapes.
    Escaped(u32),
    Array(Extent),
    Object(Extent),
}

/// A part of the text, which is shorter than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// How many values are directly in it.
    pub(super) count: u32,
    /// The number of the node after it.
    pub(super) end: u32,
}

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) at: usize,
}

impl<'d> Element<'d> {
    pub(super) fn node(self) -> Node {
        self.document.nodes[self.at]
    }

    /// The one after it in the same array, or the next key in the same object.
    pub(super) fn next(self) -> Self {
        let at = match self.node() {
            Node::Array(extent) | Node::Object(extent) => extent.end as usize,
            _ => self.at + 1,
        };
        Self { at, ..self }
    }

    /// The first value in it, if it is an array or object.
    pub(super) fn first(self) -> Self {
        Self { at: self.at + 1, ..self }
    }

    pub(crate) fn as_bool(self) -> Option<bool> {
        match self.node() {
            Node::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn as_integer(self) -> Option<i64> {
        match self.node() {
            Node::Integer(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> Option<&'d str> {
        self.document.str(self.node())
    }

    pub(crate) fn as_array(self) -> Option<impl ExactSizeIterator<Item = Element<'d>>> {
        let Node::Array(Extent { count, .. }) = self.node() else { return None };
        let mut next = self.first();
        Some((0..count).map(move |_| {
            let this = next;
            next = this.next();
            this
        }))
    }

    pub(crate) fn as_object(self) -> Option<Members<'d>> {
        match self.node() {
            Node::Object(Extent { count, .. }) => Some(Members { first: self.first(), count }),
            _ => None,
        }
    }

    /// The same value on its own.
    pub(crate) fn to_value(self) -> Value {
        match self.node() {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Integer(number) => Value::Integer(number),
            Node::Plain(_) | Node::Escaped(_) => {
                Value::String(self.as_str().unwrap_or_default().to_owned())
            }
            Node::Array(_) => {
                Value::Array(self.as_array().into_iter().flatten().map(Self::to_value).collect())
            }
            Node::Object(_) => {
                let entries = self.as_object().into_iter().flat_map(Members::entries);
                let mut entries: Vec<_> =
                    entries.map(|(key, value)| (key.to_owned(), value.to_value())).collect();
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                Value::Object(Object(entries))
            }
        }
    }
}

/// What an object has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members<'d> {
    first: Element<'d>,
    count: u32,
}

impl<'d> Members<'d> {
    /// How many entries.
    pub(crate) fn count(self) -> usize {
        self.count as usize
    }

    /// The entries in the order of the text.
    pub(crate) fn entries(self) -> Entries<'d> {
        Entries { next: self.first, left: self.count }
    }
}

/// The entries of an object in the order of the text.
#[derive(Debug)]
pub(crate) struct Entries<'d> {
    next: Element<'d>,
    left: u32,
}

impl<'d> Iterator for Entries<'d> {
    type Item = (&'d str, Element<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (key, value) = (self.next, self.next.first());
        self.next = value.next();
        Some((key.as_str().unwrap_or_default(), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

/// A member of the outermost object, as it is spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spelling {
    pub(crate) key: String,
    /// Where its value is in the text.
    pub(crate) range: Range<usize>,
    /// Whether that is the value's canonical form.
    pub(crate) canonical: bool,
}

/// A JSON text.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(super) text: &'a str,
    pub(super) nodes: Vec<Node>,
    pub(super) strings: Vec<String>,
    pub(super) members: Vec<Spelling>,
}

impl Document<'_> {
    /// The value of the text.
    pub(crate) fn root(&self) -> Element<'_> {
        Element { document: self, at: 0 }
    }

    /// The text of a string's or key's node.
    pub(super) fn str(&self, node: Node) -> Option<&str> {
        match node {
            Node::Plain(span) => self.text.get(span.start as usize..span.end as usize),
            Node::Escaped(number) => self.strings.get(number as usize).map(String::as_str),
            _ => None,
        }
    }

    /// How the member of this name of the outermost object is spelled, if the text is an object
    /// and has it.
    pub(crate) fn member(&self, name: &str) -> Option<&Spelling> {
        self.members.iter().find(|member| member.key == name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn values_are_found_where_they_are() {
        let text = r#"{"b":[1,[],{"x":{}},"s"],"a":{"k":null,"j":[true]},"c":false}"#;
        let document = Document::parse(text.as_bytes(), &Limits::default()).unwrap();
        let entries: Vec<_> = document.root().as_object().unwrap().entries().collect();
        assert_eq!(entries.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(entries[2].1.as_bool(), Some(false));
        let values: Vec<_> = entries[0].1.as_array().unwrap().collect();
        assert_eq!((values.len(), values[3].as_str()), (4, Some("s")));
        assert_eq!((values[0].as_integer(), values[1].as_integer()), (Some(1), None));
        let sorted = r#"{"a":{"j":[true],"k":null},"b":[1,[],{"x":{}},"s"],"c":false}"#;
        assert_eq!(document.root().to_value().to_canonical(), sorted.as_bytes());
    }
}
