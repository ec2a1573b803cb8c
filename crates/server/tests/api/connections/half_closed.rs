use tokio::io::AsyncWriteExt;

use super::{next_answer, until_closed};
use crate::world::{World, sms};

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_its_answer() {
    let world = World::new().await;
    let body = sms("a").to_string();
    let send = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let list = "GET /api/messages HTTP/1.1\r\nhost: a\r\n\r\n".to_owned();
    for (request, status) in [(send, 202), (list, 200)] {
        for _ in 0..20 {
            let mut socket = world.client.begin(&request).await;
            socket.shutdown().await.unwrap();
            assert_eq!(next_answer(&mut socket).await.status, status);
            until_closed(&mut socket).await;
        }
    }
    assert_eq!(world.messages_stored().await, 20);
}
