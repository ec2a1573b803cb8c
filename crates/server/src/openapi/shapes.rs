//! Shapes that client generators can read. Generators skip operations whose bodies have a union beside their properties, and
//! give inline unions and inline objects made-up names. So every union and every object has a name of its own.

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";
/// How utoipa names `Envelope<T>`.
const PAGE_PREFIX: &str = "Envelope_";

/// Rewrites what utoipa made of generic and optional types.
pub(super) fn simplify(document: &mut Value) {
    name_pages(document);
    merge_flattened(&mut document["components"]["schemas"]);
    close_requests(document);
    let known = document["components"]["schemas"].clone();
    let mut unions = Map::new();
    for parameter in parameters(document) {
        not_null(&mut parameter["schema"]);
    }
    name_nullable(document, &known, &mut unions);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.append(&mut unions);
    }
}

/// `Envelope_Message`, with the whole message inside, becomes `MessagePage`, which refers to `Message`.
fn name_pages(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
        return;
    };
    let names: Vec<String> = schemas.keys().cloned().collect();
    for name in names {
        if let Some(item) = name.strip_prefix(PAGE_PREFIX)
            && let Some(mut page) = schemas.remove(&name)
        {
            page["properties"]["items"]["items"] = reference(item);
            schemas.insert(format!("{item}Page"), page);
        }
    }
    rename_pages(document);
}

fn rename_pages(value: &mut Value) {
    if let Some(item) = referred(value).and_then(|name| name.strip_prefix(PAGE_PREFIX)) {
        *value = reference(&format!("{item}Page"));
    }
    children(value).for_each(rename_pages);
}

/// `allOf` is how utoipa says that a struct has the fields of another: the schema gets them itself.
fn merge_flattened(schemas: &mut Value) {
    let known = schemas.clone();
    for schema in children(schemas) {
        let Some(Value::Array(parts)) = schema.as_object_mut().and_then(|schema| schema.remove("allOf"))
        else {
            continue;
        };
        schema["type"] = json!("object");
        for part in &parts {
            let part = referred(part).map_or(part, |name| &known[name]);
            let properties = part["properties"].as_object().into_iter().flatten();
            for (name, property) in properties {
                schema["properties"][name] = property.clone();
            }
            let required = part["required"].as_array().into_iter().flatten().cloned();
            match &mut schema["required"] {
                Value::Array(all) => all.extend(required),
                none => *none = required.collect(),
            }
        }
    }
}

/// A request has no other fields, except on the routes that real providers call.
fn close_requests(document: &mut Value) {
    let operations = children(&mut document["paths"]).flat_map(children);
    let bodies = operations.filter(|operation| operation["tags"][0] != "Receive");
    let mut open: Vec<String> = bodies
        .flat_map(|operation| references(&operation["requestBody"]))
        .collect();
    while let Some(name) = open.pop() {
        let schema = &mut document["components"]["schemas"][&name];
        if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
            open.extend(references(schema));
            schema["additionalProperties"] = json!(false);
        }
    }
}

/// The names of the schemas that `value` refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = referred(value).map(str::to_owned);
            own.into_iter()
                .chain(members.values().flat_map(references))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn parameters(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let operations = children(&mut document["paths"]).flat_map(children);
    operations.flat_map(|operation| match operation.get_mut("parameters") {
        Some(Value::Array(parameters)) => parameters.as_mut_slice(),
        _ => &mut [],
    })
}

/// A parameter is missing, but never null.
fn not_null(schema: &mut Value) {
    if let Some((mut reference, _)) = nullable(schema) {
        *schema = reference.take();
    } else if let Some(first) = schema["type"].as_array().and_then(|types| types.first()) {
        schema["type"] = first.clone();
    }
}

/// A reference or null: of a plain string or number, the schema with null added; of anything else a union with a name.
fn name_nullable(value: &mut Value, known: &Value, unions: &mut Map<String, Value>) {
    if let Some((mut schema, name)) = nullable(value) {
        let target = &known[&name];
        let plain = target.get("enum").is_none() && target["type"].is_string() && target["type"] != "object";
        let own = schema.as_object_mut().map(std::mem::take).unwrap_or_default();
        *value = if plain {
            let mut plain = target.clone();
            plain["type"] = json!([target["type"], "null"]);
            plain
        } else {
            let union = format!("{name}OrNull");
            let other = json!({"oneOf": [reference(&name), {"type": "null"}]});
            unions.insert(union.clone(), other);
            reference(&union)
        };
        for (keyword, said) in own.into_iter().filter(|(keyword, _)| keyword != "$ref") {
            value[keyword] = said;
        }
        return;
    }
    children(value).for_each(|child| name_nullable(child, known, unions));
}

/// The reference in `oneOf: [reference, null]`, and the name of what it refers to.
fn nullable(schema: &Value) -> Option<(Value, String)> {
    let [first, second] = schema.get("oneOf")?.as_array()?.as_slice() else {
        return None;
    };
    let null = json!({"type": "null"});
    let reference = [first, second].into_iter().find(|choice| **choice != null)?;
    let others_null = [first, second].into_iter().any(|choice| *choice == null);
    let name = referred(reference).filter(|_| others_null)?.to_owned();
    Some((reference.clone(), name))
}

fn referred(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.strip_prefix(SCHEMAS)
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{name}")})
}

fn children(value: &mut Value) -> Box<dyn Iterator<Item = &mut Value> + '_> {
    match value {
        Value::Object(members) => Box::new(members.values_mut()),
        Value::Array(items) => Box::new(items.iter_mut()),
        _ => Box::new(std::iter::empty()),
    }
}
