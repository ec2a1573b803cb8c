use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::node::Node;

/// Where load goes; a restarted node has a new address.
#[derive(Clone)]
pub(crate) struct Targets(Arc<RwLock<Vec<Place>>>);

struct Place {
    url: String,
    /// Whether requests are sent there.
    served: bool,
    frozen: bool,
    freezes: usize,
}

/// A place, as it was when it was chosen.
pub(crate) struct Target {
    pub(crate) url: String,
    place: usize,
    frozen: bool,
    freezes: usize,
}

impl Target {
    fn of(places: &[Place], place: usize) -> Self {
        let Place {
            url, frozen, freezes, ..
        } = &places[place];
        Self {
            url: url.clone(),
            place,
            frozen: *frozen,
            freezes: *freezes,
        }
    }
}

impl Targets {
    pub(crate) fn of<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        Self::at(nodes.into_iter().map(|node| node.url.clone()))
    }

    /// Addresses that are not a node's own, such as a load balancer's.
    pub(crate) fn at(urls: impl IntoIterator<Item = String>) -> Self {
        let place = |url| Place {
            url,
            served: true,
            frozen: false,
            freezes: 0,
        };
        Self(Arc::new(RwLock::new(urls.into_iter().map(place).collect())))
    }

    /// The node in this place has been replaced.
    pub(crate) fn replace(&self, place: usize, node: &Node) {
        let place = &mut self.write()[place];
        place.url.clone_from(&node.url);
        (place.served, place.frozen) = (true, false);
    }

    /// The node in this place is frozen. Clients do not know that yet.
    pub(crate) fn freeze(&self, place: usize) {
        let place = &mut self.write()[place];
        place.frozen = true;
        place.freezes += 1;
    }

    /// A balancer has noticed: no more requests go there.
    pub(crate) fn avoid(&self, place: usize) {
        self.write()[place].served = false;
    }

    /// The node in this place continues.
    pub(crate) fn thaw(&self, place: usize) {
        let place = &mut self.write()[place];
        (place.served, place.frozen) = (true, false);
    }

    /// The node in this place, if requests are sent there.
    pub(crate) fn target_in(&self, place: usize) -> Option<Target> {
        let places = self.read();
        places[place].served.then(|| Target::of(&places, place))
    }

    pub(crate) fn pick(&self, turn: usize) -> Target {
        let places = self.read();
        let served: Vec<usize> = (0..places.len()).filter(|place| places[*place].served).collect();
        Target::of(&places, served[turn % served.len()])
    }

    /// Whether the target was frozen at any time since it was picked.
    pub(crate) fn stood_still(&self, target: &Target) -> bool {
        target.frozen || self.read()[target.place].freezes != target.freezes
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Place>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Place>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
