//! Rules between the fields of a request, which no single field can state: added to the schemas of the requests.

use serde_json::{Value, json};

/// Adds each request's rules to its schema.
pub(super) fn add(document: &mut Value) {
    let phone = ["SmsRequest", "SmsWebhook"].map(|name| (name, phone_shapes("type")));
    let named = ["MessageRequest", "MockInbound"].map(|name| (name, all_shapes()));
    let redrive = [("RedriveRequest", redrive_shapes())];
    let schemas = &mut document["components"]["schemas"];
    for (name, shapes) in phone.into_iter().chain(named).chain(redrive) {
        schemas[name]["anyOf"] = shapes;
    }
    for name in ["EmailRequest", "EmailWebhook"] {
        schemas[name]["properties"]["body"]["minLength"] = json!(1);
    }
}

/// An SMS says something and carries nothing; an MMS says something or carries something.
fn phone_shapes(named_by: &str) -> Value {
    json!([
        {"title": "SMS", "properties": {
            named_by: {"const": "sms"}, "body": {"minLength": 1}, "attachments": {"maxItems": 0},
        }},
        {"title": "MMS with a body", "properties": {named_by: {"const": "mms"}, "body": {"minLength": 1}}},
        {"title": "MMS with attachments", "required": ["attachments"], "properties": {
            named_by: {"const": "mms"}, "attachments": {"type": "array", "minItems": 1},
        }},
    ])
}

/// Each channel has its own addresses, and `type` may only repeat what `channel` says.
fn all_shapes() -> Value {
    let mut shapes = phone_shapes("channel");
    for shape in shapes.as_array_mut().into_iter().flatten() {
        let properties = &mut shape["properties"];
        properties["type"] = json!({"enum": [properties["channel"]["const"], null]});
        properties["from"] = json!({"$ref": "#/components/schemas/Sender"});
        properties["to"] = json!({"$ref": "#/components/schemas/PhoneNumber"});
    }
    let address = json!({"$ref": "#/components/schemas/EmailAddress"});
    let email = json!({"title": "Email", "properties": {
        "channel": {"const": "email"}, "type": {"enum": ["email", null]}, "from": address, "to": address,
        "body": {"minLength": 1},
    }});
    shapes
        .as_array_mut()
        .into_iter()
        .for_each(|all| all.push(email.clone()));
    shapes
}

/// At least one field that is not null.
fn redrive_shapes() -> Value {
    let shape = |name: &str| json!({"required": [name], "properties": {name: {"type": "string"}}});
    ["provider", "channel", "reason", "failed_before"]
        .map(shape)
        .into_iter()
        .collect()
}
