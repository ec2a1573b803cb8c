use throwaway_postgres::{Cluster, Proxy};

use crate::world::{SOON, World, until};

/// An orchestrator that asks whether the process is alive must not restart it for want of a database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_for_its_database_is_alive() {
    let cluster = Cluster::shared();
    let url = tokio::task::block_in_place(|| cluster.create_database());
    let proxy = Proxy::before(cluster.port());
    let world = World::on(proxy.url(&url));
    for away in [Proxy::refuse, Proxy::black_hole] {
        away(&proxy);
        let mut node = world.start_unready_node().await;
        let kept = node.client.clone();
        node.get("/healthz").await.expect(200);
        assert_eq!(node.get("/readyz").await.expect_problem(503), "starting");
        let answer = node.get("/api/messages").await;
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.expect_problem(503), "starting");
        until("it says what it waits for", SOON, async || {
            node.log().contains("waiting for the database").then_some(())
        })
        .await;
        node.get("/healthz").await.expect(200);
        assert!(node.is_running());

        proxy.restore();
        assert_eq!(node.until_ready().await, node.url);
        node.client = kept;
        until("it is ready", SOON, async || {
            (node.get("/readyz").await.status == 200).then_some(())
        })
        .await;
        node.get("/api/messages").await.expect(200);
        node.stop().await;
    }
    proxy.refuse();
    let mut node = world.start_unready_node().await;
    node.get("/healthz").await.expect(200);
    node.signal_terminate().await;
    assert!(node.exit(SOON).await.success());
}
