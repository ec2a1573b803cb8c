mod list;
mod stream;

use serde_json::Value;

use crate::world::World;

/// All events, as one page shows them.
async fn all(world: &World) -> Vec<Value> {
    let page = world.get("/api/events?limit=1000").await.expect(200).json();
    page["items"].as_array().unwrap().clone()
}

fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}
