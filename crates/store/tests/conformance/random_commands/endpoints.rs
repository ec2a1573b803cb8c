//! Commands on webhook endpoints.

use domain::{
    DeliveryStatus, EventId, EventType, MessageId, PageRequest, Start, Timestamp, WebhookEndpointId,
    WebhookPayload,
};
use trunkline_store::{
    Checkpoint, DeliveryAttempt, Endpoint, EndpointChange, EndpointConfig, EndpointUrl, KeptDelivery,
    LeasedEndpoint, NewEndpoint, PendingLimits, ReplayFrom, Store, WebhookDelivery, Webhooks,
};

use super::{
    command::{From, LIMITLESS, Progress, WebhookCommand},
    pair::{Pair, over_or_not},
};
use crate::{builders::instant, webhooks::secret};

impl Pair {
    pub(super) async fn carry_out_on_webhooks(&mut self, command: &WebhookCommand) {
        match command {
            WebhookCommand::Create { max } => {
                let endpoint = self.new_endpoint();
                let [ours, theirs] = self.stores().map(|store| store.create_endpoint(&endpoint, *max));
                let answers = [ours.await.unwrap(), theirs.await.unwrap()];
                self.compare_answers(answers);
                self.endpoints.push(endpoint.id);
            }
            WebhookCommand::Change {
                endpoint,
                enabled,
                types,
                rotated,
            } => {
                let Some(id) = self.endpoint_id(*endpoint) else {
                    return;
                };
                let some_types = |some: bool| some.then(|| vec![EventType::MessageFailed]);
                let change = EndpointChange {
                    url: None,
                    types: types.map(some_types),
                    payload: types.map(|_| WebhookPayload::Thin),
                    description: types.map(|some| some.then(|| "text".into())),
                    enabled: *enabled,
                    rotate: rotated.then(|| (secret(*endpoint as u8), over_or_not(false))),
                };
                let [ours, theirs] = self.stores().map(|store| store.change_endpoint(id, &change));
                let answers = [ours.await.unwrap(), theirs.await.unwrap()];
                self.compare_answers(answers);
            }
            WebhookCommand::Delete { endpoint } => {
                let Some(id) = self.endpoint_id(*endpoint) else {
                    return;
                };
                let [ours, theirs] = self.stores().map(|store| store.delete_endpoint(id));
                assert_eq!(ours.await, theirs.await);
            }
            WebhookCommand::Replay { endpoint, from } => {
                let Some(id) = self.endpoint_id(*endpoint) else {
                    return;
                };
                let places = match from {
                    From::After(commands) => self.log.end_before(*commands).map(ReplayFrom::After),
                    From::Ever => [ReplayFrom::Since(instant(0)); 2],
                    From::Never => [ReplayFrom::Since(instant(3_600_000_000)); 2],
                    From::Failed => [ReplayFrom::Failed; 2],
                };
                let [model, theirs] = self.stores();
                let ours = model.replay(id, places[0]).await.unwrap();
                let theirs = theirs.replay(id, places[1]).await.unwrap();
                self.compare_answers([ours, theirs]);
            }
            WebhookCommand::Lease { expired } => self.lease_endpoints(*expired).await,
            WebhookCommand::Checkpoint(progress) => {
                let Some(checkpoints) = self.checkpoints(progress).await else {
                    return;
                };
                let [ours, theirs] = checkpoints;
                let ours = self.model.checkpoint(&ours).await;
                assert_eq!(ours, self.store.checkpoint(&theirs).await);
            }
            WebhookCommand::Release { lease } => {
                let Some([ours, theirs]) = self.endpoint_lease(*lease) else {
                    return;
                };
                let id = ours.endpoint.id;
                self.model.release_endpoint(id, ours.token).await.unwrap();
                self.store.release_endpoint(id, theirs.token).await.unwrap();
            }
            WebhookCommand::PurgeDeliveries { limit } => {
                // Which of them go first is not defined.
                let limit = if self.exactly && *limit == 0 { 0 } else { LIMITLESS };
                let [ours, theirs] = self.stores().map(|store| store.purge_deliveries(limit));
                assert_eq!(ours.await, theirs.await);
            }
        }
    }

    fn stores(&self) -> [&dyn Store; 2] {
        [&self.model, &*self.store]
    }

    fn new_endpoint(&mut self) -> NewEndpoint {
        self.clock.advance(std::time::Duration::from_micros(1));
        let now = domain::Clock::now(&*self.clock);
        NewEndpoint {
            id: WebhookEndpointId::from(MessageId::mint(now, &self.entropy).as_uuid()),
            config: EndpointConfig {
                url: EndpointUrl("https://example.com".into()),
                types: None,
                payload: WebhookPayload::Full,
                description: None,
            },
            secret: secret(0),
        }
    }

    fn endpoint_id(&self, number: usize) -> Option<WebhookEndpointId> {
        let place = number.checked_rem(self.endpoints.len())?;
        Some(self.endpoints[place])
    }

    /// A lease, counted from the latest.
    fn endpoint_lease(&self, number: usize) -> Option<[LeasedEndpoint; 2]> {
        let place = self.endpoint_leases.len().checked_sub(number + 1)?;
        Some(self.endpoint_leases[place].clone())
    }

    async fn lease_endpoints(&mut self, expired: bool) {
        let [model, _] = self.stores();
        let lease = over_or_not(expired);
        let ours = model.lease_endpoints(lease, LIMITLESS).await.unwrap();
        let mut theirs = self.store.lease_endpoints(lease, LIMITLESS).await.unwrap();
        theirs.sort_by_key(|leased| (leased.endpoint.created_at, leased.endpoint.id));
        assert_eq!(ours.len(), theirs.len(), "{ours:?} {theirs:?}");
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            self.compare_answers([Some(ours.endpoint.clone()), Some(theirs.endpoint.clone())]);
            let limits = PendingLimits {
                rows: LIMITLESS,
                bytes: LIMITLESS,
            };
            let [model, store] = self.stores();
            let load = async |store: &dyn Store, leased: &LeasedEndpoint| {
                let LeasedEndpoint { endpoint, token } = leased;
                let page = store.pending_deliveries(endpoint.id, *token, EventId::START, limits);
                page.await.unwrap()
            };
            let (our_page, their_page) = (load(model, &ours).await, load(store, &theirs).await);
            assert_eq!(our_page.is_some(), their_page.is_some());
            if let (Some(ours), Some(theirs)) = (our_page, their_page) {
                self.compare_deliveries(&ours.deliveries, &theirs.deliveries);
                assert_eq!(ours.is_last, theirs.is_last);
            }
            self.endpoint_leases.push([ours, theirs]);
        }
    }

    /// The same checkpoint for the model and for the store.
    async fn checkpoints(&self, progress: &Progress) -> Option<[Checkpoint; 2]> {
        let leases = self.endpoint_lease(progress.lease)?;
        let id = leases[0].endpoint.id;
        let [model, _] = self.stores();
        let present = model.endpoint(id).await.unwrap();
        let present = present.map_or(EventId::START, |endpoint| endpoint.cursor);
        let cursors = self.log.end_from(present, progress.cursor);
        let attempts = |count: usize| -> Vec<DeliveryAttempt> {
            let attempt = DeliveryAttempt {
                at: instant(1),
                latency: std::time::Duration::from_millis(5),
                status: Some(500),
                error: "status".into(),
                answer: "no".into(),
            };
            vec![attempt; count]
        };
        let mut kept: Vec<KeptDelivery> = Vec::new();
        for (number, failed, due) in &progress.kept {
            let Some(place) = number.checked_rem(self.log.ours().len()) else {
                break;
            };
            let event = self.log.ours()[place].clone();
            if kept.iter().any(|kept| kept.event.id == event.id) {
                continue;
            }
            let (status, due) = if *failed {
                (DeliveryStatus::Failed, None)
            } else {
                (DeliveryStatus::Pending, *due)
            };
            kept.push(KeptDelivery {
                event,
                status,
                due_in: due.map(over_or_not),
                attempts: attempts(number % 3),
            });
        }
        let done = progress.done.iter().filter_map(|number| {
            let place = number.checked_rem(self.log.ours().len())?;
            Some(self.log.ours()[place].id)
        });
        let done: Vec<EventId> = done
            .filter(|event| kept.iter().all(|kept| kept.event.id != *event))
            .collect();
        let ours = Checkpoint {
            id,
            token: leases[0].token,
            lease: over_or_not(progress.expired),
            cursor: cursors[0],
            kept,
            done,
            delivered: progress.delivered,
            failing: progress.failing,
            disable: progress.disable,
        };
        let mut theirs = ours.clone();
        theirs.token = leases[1].token;
        theirs.cursor = cursors[1];
        for kept in &mut theirs.kept {
            kept.event = self.log.theirs(kept.event.id).clone();
        }
        for event in &mut theirs.done {
            *event = self.log.theirs(*event).id;
        }
        Some([ours, theirs])
    }

    /// All endpoints and their deliveries.
    pub(super) async fn compare_endpoints(&self) {
        let [model, _] = self.stores();
        let [ours, theirs] = self.stores().map(|store| store.endpoints());
        let (ours, theirs) = (ours.await.unwrap(), theirs.await.unwrap());
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            let id = ours.id;
            self.compare_answers([Some(ours), Some(theirs)]);
            for status in [None, Some(DeliveryStatus::Pending), Some(DeliveryStatus::Failed)] {
                let ours = all_deliveries(model, id, status).await;
                let theirs = all_deliveries(&*self.store, id, status).await;
                self.compare_deliveries(&ours, &theirs);
            }
        }
    }

    /// The endpoints that the model and the store return.
    fn compare_answers(&self, answers: [Option<Endpoint>; 2]) {
        let cursors = answers
            .each_ref()
            .map(|endpoint| endpoint.as_ref().map(|endpoint| endpoint.cursor));
        let until = answers
            .each_ref()
            .map(|endpoint| endpoint.as_ref().and_then(|endpoint| endpoint.replay_until));
        for places in [cursors, until] {
            assert_eq!(places[0].is_some(), places[1].is_some(), "{answers:?}");
            if let [Some(ours), Some(theirs)] = places {
                let [ours, theirs] = self.log.ranks([ours, theirs]);
                assert_eq!(ours, theirs, "{answers:?}");
            }
        }
        let time = |at: Timestamp| if self.exactly { at } else { instant(0) };
        let [ours, theirs] = answers.map(|endpoint| {
            endpoint.map(|endpoint| Endpoint {
                cursor: EventId::START,
                replay_until: None,
                created_at: time(endpoint.created_at),
                last_delivered_at: endpoint.last_delivered_at.map(time),
                failing_since: endpoint.failing_since.map(time),
                previous_secrets: endpoint
                    .previous_secrets
                    .into_iter()
                    .map(|(secret, until)| (secret, time(until)))
                    .collect(),
                ..endpoint
            })
        });
        assert_eq!(ours, theirs);
    }

    fn compare_deliveries(&self, ours: &[WebhookDelivery], theirs: &[WebhookDelivery]) {
        assert!(theirs.is_sorted_by(|one, next| one.event.id < next.event.id));
        let time = |at: Timestamp| if self.exactly { at } else { instant(0) };
        let mut expected: Vec<WebhookDelivery> = ours
            .iter()
            .map(|delivery| WebhookDelivery {
                event: self.log.theirs(delivery.event.id).clone(),
                due_at: delivery.due_at.map(time),
                ..delivery.clone()
            })
            .collect();
        expected.sort_by_key(|delivery| delivery.event.id);
        let found: Vec<WebhookDelivery> = theirs
            .iter()
            .map(|delivery| WebhookDelivery {
                due_at: delivery.due_at.map(time),
                ..delivery.clone()
            })
            .collect();
        assert_eq!(expected, found);
    }
}

async fn all_deliveries(
    store: &dyn Store,
    id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
) -> Vec<WebhookDelivery> {
    let mut all = Vec::new();
    let mut start = Start::First;
    loop {
        let page = PageRequest::new(3, start);
        let page = store.deliveries(id, status, &page).await.unwrap().unwrap();
        all.extend(page.items);
        match page.next {
            Some(position) => start = Start::After(position),
            None => return all,
        }
    }
}
