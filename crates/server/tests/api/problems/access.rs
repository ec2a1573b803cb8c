use trunkline_server::ApiKeys;

use crate::world::{World, sms};

#[tokio::test]
async fn with_keys_everything_but_health_needs_one() {
    let world = World::with(|settings| {
        settings.server.api_keys = ApiKeys::new(["first-key", "second-key"]);
    })
    .await;
    let routes = [
        ("POST", "/api/messages/sms"),
        ("POST", "/api/messages/email"),
        ("POST", "/api/messages"),
        ("GET", "/api/messages"),
        ("GET", "/api/messages/nobody"),
        ("POST", "/api/messages/nobody/redrive"),
        ("POST", "/api/messages/redrive"),
        ("POST", "/api/webhooks/sms"),
        ("POST", "/api/webhooks/email"),
        ("GET", "/api/conversations"),
        ("GET", "/api/conversations/1"),
        ("GET", "/api/conversations/1/messages"),
        ("GET", "/api/providers"),
        ("GET", "/api/provider/mock/config"),
        ("PUT", "/api/provider/mock/config"),
        ("POST", "/api/provider/mock/inbound"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/docs/start.js"),
        ("GET", "/nowhere"),
        ("DELETE", "/api/messages"),
        ("GET", "/healthz/"),
    ];
    for (method, path) in routes {
        let refused = world.client.request(method, path).send().await;
        let refused = refused.expect_problem(401, "unauthorized");
        assert_eq!(
            refused.header("www-authenticate"),
            Some("Bearer"),
            "{method} {path}"
        );
        let known = world.client.request(method, path);
        let known = known.header("authorization", "Bearer first-key").send().await;
        assert_ne!(known.status, 401, "{method} {path}");
    }
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer first-ke",
        "Bearer first-key2",
        "Bearer first-key,second-key",
        "Basic first-key",
        "first-key",
    ] {
        let request = world.client.request("GET", "/api/messages");
        let refused = request.header("authorization", authorization).send().await;
        refused.expect_problem(401, "unauthorized");
    }
    for authorization in ["Bearer second-key", "bearer first-key", "BEARER  first-key "] {
        let request = world.client.request("GET", "/api/messages");
        let known = request.header("authorization", authorization).send().await;
        known.expect(200);
    }
    for path in ["/healthz", "/readyz"] {
        world.get(path).await.expect(200);
    }
    let requests = "trunkline_http_requests_total{route=\"/api/messages\",method=\"POST\",status=\"401\"}";
    let page = world.client.request("GET", "/metrics");
    let page = page
        .header("authorization", "Bearer first-key")
        .send()
        .await
        .expect(200);
    assert!(page.text().contains(&format!("{requests} 1\n")));
}

#[tokio::test]
async fn unknown_paths_and_ids_are_not_found() {
    let world = World::new().await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api"),
        ("GET", "/api/"),
        ("POST", "/api/message/sms"),
        ("GET", "/api/messages/"),
        ("GET", "/api/messages/nobody"),
        ("GET", "/api/messages/01890a5d-ac96-774b-bcce-b302099a8057"),
        ("GET", "/api/messages/01890a5d-ac96-774b-bcce-b302099a805"),
        ("GET", "/api/messages/%00"),
        ("GET", "/api/messages/%FF"),
        ("POST", "/api/messages/nobody/redrive"),
        ("POST", "/api/messages/%FF/redrive"),
        (
            "POST",
            "/api/messages/01890a5d-ac96-774b-bcce-b302099a8057/redrive",
        ),
        ("GET", "/api/conversations/1/message"),
        ("GET", "/healthz/"),
        ("GET", "/..%2f..%2fetc/passwd"),
    ] {
        let response = world.client.request(method, path).send().await;
        assert_eq!((response.status, path), (404, path), "{}", response.text());
        response.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_wrong_method_gets_the_allowed_ones() {
    let world = World::new().await;
    let routes: [(&str, &[&str]); 19] = [
        ("/api/messages", &["GET", "HEAD", "POST"]),
        ("/api/messages/sms", &["POST"]),
        ("/api/messages/email", &["POST"]),
        ("/api/messages/redrive", &["POST"]),
        ("/api/messages/nobody", &["GET", "HEAD"]),
        ("/api/messages/nobody/redrive", &["POST"]),
        ("/api/webhooks/sms", &["POST"]),
        ("/api/webhooks/email", &["POST"]),
        ("/api/conversations", &["GET", "HEAD"]),
        ("/api/conversations/1", &["GET", "HEAD"]),
        ("/api/conversations/1/messages", &["GET", "HEAD"]),
        ("/api/providers", &["GET", "HEAD"]),
        ("/api/provider/mock/config", &["GET", "HEAD", "PUT"]),
        ("/api/provider/mock/inbound", &["POST"]),
        ("/healthz", &["GET", "HEAD"]),
        ("/metrics", &["GET", "HEAD"]),
        ("/openapi.json", &["GET", "HEAD"]),
        ("/docs", &["GET", "HEAD"]),
        ("/docs/start.js", &["GET", "HEAD"]),
    ];
    for (path, expected) in routes {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            if expected.contains(&method) {
                continue;
            }
            let response = world.client.request(method, path).send().await;
            assert_eq!((response.status, method, path), (405, method, path));
            let response = response.expect_problem(405, "method_not_allowed");
            let mut allowed: Vec<&str> = response
                .header("allow")
                .unwrap()
                .split(',')
                .map(str::trim)
                .collect();
            allowed.sort_unstable();
            assert_eq!(allowed, expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_a_path_says_where_to_look() {
    let world = World::new().await;
    for (path, detail) in [
        ("/", "The API is below /api: see /docs."),
        ("/api/messages/", "No path ends with a slash: leave it out."),
        ("/healthz/", "No path ends with a slash: leave it out."),
        (
            "/nowhere",
            "There is no such route: see /docs for those there are.",
        ),
        ("/api/messages/x", "There is no such message: check the id."),
    ] {
        let missing = world.get(path).await.expect_problem(404, "not_found");
        assert_eq!(missing.json()["detail"], detail, "{path}");
    }
}

/// A refusal would help no client: an answer in JSON shows at least what happened.
#[tokio::test]
async fn answers_are_json_whatever_accept_says() {
    let world = World::new().await;
    for accept in [
        "",
        "*",
        "text/html",
        "image/*",
        "application/json;q=0",
        "*/*;q=0",
        "\u{e9}",
    ] {
        let get = world
            .client
            .request("GET", "/api/messages")
            .header("accept", accept);
        let listed = get.send().await.expect(200);
        assert_eq!(
            listed.header("content-type"),
            Some("application/json"),
            "{accept}"
        );
        let post = world
            .client
            .request("POST", "/api/messages/sms")
            .header("accept", accept);
        post.json(&sms("a")).send().await.expect(202);
        let refused = world
            .client
            .request("POST", "/api/messages/sms")
            .header("accept", accept);
        refused.json(&sms("")).send().await.expect_problem(400, "invalid");
    }
}
