use serde_json::json;

use super::picture;
use crate::world::{World, email, sms, sms_webhook, without};

#[tokio::test]
async fn messages_are_listed_newest_first_and_by_filter() {
    let world = World::new().await;
    let empty = world.get("/api/messages").await.expect(200);
    assert_eq!(
        empty.json(),
        json!({
            "items": [],
            "meta": {"page": 1, "page_size": 50, "total": 0, "total_capped": false, "next_cursor": null},
        })
    );
    let mut ids = Vec::new();
    for body in [sms("first"), picture(), email("third")] {
        ids.push(world.sent(&body).await);
    }
    for id in &ids {
        world.until(id, "dispatched").await;
    }
    let inbound = world.post("/api/webhooks/sms", &sms_webhook("1", "fourth")).await;
    ids.push(inbound.expect(202).id());

    let listed = world.get("/api/messages").await.expect(200).json();
    for (item, id) in listed["items"].as_array().unwrap().iter().zip(ids.iter().rev()) {
        assert_eq!(
            *item,
            without(&without(&world.message(id).await, "attempts"), "receipts")
        );
    }
    let cases: Vec<(&str, &[usize])> = vec![
        ("", &[3, 2, 1, 0]),
        ("status=received", &[3]),
        ("status=dispatched", &[2, 1, 0]),
        ("status=failed", &[]),
        ("channel=sms", &[3, 0]),
        ("channel=mms", &[1]),
        ("provider=email", &[2]),
        ("provider=sms-mms&channel=sms&status=dispatched", &[0]),
        ("provider=nobody", &[]),
        ("pageSize=3", &[3, 2, 1]),
        ("pageSize=3&page=2", &[0]),
        ("pageSize=3&page=3", &[]),
    ];
    for (query, expected) in cases {
        let listed = world
            .get(&format!("/api/messages?{query}"))
            .await
            .expect(200)
            .json();
        let shown: Vec<&str> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap())
            .collect();
        let expected: Vec<&str> = expected.iter().map(|index| ids[*index].as_str()).collect();
        assert_eq!(shown, expected, "{query}");
    }
    for (query, pointer) in [
        ("status=unheard-of", "status"),
        ("channel=fax", "channel"),
        ("provider=No%20Name", "provider"),
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=one", "page"),
        ("pageSize=many", "pageSize"),
        ("cursor=nonsense", "cursor"),
        ("cursor=c1700000000000000.1", "cursor"),
    ] {
        let response = world.get(&format!("/api/messages?{query}")).await;
        response.expect_invalid(&[pointer]);
    }
}

#[tokio::test]
async fn messages_are_walked_by_cursor() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(world.sent(&sms(&number.to_string())).await);
    }
    let mut walked = Vec::new();
    let mut path = "/api/messages?pageSize=2".to_owned();
    loop {
        let listed = world.get(&path).await.expect(200).json();
        for item in listed["items"].as_array().unwrap() {
            walked.push(item["id"].as_str().unwrap().to_owned());
        }
        assert_eq!(listed["meta"]["total"].as_u64().unwrap() as usize, ids.len());
        let Some(cursor) = listed["meta"]["next_cursor"].as_str() else {
            break;
        };
        // A message during the walk is newer, and shifts no page.
        if ids.len() == 5 {
            ids.push(world.sent(&sms("during the walk")).await);
        }
        path = format!("/api/messages?pageSize=2&page=7&cursor={cursor}");
    }
    ids.pop();
    ids.reverse();
    assert_eq!(walked, ids);
}
