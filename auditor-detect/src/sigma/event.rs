//! A [`View`] in the words of `rsigma`. Borrows what it can.

use std::borrow::Cow;

use rsigma_eval::{Event, EventValue};
use serde_json::{Value, json};

use crate::view::{FIELDS, Field, View};

pub(super) struct Adapter<'a>(pub(super) &'a dyn View);

impl Event for Adapter<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        self.0.field(path).map(value)
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        let fields = FIELDS.iter().filter_map(|path| self.0.field(path));
        let mut found = false;
        fields.for_each(|field| texts(&field, &mut |text| found |= pred(text)));
        found
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let mut all = Vec::new();
        for field in FIELDS.iter().filter_map(|path| self.0.field(path)) {
            texts(&field, &mut |text| all.push(Cow::Owned(text.to_owned())));
        }
        all
    }

    /// Only what the engine keeps of an event: its id.
    fn to_json(&self) -> Value {
        match self.0.field("metadata.uid") {
            Some(Field::Text(uid)) => json!({ "id": uid }),
            _ => Value::Null,
        }
    }
}

fn value(field: Field<'_>) -> EventValue<'_> {
    match field {
        Field::Text(text) => EventValue::Str(text),
        Field::Number(number) => EventValue::Int(number),
        Field::Flag(flag) => EventValue::Bool(flag),
        Field::List(all) => EventValue::Array(all.into_iter().map(value).collect()),
        Field::Null => EventValue::Null,
    }
}

/// Lists are one level deep.
fn texts(field: &Field<'_>, each: &mut dyn FnMut(&str)) {
    match field {
        Field::Text(text) => each(text),
        Field::List(all) => {
            for one in all {
                if let Field::Text(text) = one {
                    each(text);
                }
            }
        }
        _ => {}
    }
}
