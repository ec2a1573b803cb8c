use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::World;

#[tokio::test]
async fn the_description_is_served_and_does_not_depend_on_settings() {
    let world = World::new().await;
    let served = world.get("/openapi.json").await.expect(200);
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(served.text(), trunkline_server::openapi());
    assert_eq!(served.json()["openapi"], "3.1.0");

    let without_simulators = World::with(|settings| {
        settings.only(&[]);
    })
    .await;
    let other = without_simulators.get("/openapi.json").await.expect(200);
    assert_eq!(other.text(), served.text());
    let request = world.client.request("GET", "/openapi.json");
    request.header("accept", "text/html").send().await.expect(200);
}

#[test]
fn the_description_is_complete_and_has_no_dangling_references() {
    let document: Value = serde_json::from_str(trunkline_server::openapi()).unwrap();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let said = |name: &str| operation[name].as_str().is_some_and(|text| !text.is_empty());
            assert!(said("summary") && said("operationId"), "{method} {path}");
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{method} {path}");
            assert!(
                ids.insert(operation["operationId"].to_string()),
                "{method} {path}"
            );
            let open = path == "/healthz" || path == "/readyz";
            assert_eq!(operation.get("security").is_some(), open, "{method} {path}");
            assert_eq!(
                operation["responses"].get("401").is_none(),
                open,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn client_generators_find_a_name_for_every_object_and_union() {
    let document: Value = serde_json::from_str(trunkline_server::openapi()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut without_name = Vec::new();
    for (name, schema) in schemas {
        let is_union = schema.get("oneOf").or(schema.get("anyOf")).is_some();
        assert!(
            !is_union || schema.get("properties").is_none(),
            "{name}: a union beside properties"
        );
        children(schema).for_each(|child| collect_nameless(child, &mut without_name));
    }
    for part in ["responses", "parameters", "headers"] {
        collect_nameless(&document["components"][part], &mut without_name);
    }
    collect_nameless(&document["paths"], &mut without_name);
    assert_eq!(without_name, Vec::<&Value>::new());
}

/// Unions and objects with properties within `value`, examples aside.
fn collect_nameless<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    let has = |keyword: &str| {
        value
            .get(keyword)
            .is_some_and(|said| said.is_array() || said.is_object())
    };
    if ["oneOf", "anyOf", "allOf", "properties"].into_iter().any(has) {
        into.push(value);
    }
    children(value).for_each(|child| collect_nameless(child, into));
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let members = value.as_object().into_iter().flatten();
    let members = members
        .filter(|(name, _)| *name != "examples")
        .map(|(_, value)| value);
    members.chain(value.as_array().into_iter().flatten())
}

fn collect_references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| collect_references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_other_hosts() {
    let world = World::new().await;
    let request = world.client.request("GET", "/docs").header("accept", "text/html");
    let page = request.send().await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none';") && !policy.contains("http"),
        "{policy}"
    );

    let html = page.text();
    assert!(!html.contains("//"), "{html}");
    let references: Vec<&str> = ["href=\"", "src=\""]
        .into_iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .filter(|reference| !reference.starts_with("data:"))
        .collect();
    assert_eq!(references.len(), 4, "{references:?}");
    for reference in references {
        let file = world.get(&format!("/{reference}")).await.expect(200);
        let expected = match reference.rsplit_once('.').unwrap().1 {
            "css" => "text/css",
            "js" => "text/javascript",
            _ => "application/json",
        };
        let content_type = file.header("content-type").unwrap();
        assert!(content_type.starts_with(expected), "{reference}: {content_type}");
        assert!(!file.body.is_empty(), "{reference}");
    }
    // It loads the description, and no badge.
    let start = world.get("/docs/start.js").await.expect(200);
    assert!(!start.text().contains("://") && start.text().contains("url: \"openapi.json\""));
    assert!(start.text().contains("validatorUrl: null"));
}

#[tokio::test]
async fn the_page_has_one_path_and_no_other_files() {
    let world = World::new().await;
    let redirect = world.get("/docs/").await.expect(308);
    assert_eq!(redirect.header("location"), Some("../docs"));
    for path in [
        "/docs/index.html",
        "/docs/swagger-initializer.js",
        "/docs/..%2fopenapi.json",
        "/docs/%FF",
    ] {
        world.get(path).await.expect_problem(404, "not_found");
    }
}
